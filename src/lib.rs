//! vhdmount: virtual disks as filesystems, read-only, and what a thin disk can really hold.
//!
//! Each layer knows the one below only as bytes at positions ([`bytes::ByteSource`]) and the one above not at all:
//!
//! ```text
//! image file ─ container ─ Disk ─ partition ─ volume ─ fs ─ Tree ─ platform (FUSE, WinFsp; part of the binary)
//! ```
//!
//! Imports form a DAG, checked by `tests/architecture.rs`:
//! `error, guid, identity, cache, check, codec, json, security, size ← bytes ← host ← {container, partition, volume, fs, registry} ← {capacity, tree} ←
//! image ← map ← binary`.
//! Opening an image, walking it, and reading a file as any `Read`:
//!
//! ```
//! use std::{io::Read, sync::Arc};
//! use vhdmount::{
//!     bytes::{MemorySource, Reader},
//!     fs::FileSystem,
//!     image::{Image, OpenOptions},
//!     tree::Resolver,
//! };
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let packed = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/demo/demo.vhdx.gz"))?;
//! # let mut bytes = Vec::new();
//! # flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut bytes)?;
//! // `Image::open(path, …)` for a file of the host, which finds the parents of a differencing disk.
//! let image = Image::open_source(Arc::new(MemorySource(bytes)), &OpenOptions::default())?;
//! for (partition, _) in image.partitions() {
//!     println!("p{}: {} bytes from {}", partition.number, partition.size, partition.start);
//! }
//! let tree = image.tree(None)?;
//! let node = Resolver::new(&tree).resolve("p3/Users/Ada/Documents/READ ME FIRST.txt".as_bytes(), true)?.node;
//! let mut text = String::new();
//! Reader::new(tree.open(node)?).read_to_string(&mut text)?;
//! assert!(!text.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! As a dependency: `vhdmount = { default-features = false }` leaves out the command and what only it needs (clap, fuser, PNG).
//!
//! Every byte of an image is hostile: parsers validate once, every loop and allocation is bounded, nothing panics.
#![forbid(unsafe_code)]

pub mod bcd;
pub mod boot;
pub mod bytes;
pub mod cache;
pub mod capacity;
mod case;
pub mod check;
pub mod codec;
pub mod container;
pub mod error;
pub mod fs;
pub mod guid;
pub mod host;
pub mod identity;
pub mod image;
pub mod json;
pub mod map;
pub mod partition;
pub mod pe;
pub mod printable;
pub mod registry;
pub mod security;
pub mod size;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tree;
pub mod volume;

pub use error::{Corrupt, Error, Place, Remedy, Result};
