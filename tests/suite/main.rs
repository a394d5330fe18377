//! The second and third ring in one binary: the library on whole images, and real mounts, compared with other
//! programs. Parsers have their tests beside them in `src/`.
//!
//! On Windows, and under Wine, what needs a mount, a loop device or programs of Linux is left out: those other programs
//! are found nowhere else, and what they say of an image is the same everywhere.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod avhdx;
mod bad_sectors;
mod chain;
mod check;
#[cfg(target_os = "linux")]
mod checkpoints;
mod cli;
#[cfg(target_os = "linux")]
mod containers;
mod corpus;
#[cfg(target_os = "linux")]
mod cp;
#[cfg(target_os = "linux")]
mod deleted;
mod demo;
mod fat;
#[cfg(target_os = "linux")]
mod find;
mod fleet;
mod formats;
#[cfg(target_os = "linux")]
mod fstab;
mod generated;
mod hives;
#[cfg(target_os = "linux")]
mod hosts;
#[cfg(unix)]
mod killed;
#[cfg(target_os = "linux")]
mod live;
mod map;
#[cfg(target_os = "linux")]
mod mount;
mod mutation;
#[cfg(target_os = "linux")]
mod new_images;
#[cfg(target_os = "linux")]
mod ntfs;
#[cfg(target_os = "linux")]
mod overlays;
mod packaging;
mod parents;
mod partition;
#[cfg(target_os = "linux")]
mod printed;
#[cfg(target_os = "linux")]
mod raw_crash;
#[cfg(target_os = "linux")]
mod raw_faults;
#[cfg(target_os = "linux")]
mod raw_judged;
#[cfg(target_os = "linux")]
mod raw_views;
// One of its sessions copies a symbolic link, which Wine cannot make.
#[cfg(target_os = "linux")]
mod readme;
#[cfg(target_os = "linux")]
mod reg;
#[cfg(target_os = "linux")]
mod room;
#[cfg(target_os = "linux")]
mod sandbox;
#[cfg(target_os = "linux")]
mod serving;
mod support;
#[cfg(target_os = "linux")]
mod untouched;
mod vhd;
mod vhdx;
#[cfg(target_os = "linux")]
mod windows;
#[cfg(target_os = "linux")]
mod winfsp;
#[cfg(target_os = "linux")]
mod written;
