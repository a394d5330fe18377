//! The part of `platform/linux` that answers the kernel, without what mounts and serves: for the targets of the adapter.
#![allow(dead_code, unused_imports)]

#[path = "../platform/linux/adapter.rs"]
mod adapter;
#[path = "../platform/linux/attr.rs"]
mod attr;
#[path = "../platform/linux/directory.rs"]
mod directory;
#[path = "../platform/linux/errno.rs"]
mod errno;
#[path = "../platform/linux/names.rs"]
mod names;
#[path = "../platform/linux/prefetcher.rs"]
mod prefetcher;
#[path = "../platform/linux/prefill.rs"]
mod prefill;
#[path = "../platform/linux/random_calls.rs"]
pub(crate) mod random_calls;
#[path = "../platform/linux/seek.rs"]
mod seek;
#[path = "../platform/linux/snapshots.rs"]
mod snapshots;
#[path = "../platform/linux/sources.rs"]
mod sources;
#[path = "../platform/linux/walk_detector.rs"]
mod walk_detector;
#[path = "../platform/linux/writing/mod.rs"]
mod writing;
#[path = "../platform/linux/xattr.rs"]
mod xattr;

/// As in `platform/linux/mod.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Streams {
    None,
    Windows,
    Xattr,
}
