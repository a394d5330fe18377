//! vhdmount: virtual disks as filesystems, read-only, and what a thin disk can really hold.
//!
//! Each layer knows the one below only as bytes at positions ([`bytes::ByteSource`]) and the one above not at all:
//!
//! ```text
//! image file ─ container ─ Disk ─ partition ─ Window ─ fs ─ Tree ─ platform (FUSE, WinFsp; part of the binary)
//! ```
//!
//! Imports form a DAG, checked by `tests/architecture.rs`:
//! `error, guid, cache, check, codec ← bytes ← {container, partition, fs, registry} ← {capacity, tree} ← image ←
//! map ← binary`.
//! Every byte of an image is hostile: parsers validate once, every loop and allocation is bounded, nothing panics.
#![forbid(unsafe_code)]

pub mod bytes;
pub mod cache;
pub mod capacity;
pub mod check;
pub mod codec;
pub mod container;
pub mod error;
pub mod fs;
pub mod guid;
pub mod image;
pub mod map;
pub mod partition;
pub mod printable;
pub mod registry;
pub mod tree;

pub use error::{Corrupt, Error, Result};
