//! Files of Windows, opened in all share modes, and whole disks and volumes, which accept whole-sector reads only. Each read
//! passes its offset, so that threads share a handle without sharing a position. Holes count as data here.

use std::{
    fs::{File, OpenOptions},
    io,
    os::windows::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use super::super::{Extent, ExtentKind, Sectors, windows_path};

/// `FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE`: an image in use can be opened, and its user is not blocked.
const SHARE_ALL: u32 = 7;

pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).share_mode(SHARE_ALL).open(path)
}

/// `None` for the path of a file.
pub(super) fn open_device(
    path: &Path,
    device_size: &super::DeviceSize<'_>,
) -> Option<io::Result<(File, Sectors)>> {
    let name = windows_path::device(path.to_str()?)?;
    let opened = open(name.as_ref()).and_then(|device| {
        let (size, sector) = device_size(&device)?;
        Ok((device, Sectors::new(size, sector)?))
    });
    Some(opened)
}

/// Fails: neither a file nor named as a device, such as a console or a pipe.
pub(super) fn device_size(_: &mut File) -> io::Result<u64> {
    Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a file nor a disk"))
}

/// `None`: devices state their sector sizes when they are opened.
pub(super) fn sector_sizes(_: &File) -> Option<(u32, u32)> {
    None
}

pub(super) fn read_at(file: &File, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
    file.seek_read(buf, offset)
}

pub(in crate::bytes) fn read_exact_at(file: &File, mut offset: u64, mut buf: &mut [u8]) -> io::Result<()> {
    while !buf.is_empty() {
        let got = read_at(file, offset, buf)?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        offset += got as u64;
        buf = &mut buf[got..];
    }
    Ok(())
}

pub(in crate::bytes) fn extent_at(_: &File, size: u64, offset: u64) -> Extent {
    let len = size.saturating_sub(offset);
    Extent { kind: if len == 0 { ExtentKind::Hole } else { ExtentKind::Data }, len }
}
