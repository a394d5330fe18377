//! Callbacks for reparse points: their content, and the resolution of a path with links in it. WinFsp's own function
//! walks the path and requests the content of each link.

use std::{ffi::c_void, ptr};

use super::{
    super::{
        super::adapter::Status,
        arguments::{Buffer, FileSystem, IoStatus, OpenFile, Room, Text},
        raw::{Boolean, NtStatus},
    },
    guarded,
};

pub(super) extern "C" fn resolve_reparse_points(
    fs: FileSystem,
    path: Text,
    first: u32,
    last_too: Boolean,
    status: IoStatus,
    to: Buffer,
    room: Room,
) -> NtStatus {
    let resolve = fs.mounted().library.resolve_reparse_points;
    // SAFETY: the function is made to be called here, with the arguments of this callback. Nothing here can panic.
    unsafe { resolve(fs, link_by_name, ptr::null_mut(), path, first, last_too, status, to, room) }
}

extern "C" fn link_by_name(
    fs: FileSystem,
    _context: *mut c_void,
    path: Text,
    _is_directory: Boolean,
    to: Buffer,
    room: Room,
) -> NtStatus {
    guarded(|| to.put_all(&fs.adapter().link_at(path.units())?, &room, Status::BUFFER_TOO_SMALL))
}

pub(super) extern "C" fn get_reparse_point(
    fs: FileSystem,
    file: OpenFile,
    _path: Text,
    to: Buffer,
    room: Room,
) -> NtStatus {
    guarded(|| to.put_all(&fs.adapter().reparse_point(file.handle()?)?, &room, Status::BUFFER_TOO_SMALL))
}
