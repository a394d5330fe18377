//! Safe wrappers of the Win32 calls that capacity needs: buffers have the length that is passed, handles are borrowed
//! from open files, and a failure is the thread's last error.

use std::{
    fs::File,
    io,
    ops::Range,
    os::windows::io::AsRawHandle,
    ptr::{null, null_mut},
};

use windows_sys::Win32::{
    Storage::FileSystem::{
        FILE_STANDARD_INFO, FileStandardInfo, GetDiskFreeSpaceExW, GetDiskFreeSpaceW, GetDriveTypeW,
        GetFileInformationByHandleEx, GetVolumeInformationW, GetVolumePathNameW,
    },
    System::{
        IO::DeviceIoControl,
        Ioctl::{
            DISK_GEOMETRY_EX, FILE_ALLOCATED_RANGE_BUFFER, FSCTL_ALLOW_EXTENDED_DASD_IO,
            FSCTL_QUERY_ALLOCATED_RANGES, GET_LENGTH_INFORMATION, IOCTL_DISK_GET_DRIVE_GEOMETRY_EX,
            IOCTL_DISK_GET_LENGTH_INFO,
        },
        SystemInformation::GetSystemWindowsDirectoryW,
    },
};

/// `DRIVE_REMOTE`, the result of `GetDriveTypeW` for a volume of another machine.
const DRIVE_REMOTE: u32 = 4;
/// `ERROR_MORE_DATA`: the output is the beginning of a longer one.
const MORE_DATA: i32 = 234;
/// Ranges requested at once, 64 KiB of them.
const RANGES: usize = 4096;
/// Longest path of Windows, in UTF-16 units.
pub(super) const MAX_PATH: usize = 1 << 15;

