//! Mounting on Windows: the command built for Windows runs under Wine with the genuine library of WinFsp, and these tests
//! play the kernel and the programs above it (`tests/windows/driver.c`). What is read is compared with the demo disk's
//! manifest, with ntfs-3g and with what the command says on this system.
//!
//! What only a real Windows can show: the cache, share modes, Explorer, the kernel's own filtering of names, real drives.

mod damage;
mod directories;
mod driver;
mod handle;
mod metadata;
mod mounting;
mod names;
mod reading;
mod refusals;
mod rights;
mod volume;
mod wire;

use tempfile::TempDir;

use self::volume::Volume;
use crate::support::{demo, scratch};

/// The demo disk, mounted with these options; `None`, and SKIPPED, where that cannot be.
fn mounted_demo(options: &[&str]) -> Option<(Volume, TempDir)> {
    let folder = scratch();
    let image = demo::unpack(folder.path());
    Some((Volume::mount(&image, options)?, folder))
}

/// A path as the manifest has it, as Windows has it.
fn windows(path: &str) -> String {
    format!("\\{}", path.replace('/', "\\"))
}
