//! Lists: the entries of a directory, from a position on or one by its name, and the streams of a file.

use std::{ffi::c_void, ptr};

use super::{
    super::{
        super::adapter::{Status, directory_entry},
        raw::{Context, DirInfo, Fs, NtStatus, Wide},
    },
    adapter, guarded, handle,
    memory::{name, put_filled},
};

/// The pattern is left to WinFsp, which applies it in any case; a pattern without wildcards is a request by name.
pub(super) unsafe extern "C" fn read_directory(
    fs: Fs,
    context: Context,
    _pattern: Wide,
    marker: Wide,
    to: *mut c_void,
    len: u32,
    done: *mut u32,
) -> NtStatus {
    guarded(|| {
        // SAFETY: the volume's flags ask for a position in 64 bits as the marker, instead of a name.
        let marker = if marker.is_null() { 0 } else { unsafe { marker.cast::<u64>().read_unaligned() } };
        // SAFETY: as `callbacks` says.
        unsafe {
            let (adapter, handle) = (adapter(fs), handle(context));
            put_filled(to, len, done, |buffer| adapter.list(handle, marker, buffer))
        }
    })
}

pub(super) unsafe extern "C" fn get_dir_info_by_name(
    fs: Fs,
    context: Context,
    file: Wide,
    out: *mut DirInfo,
) -> NtStatus {
    guarded(|| {
        // SAFETY: as `callbacks` says.
        let (stored, info) = unsafe { adapter(fs).entry(handle(context), name(file))? };
        let record = directory_entry(&stored, &info, 0).ok_or(Status::OBJECT_NAME_NOT_FOUND)?;
        // SAFETY: WinFsp's buffer has room for the longest name that an entry may have, 255 units.
        unsafe { ptr::copy_nonoverlapping(record.as_ptr(), out.cast(), record.len()) };
        Ok(())
    })
}

pub(super) unsafe extern "C" fn get_stream_info(
    fs: Fs,
    context: Context,
    to: *mut c_void,
    len: u32,
    done: *mut u32,
) -> NtStatus {
    guarded(|| {
        // SAFETY: as `callbacks` says.
        unsafe {
            let (adapter, handle) = (adapter(fs), handle(context));
            put_filled(to, len, done, |buffer| adapter.streams(handle, buffer))
        }
    })
}