/// `FILE_STANDARD_INFO.AllocationSize`.
pub(super) fn allocation_size(file: &File) -> io::Result<u64> {
    let mut info = FILE_STANDARD_INFO::default();
    // SAFETY: the handle is open, and the buffer is one `FILE_STANDARD_INFO`, as the class and the length say.
    let done = unsafe {
        GetFileInformationByHandleEx(
            file.as_raw_handle(),
            FileStandardInfo,
            (&raw mut info).cast(),
            size_of_u32::<FILE_STANDARD_INFO>(),
        )
    };
    checked(done)?;
    u64::try_from(info.AllocationSize).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// The root of the volume that holds `path` (`D:\`), with a trailing separator and NUL.
pub(super) fn volume_root(path: &[u16]) -> io::Result<Vec<u16>> {
    let path = terminated(path);
    // A volume may be mounted in a folder: the root may be as long as the path.
    let mut root = vec![0; path.len().max(64) + 2];
    // SAFETY: `path` ends with NUL, and `root` has the length that is passed.
    checked(unsafe { GetVolumePathNameW(path.as_ptr(), root.as_mut_ptr(), u32_of(root.len())) })?;
    root.truncate(until_nul(&root).len());
    Ok(terminated(&root))
}

/// Bytes that the calling user may still allocate on the volume, and bytes that are free on it.
pub(super) fn free_space(root: &[u16]) -> io::Result<(u64, u64)> {
    let (mut for_user, mut free) = (0, 0);
    let root = terminated(root);
    // SAFETY: `root` ends with NUL; each pointer is to one u64 or null, which the function allows.
    checked(unsafe { GetDiskFreeSpaceExW(root.as_ptr(), &raw mut for_user, null_mut(), &raw mut free) })?;
    Ok((for_user, free))
}

/// The volume's cluster size in bytes.
pub(super) fn cluster_size(root: &[u16]) -> io::Result<u64> {
    let (mut sectors, mut bytes, mut free, mut all) = (0, 0, 0, 0);
    let root = terminated(root);
    // SAFETY: `root` ends with NUL; each pointer is to one u32.
    checked(unsafe {
        GetDiskFreeSpaceW(root.as_ptr(), &raw mut sectors, &raw mut bytes, &raw mut free, &raw mut all)
    })?;
    Ok(u64::from(sectors) * u64::from(bytes))
}

/// The filesystem's name and the volume's flags.
pub(super) fn filesystem(root: &[u16]) -> io::Result<(String, u32)> {
    let (mut name, mut flags) = ([0; 64], 0);
    let root = terminated(root);
    // SAFETY: `root` ends with NUL, `name` has the length that is passed, `flags` is one u32; the rest may be null.
    checked(unsafe {
        GetVolumeInformationW(
            root.as_ptr(),
            null_mut(),
            0,
            null_mut(),
            null_mut(),
            &raw mut flags,
            name.as_mut_ptr(),
            u32_of(name.len()),
        )
    })?;
    Ok((String::from_utf16_lossy(until_nul(&name)), flags))
}

/// True when the volume lies on another machine.
pub(super) fn is_remote(root: &[u16]) -> bool {
    let root = terminated(root);
    // SAFETY: `root` ends with NUL.
    unsafe { GetDriveTypeW(root.as_ptr()) == DRIVE_REMOTE }
}

/// Calls `found` with the allocated ranges of `file`, ascending, until it returns false.
pub(super) fn allocated_ranges(
    file: &File,
    size: u64,
    found: &mut dyn FnMut(Range<u64>) -> bool,
) -> io::Result<()> {
    let mut from = 0;
    while from < size {
        let (ranges, more) = ranges_from(file, from, size - from)?;
        for range in &ranges {
            if !found(range.clone()) {
                return Ok(());
            }
        }
        match ranges.last() {
            // Without progress the next request would repeat this one.
            Some(last) if more && last.end > from => from = last.end,
            _ => break,
        }
    }
    Ok(())
}

/// True when the filesystem of `file` supports the query for allocated ranges.
pub(super) fn reports_ranges(file: &File) -> bool {
    ranges_from(file, 0, 1).is_ok()
}

/// One request: the ranges, and whether more follow.
fn ranges_from(file: &File, from: u64, len: u64) -> io::Result<(Vec<Range<u64>>, bool)> {
    let signed = |value| i64::try_from(value).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    let asked = FILE_ALLOCATED_RANGE_BUFFER { FileOffset: signed(from)?, Length: signed(len)? };
    let mut ranges = vec![FILE_ALLOCATED_RANGE_BUFFER::default(); if len == 1 { 1 } else { RANGES }];
    let mut written = 0;
    // SAFETY: the handle is open for synchronous use; both buffers have the lengths that are passed.
    let done = unsafe {
        DeviceIoControl(
            file.as_raw_handle(),
            FSCTL_QUERY_ALLOCATED_RANGES,
            (&raw const asked).cast(),
            size_of_u32::<FILE_ALLOCATED_RANGE_BUFFER>(),
            ranges.as_mut_ptr().cast(),
            u32_of(size_of_val(&*ranges)),
            &raw mut written,
            null_mut(),
        )
    };
    let more = match checked(done) {
        Ok(()) => false,
        Err(error) if error.raw_os_error() == Some(MORE_DATA) => true,
        Err(error) => return Err(error),
    };
    let count = usize::try_from(written).unwrap_or(0) / size_of::<FILE_ALLOCATED_RANGE_BUFFER>();
    ranges.truncate(count);
    let ranges = ranges.into_iter().filter_map(|range| {
        let start = u64::try_from(range.FileOffset).ok()?;
        Some(start..start.checked_add(u64::try_from(range.Length).ok()?)?)
    });
    Ok((ranges.collect(), more))
}

/// The size of a disk in bytes; needs no right to read it.
pub(super) fn disk_size(disk: &File) -> io::Result<u64> {
    u64::try_from(geometry(disk)?.DiskSize).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// The length in bytes of a disk or volume that is open for reading, and its sector size, 0 where it reports none.
pub(crate) fn device(device: &File) -> io::Result<(u64, u32)> {
    // Without this a volume refuses reads of its last sectors, which its filesystem does not use. Disks reject the
    // request.
    let _ = control(device, FSCTL_ALLOW_EXTENDED_DASD_IO, &mut [(); 0]);
    let mut length = [GET_LENGTH_INFORMATION::default()];
    control(device, IOCTL_DISK_GET_LENGTH_INFO, &mut length)?;
    let length = u64::try_from(length[0].Length).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    let sector = geometry(device).map_or(0, |geometry| geometry.Geometry.BytesPerSector);
    Ok((length, sector))
}

fn geometry(disk: &File) -> io::Result<DISK_GEOMETRY_EX> {
    // The structure ends with tables of the partition scheme, which need room in the buffer.
    let mut buffer = [DISK_GEOMETRY_EX::default(); 8];
    control(disk, IOCTL_DISK_GET_DRIVE_GEOMETRY_EX, &mut buffer)?;
    Ok(buffer[0])
}

/// Sends a request without input; any bits that a driver writes are valid in the plain structures of `buffer`.
fn control<T: Copy>(device: &File, code: u32, buffer: &mut [T]) -> io::Result<()> {
    let mut written = 0;
    // SAFETY: the handle is open for synchronous use; the buffer has the length that is passed and the structure's
    // alignment.
    checked(unsafe {
        DeviceIoControl(
            device.as_raw_handle(),
            code,
            null(),
            0,
            buffer.as_mut_ptr().cast(),
            u32_of(size_of_val(buffer)),
            &raw mut written,
            null_mut(),
        )
    })
}

/// The folder of the running Windows (`C:\Windows`).
pub(super) fn windows_folder() -> io::Result<Vec<u16>> {
    let mut folder = vec![0; 512];
    // SAFETY: `folder` has the length that is passed.
    let len = unsafe { GetSystemWindowsDirectoryW(folder.as_mut_ptr(), u32_of(folder.len())) };
    match usize::try_from(len) {
        Ok(len) if (1..folder.len()).contains(&len) => {
            folder.truncate(len);
            Ok(folder)
        }
        _ => Err(io::Error::last_os_error()),
    }
}

/// `text` with exactly one NUL at the end.
pub(super) fn terminated(text: &[u16]) -> Vec<u16> {
    [until_nul(text), &[0]].concat()
}

pub(super) fn until_nul(text: &[u16]) -> &[u16] {
    let end = text.iter().position(|unit| *unit == 0);
    &text[..end.unwrap_or(text.len())]
}

pub(super) fn checked(done: i32) -> io::Result<()> {
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

pub(super) fn u32_of(len: usize) -> u32 {
    u32::try_from(len).expect("buffers here have at most some 100 KiB")
}

pub(super) fn size_of_u32<T>() -> u32 {
    u32_of(size_of::<T>())
}

/// Borrows a NUL-terminated Windows string, without its NUL; at most [`MAX_PATH`] units.
///
/// # Safety
/// `text` is null, or points to UTF-16 that ends with NUL and stays unchanged for `'a`.
pub(super) unsafe fn units_before_nul<'a>(text: *const u16) -> &'a [u16] {
    if text.is_null() {
        return &[];
    }
    // SAFETY: no unit before the NUL is skipped, so each one that is read belongs to the string.
    let len = (0..MAX_PATH).take_while(|index| unsafe { *text.add(*index) } != 0).count();
    // SAFETY: `len` units were just read.
    unsafe { std::slice::from_raw_parts(text, len) }
}
