//! Memory that WinFsp lends: names that it hands over, places and buffers that it wants filled. Guards: never more is
//! written than there is room for, and nothing is ever read from a buffer that is to be filled.

use std::{cell::RefCell, ffi::c_void, ptr};

use super::super::{
    super::adapter::{Answer, Info, Status},
    raw::{FileInfo, Wide},
};

/// Longest path of Windows, in UTF-16 units.
const MAX_PATH: usize = 1 << 15;
/// A request for more is answered in pieces of this size.
const PIECE: usize = 1 << 20;

thread_local! {
    /// A thread's buffer, as large as its largest request so far.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The units of a name, without its NUL.
///
/// # Safety
/// `text` is null or ends with NUL.
pub(super) unsafe fn name<'a>(text: Wide) -> &'a [u16] {
    if text.is_null() {
        return &[];
    }
    // SAFETY: no unit before the NUL is skipped, so each one that is read belongs to the name.
    let len = (0..MAX_PATH).take_while(|index| unsafe { *text.add(*index) } != 0).count();
    // SAFETY: `len` units were just read.
    unsafe { std::slice::from_raw_parts(text, len) }
}

/// Writes `value` to where WinFsp wants it, if it does.
///
/// # Safety
/// `to` is null or may be written.
pub(super) unsafe fn put<T>(to: *mut T, value: T) {
    if !to.is_null() {
        // SAFETY: the caller's; buffers of records need not be aligned for them.
        unsafe { to.write_unaligned(value) };
    }
}

/// Copies `bytes` to a buffer whose length is at `len`, and tells theirs there; `short` when they do not fit.
///
/// # Safety
/// `len` is null, then nothing is written, or points to the length of `to`; `to` may be null to ask for the length.
pub(super) unsafe fn put_sized(bytes: &[u8], to: *mut c_void, len: *mut usize, short: Status) -> Answer<()> {
    if len.is_null() {
        return Ok(());
    }
    // SAFETY: the caller's.
    let room = unsafe { len.replace(bytes.len()) };
    if to.is_null() {
        return Ok(());
    }
    if room < bytes.len() {
        return Err(short);
    }
    // SAFETY: there is room, and nobody else uses the buffer.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to.cast(), bytes.len()) };
    Ok(())
}

/// Lets `fill` write up to `len` bytes, and passes on what it wrote.
///
/// # Safety
/// `to` has `len` bytes that may be written, `done` may be written.
pub(super) unsafe fn put_filled(
    to: *mut c_void,
    len: u32,
    done: *mut u32,
    fill: impl FnOnce(&mut [u8]) -> Answer<usize>,
) -> Answer<()> {
    let len = usize::try_from(len).unwrap_or(0).min(PIECE);
    BUFFER.with_borrow_mut(|buffer| {
        if buffer.len() < len {
            buffer.resize(len, 0);
        }
        let filled = fill(&mut buffer[..len])?.min(len);
        // SAFETY: the caller's; at most `len` bytes.
        unsafe {
            ptr::copy_nonoverlapping(buffer.as_ptr(), to.cast(), filled);
            put(done, u32::try_from(filled).expect("at most `len`"));
        }
        Ok(())
    })
}

pub(super) fn file_info(info: &Info) -> FileInfo {
    FileInfo {
        file_attributes: info.attributes,
        reparse_tag: info.reparse_tag,
        allocation_size: info.allocated,
        file_size: info.size,
        creation_time: info.created,
        last_access_time: info.accessed,
        last_write_time: info.written,
        change_time: info.changed,
        index_number: info.index,
        hard_links: 0,
        ea_size: info.ea_size,
    }
}
