//! The second and third ring in one binary: the library on whole images, and real mounts, compared with other
//! programs. Parsers have their tests beside them in `src/`.
//!
//! Linux alone: mounts, loop devices and most of the other programs are found nowhere else.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod avhdx;
mod chain;
mod check;
mod cli;
mod corpus;
mod deleted;
mod demo;
mod fat;
mod fleet;
mod hosts;
mod live;
mod map;
mod mount;
mod mutation;
mod ntfs;
mod packaging;
mod partition;
mod serving;
mod support;
mod vhd;
mod vhdx;
mod windows;
