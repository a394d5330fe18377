//! What only the calls of Win32 can do to files that a copy makes.

use std::{
    fs::File,
    io,
    os::windows::{ffi::OsStrExt, io::AsRawHandle},
    path::Path,
    ptr::{null, null_mut},
};

use windows_sys::Win32::{
    Storage::FileSystem::SetFileAttributesW,
    System::{IO::DeviceIoControl, Ioctl::FSCTL_SET_SPARSE},
};

/// Sets the attributes of a file or directory (`FILE_ATTRIBUTE_*`); 0 for none.
pub(crate) fn set_attributes(path: &Path, attributes: u32) -> io::Result<()> {
    const NORMAL: u32 = 0x80;
    let path: Vec<u16> = path.as_os_str().encode_wide().chain([0]).collect();
    let attributes = if attributes == 0 { NORMAL } else { attributes };
    // SAFETY: `path` ends with NUL.
    checked(unsafe { SetFileAttributesW(path.as_ptr(), attributes) })
}

/// Lets what is never written take no space.
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

fn checked(done: i32) -> io::Result<()> {
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
