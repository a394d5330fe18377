//! Win32 calls on the files that a copy creates, for which std has no function.

use std::{
    fs::File,
    io,
    os::windows::{ffi::OsStrExt, io::AsRawHandle},
    path::Path,
    ptr::{null, null_mut},
};

use windows_sys::Win32::{
    Storage::FileSystem::{
        BY_HANDLE_FILE_INFORMATION, FILE_ID_INFO, FileIdInfo, GetFileInformationByHandle,
        GetFileInformationByHandleEx, MoveFileExW, SetFileAttributesW,
    },
    System::{IO::DeviceIoControl, Ioctl::FSCTL_SET_SPARSE},
};

/// Sets the attributes of a file or directory (`FILE_ATTRIBUTE_*`); 0 for none.
pub(crate) fn set_attributes(path: &Path, attributes: u32) -> io::Result<()> {
    const NORMAL: u32 = 0x80;
    let path = terminated(path);
    let attributes = if attributes == 0 { NORMAL } else { attributes };
    // SAFETY: `path` ends with NUL.
    checked(unsafe { SetFileAttributesW(path.as_ptr(), attributes) })
}

/// Makes a file sparse: ranges that are never written take no space.
pub(crate) fn set_sparse(file: &File) -> io::Result<()> {
    let mut returned = 0;
    // SAFETY: the handle is open; the call takes no input and gives no output, as null and 0 say.
    let done = unsafe {
        DeviceIoControl(
            file.as_raw_handle(),
            FSCTL_SET_SPARSE,
            null(),
            0,
            null_mut(),
            0,
            &raw mut returned,
            null_mut(),
        )
    };
    checked(done)
}

/// Renames a file; fails if the new name exists.
pub(crate) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (terminated(from), terminated(to));
    // SAFETY: both paths end with NUL. Without flags nothing is replaced, and no file is copied to another volume.
    checked(unsafe { MoveFileExW(from.as_ptr(), to.as_ptr(), 0) })
}

/// Volume serial number and file id, which identify a file or directory on this computer. Needs no right on the file.
pub(crate) fn file_id(file: &File) -> io::Result<(u64, u128)> {
    let mut id = FILE_ID_INFO::default();
    let len = u32::try_from(size_of::<FILE_ID_INFO>()).expect("24");
    // SAFETY: the handle is open, and the buffer is one `FILE_ID_INFO`, as the class and the length say.
    let done =
        unsafe { GetFileInformationByHandleEx(file.as_raw_handle(), FileIdInfo, (&raw mut id).cast(), len) };
    if checked(done).is_ok() {
        return Ok((id.VolumeSerialNumber, u128::from_le_bytes(id.FileId.Identifier)));
    }
    // FAT, and servers, have only 64-bit file ids.
    let mut info = BY_HANDLE_FILE_INFORMATION::default();
    // SAFETY: the handle is open, and the buffer is the structure that the function fills.
    checked(unsafe { GetFileInformationByHandle(file.as_raw_handle(), &raw mut info) })?;
    let number = u128::from(info.nFileIndexHigh) << 32 | u128::from(info.nFileIndexLow);
    Ok((info.dwVolumeSerialNumber.into(), number))
}

fn terminated(path: &Path) -> Vec<u16> {
    path.as_os_str().encode_wide().chain([0]).collect()
}

fn checked(done: i32) -> io::Result<()> {
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
