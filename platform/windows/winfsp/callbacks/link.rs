//! Reparse points: what one holds, and where a path with links in it leads. WinFsp's own function walks along the path; it
//! asks for the content of each link.

use std::{ffi::c_void, ptr};

use super::{
    super::{
        super::adapter::Status,
        raw::{Boolean, Context, Fs, IoStatusBlock, NtStatus, Wide},
    },
    adapter, guarded, handle,
    memory::{name, put_sized},
    mounted,
};

pub(super) unsafe extern "C" fn resolve_reparse_points(
    fs: Fs,
    path: Wide,
    first: u32,
    last_too: Boolean,
    status: *mut IoStatusBlock,
    to: *mut c_void,
    len: *mut usize,
) -> NtStatus {
    // SAFETY: as `callbacks` says; the arguments are passed on to the function that is made for them, which returns its
    // status. Nothing here can panic.
    unsafe {
        let resolve = mounted(fs).library.resolve_reparse_points;
        resolve(fs, link_by_name, ptr::null_mut(), path, first, last_too, status, to, len)
    }
}

unsafe extern "C" fn link_by_name(
    fs: Fs,
    _context: *mut c_void,
    path: Wide,
    _is_directory: Boolean,
    to: *mut c_void,
    len: *mut usize,
) -> NtStatus {
    guarded(|| {
        // SAFETY: as `callbacks` says.
        unsafe { put_sized(&adapter(fs).link_at(name(path))?, to, len, Status::BUFFER_TOO_SMALL) }
    })
}

pub(super) unsafe extern "C" fn get_reparse_point(
    fs: Fs,
    context: Context,
    _path: Wide,
    to: *mut c_void,
    len: *mut usize,
) -> NtStatus {
    guarded(|| {
        // SAFETY: as `callbacks` says.
        unsafe { put_sized(&adapter(fs).reparse_point(handle(context))?, to, len, Status::BUFFER_TOO_SMALL) }
    })
}
