//! Files and block devices of Unix: any offset can be read, and `SEEK_DATA`/`SEEK_HOLE` find holes.

use std::{
    fs::File,
    io::{self, Seek},
    os::unix::fs::FileExt,
    path::Path,
};

use rustix::{
    fs::{Mode, OFlags, SeekFrom},
    io::Errno,
};

use super::super::{Extent, ExtentKind, Sectors};

pub(super) fn open(path: &Path) -> io::Result<File> {
    open_with(path, OFlags::empty())
}

/// Opens with `O_NOATIME` where the kernel permits it (the file's owner and root), so that evidence keeps its access times.
/// For others the mount's own setting (mostly `relatime`) decides.
pub(super) fn open_with(path: &Path, flags: OFlags) -> io::Result<File> {
    let open = |more: OFlags| {
        let flags = flags | more | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
        rustix::fs::open(path, flags, Mode::empty())
    };
    #[cfg(target_os = "linux")]
    let opened = match open(OFlags::NOATIME) {
        Err(Errno::PERM) => open(OFlags::empty()),
        opened => opened,
    };
    #[cfg(not(target_os = "linux"))]
    let opened = open(OFlags::empty());
    Ok(opened?.into())
}

/// `None`: block devices are read like files.
pub(super) fn open_device(_: &Path, _: &super::DeviceSize<'_>) -> Option<io::Result<(File, Sectors)>> {
    None
}

/// The length of a block device: its metadata has 0, so its end is found by a seek.
pub(super) fn device_size(file: &mut File) -> io::Result<u64> {
    file.seek(io::SeekFrom::End(0))
}

/// Bytes per logical and per physical sector of a block device, as its driver states them.
#[cfg(target_os = "linux")]
pub(super) fn sector_sizes(device: &File) -> Option<(u32, u32)> {
    let logical = rustix::fs::ioctl_blksszget(device).ok()?;
    Some((logical, rustix::fs::ioctl_blkpbszget(device).unwrap_or(logical)))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn sector_sizes(_: &File) -> Option<(u32, u32)> {
    None
}

pub(super) fn read_at(file: &File, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
    file.read_at(buf, offset)
}

pub(in crate::bytes) fn read_exact_at(file: &File, offset: u64, buf: &mut [u8]) -> io::Result<()> {
    file.read_exact_at(buf, offset)
}

pub(in crate::bytes) fn extent_at(file: &File, size: u64, offset: u64) -> Extent {
    let seek = |from| rustix::fs::seek(file, from);
    let rest = size.saturating_sub(offset);
    let whole = |kind| Extent { kind, len: rest };
    if rest == 0 {
        return whole(ExtentKind::Hole);
    }
    match seek(SeekFrom::Data(offset)) {
        Ok(data) if data > offset => Extent { kind: ExtentKind::Hole, len: rest.min(data - offset) },
        Ok(_) => match seek(SeekFrom::Hole(offset)) {
            // A concurrent writer may have punched a hole right here: still at least one byte of progress.
            Ok(hole) => Extent { kind: ExtentKind::Data, len: rest.min(hole.saturating_sub(offset).max(1)) },
            Err(_) => whole(ExtentKind::Data),
        },
        Err(Errno::NXIO) => whole(ExtentKind::Hole),
        // Block devices and simple filesystems do not report holes: everything is data.
        Err(_) => whole(ExtentKind::Data),
    }
}
