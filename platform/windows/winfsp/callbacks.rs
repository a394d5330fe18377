//! What WinFsp calls: pointers become values and slices for the adapter, its answers are written where WinFsp wants them.
//! Several threads call at once.
//!
//! WinFsp guarantees to each callback: the file system is the one that [`super::Volume`] made, so its user context is a live
//! [`Mounted`]; a file context is one that `open` gave and `close` did not yet take; names end with NUL; a buffer has the
//! length that is told beside it, and nobody else uses it meanwhile, except that the memory to be read into may belong to the
//! program that asked, which is why it is only ever written.

use std::{
    cell::RefCell,
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
};

use super::{
    super::adapter::{Adapter, Answer, ByName, Handle, Info, MAX_LABEL, Status, directory_entry},
    Mounted,
    raw::{
        Boolean, CREATE_KIND, Context, DISABLE_CACHE, DirInfo, FileInfo, Fs, Interface, IoStatusBlock,
        NtStatus, OperationContext, VolumeInfo, Wide,
    },
};

/// Longest path of Windows, in UTF-16 units.
const MAX_PATH: usize = 1 << 15;
/// A request for more is answered in pieces of this size.
const PIECE: usize = 1 << 20;

/// The callbacks of a volume that is only read. Those that would change something are there to refuse: without them WinFsp
/// would answer that it does not know the request, and refuse even to open.
pub(super) const INTERFACE: Interface = Interface {
    get_volume_info: Some(get_volume_info),
    set_volume_label: Some(write_protected),
    get_security_by_name: Some(get_security_by_name),
    create: Some(write_protected),
    open: Some(open),
    overwrite: Some(write_protected),
    cleanup: None,
    close: Some(close),
    read: Some(read),
    write: Some(write_protected),
    flush: Some(flush),
    get_file_info: Some(get_file_info),
    set_basic_info: Some(write_protected),
    set_file_size: Some(write_protected),
    can_delete: Some(write_protected),
    rename: Some(write_protected),
    get_security: Some(get_security),
    set_security: Some(write_protected),
    read_directory: Some(read_directory),
    resolve_reparse_points: Some(resolve_reparse_points),
    get_reparse_point: Some(get_reparse_point),
    set_reparse_point: Some(write_protected),
    delete_reparse_point: Some(write_protected),
    get_stream_info: Some(get_stream_info),
    get_dir_info_by_name: Some(get_dir_info_by_name),
    control: None,
    set_delete: None,
    create_ex: None,
    overwrite_ex: None,
    get_ea: Some(get_ea),
    set_ea: Some(write_protected),
    obsolete: None,
    dispatcher_stopped: Some(dispatcher_stopped),
    reserved: [None; 31],
};

thread_local! {
    /// A thread's buffer, as large as its largest request so far.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Runs a callback. The adapter has its own guard; what gets as far as here must not unwind into WinFsp.
fn guarded(work: impl FnOnce() -> Answer<()>) -> NtStatus {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => Status::SUCCESS.code(),
        Ok(Err(status)) => status.code(),
        Err(_) => Status::INTERNAL_ERROR.code(),
    }
}

/// # Safety
/// As the module says of `fs`.
unsafe fn mounted<'a>(fs: Fs) -> &'a Mounted {
    // SAFETY: the caller's.
    unsafe { &*(*fs).user_context.cast::<Mounted>() }
}

/// # Safety
/// As the module says of `fs`.
unsafe fn adapter<'a>(fs: Fs) -> &'a Adapter {
    // SAFETY: the caller's.
    unsafe { &mounted(fs).adapter }
}

/// # Safety
/// As the module says of `context`.
unsafe fn handle<'a>(context: Context) -> &'a Handle {
    // SAFETY: the caller's. Requests for one file may run at once, and share it.
    unsafe { &*context.cast::<Handle>() }
}

/// The units of a name, without its NUL.
///
/// # Safety
/// `text` is null or ends with NUL.
unsafe fn name<'a>(text: Wide) -> &'a [u16] {
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
unsafe fn put<T>(to: *mut T, value: T) {
    if !to.is_null() {
        // SAFETY: the caller's; buffers of records need not be aligned for them.
        unsafe { to.write_unaligned(value) };
    }
}

/// Copies `bytes` to a buffer whose length is at `len`, and tells theirs there; `short` when they do not fit.
///
/// # Safety
/// `len` is null, then nothing is written, or points to the length of `to`; `to` may be null to ask for the length.
unsafe fn put_sized(bytes: &[u8], to: *mut c_void, len: *mut usize, short: Status) -> Answer<()> {
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
unsafe fn put_filled(
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

fn file_info(info: &Info) -> FileInfo {
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

/// In place of every callback that would change something; C's calling convention lets it ignore its arguments.
unsafe extern "C" fn write_protected() -> NtStatus {
    Status::MEDIA_WRITE_PROTECTED.code()
}

unsafe extern "C" fn get_volume_info(fs: Fs, out: *mut VolumeInfo) -> NtStatus {
    guarded(|| {
        // SAFETY: as the module says.
        let adapter = unsafe { adapter(fs) };
        let usage = adapter.usage()?;
        let mut volume_label = [0; MAX_LABEL];
        let label = &adapter.face().label;
        volume_label[..label.len()].copy_from_slice(label);
        let info = VolumeInfo {
            total_size: usage.total,
            free_size: usage.free.min(usage.total),
            volume_label_length: u16::try_from(2 * label.len()).expect("at most 64 bytes"),
            volume_label,
        };
        // SAFETY: as the module says.
        unsafe { put(out, info) };
        Ok(())
    })
}

unsafe extern "C" fn get_security_by_name(
    fs: Fs,
    path: Wide,
    attributes: *mut u32,
    descriptor: *mut c_void,
    len: *mut usize,
) -> NtStatus {
    guarded(|| {
        // SAFETY: as the module says.
        let found = unsafe { adapter(fs).by_name(name(path))? };
        match found {
            ByName::Link(start) => {
                // SAFETY: as the module says.
                unsafe { put(attributes, start) };
                Err(Status::REPARSE)
            }
            ByName::Named(named) => {
                // SAFETY: as the module says. No descriptor: WinFsp checks no access.
                unsafe {
                    put(attributes, named.attributes);
                    put_sized(&named.descriptor, descriptor, len, Status::BUFFER_OVERFLOW)
                }
            }
        }
    })
}

unsafe extern "C" fn open(
    fs: Fs,
    path: Wide,
    options: u32,
    granted: u32,
    context: *mut Context,
    out: *mut FileInfo,
) -> NtStatus {
    guarded(|| {
        // SAFETY: as the module says.
        let (mounted, path) = unsafe { (mounted(fs), name(path)) };
        // SAFETY: the library's function may be called at any time during a callback; it tells of this very request, and
        // nothing where there is none.
        let operation = unsafe { (mounted.library.operation_context)().as_ref() };
        let operation = operation.filter(|operation| is_create(operation));
        // Without a check of access everything is granted to whoever asks for "whatever is allowed".
        // SAFETY: the request lives as long as the callback, and is one of the kind `Create`.
        let access = operation.map_or(granted, |operation| unsafe { (*operation.request).desired_access });
        let (opened, info) = mounted.adapter.open(path, options, access)?;
        if let Some(operation) = operation.filter(|_| opened.is_volatile()) {
            // SAFETY: the response lives as long as the callback, and is that of a request of the kind `Create`.
            unsafe { (*operation.response).flags |= DISABLE_CACHE };
        }
        // SAFETY: as the module says.
        unsafe {
            put(out, file_info(&info));
            put(context, Box::into_raw(Box::new(opened)).cast());
        }
        Ok(())
    })
}

fn is_create(operation: &OperationContext) -> bool {
    // SAFETY: WinFsp's context has both, of one request, while a callback runs; its head is the same for all kinds.
    !operation.request.is_null()
        && !operation.response.is_null()
        && unsafe { (*operation.request).kind } == CREATE_KIND
}

unsafe extern "C" fn close(fs: Fs, context: Context) {
    guarded(|| {
        // SAFETY: as the module says: `open` made it, and after this nobody uses it.
        let handle = unsafe { Box::from_raw(context.cast::<Handle>()) };
        // SAFETY: as the module says.
        unsafe { adapter(fs) }.close(*handle);
        Ok(())
    });
}

unsafe extern "C" fn read(
    fs: Fs,
    context: Context,
    to: *mut c_void,
    offset: u64,
    len: u32,
    done: *mut u32,
) -> NtStatus {
    guarded(|| {
        // SAFETY: as the module says.
        let (adapter, handle) = unsafe { (adapter(fs), handle(context)) };
        let mut total = 0;
        while total < len {
            let (mut got, left) = (0, len - total);
            let at = usize::try_from(total).unwrap_or(usize::MAX);
            let from = offset.checked_add(total.into()).ok_or(Status::INVALID_PARAMETER)?;
            // SAFETY: as the module says; `left` bytes are behind the first `total`.
            let read = unsafe {
                put_filled(to.byte_add(at), left, &raw mut got, |buffer| adapter.read(handle, from, buffer))
            };
            match read {
                Ok(()) => {}
                // The end of the file, behind bytes that are there.
                Err(Status::END_OF_FILE) if total > 0 => break,
                Err(status) => return Err(status),
            }
            if got == 0 {
                break;
            }
            total += got;
        }
        // SAFETY: as the module says.
        unsafe { put(done, total) };
        Ok(())
    })
}

unsafe extern "C" fn get_file_info(fs: Fs, context: Context, out: *mut FileInfo) -> NtStatus {
    guarded(|| {
        // SAFETY: as the module says.
        unsafe { put(out, file_info(&adapter(fs).info(handle(context))?)) };
        Ok(())
    })
}

/// There is nothing to flush, of a file or, without a context, of the volume.
unsafe extern "C" fn flush(fs: Fs, context: Context, out: *mut FileInfo) -> NtStatus {
    if context.is_null() {
        return Status::SUCCESS.code();
    }
    // SAFETY: as the module says; the arguments are those of the other request.
    unsafe { get_file_info(fs, context, out) }
}

unsafe extern "C" fn get_security(
    fs: Fs,
    context: Context,
    descriptor: *mut c_void,
    len: *mut usize,
) -> NtStatus {
    guarded(|| {
        // SAFETY: as the module says.
        unsafe {
            let found = adapter(fs).descriptor(handle(context))?;
            put_sized(&found, descriptor, len, Status::BUFFER_OVERFLOW)
        }
    })
}

/// The pattern is left to WinFsp, which applies it in any case; a pattern without wildcards is a request by name.
unsafe extern "C" fn read_directory(
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
        // SAFETY: as the module says.
        unsafe {
            let (adapter, handle) = (adapter(fs), handle(context));
            put_filled(to, len, done, |buffer| adapter.list(handle, marker, buffer))
        }
    })
}

unsafe extern "C" fn get_dir_info_by_name(
    fs: Fs,
    context: Context,
    file: Wide,
    out: *mut DirInfo,
) -> NtStatus {
    guarded(|| {
        // SAFETY: as the module says.
        let (stored, info) = unsafe { adapter(fs).entry(handle(context), name(file))? };
        let record = directory_entry(&stored, &info, 0).ok_or(Status::OBJECT_NAME_NOT_FOUND)?;
        // SAFETY: WinFsp's buffer has room for the longest name that an entry may have, 255 units.
        unsafe { ptr::copy_nonoverlapping(record.as_ptr(), out.cast(), record.len()) };
        Ok(())
    })
}

unsafe extern "C" fn resolve_reparse_points(
    fs: Fs,
    path: Wide,
    first: u32,
    last_too: Boolean,
    status: *mut IoStatusBlock,
    to: *mut c_void,
    len: *mut usize,
) -> NtStatus {
    // SAFETY: as the module says; the arguments are passed on to the function that is made for them, which returns its
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
        // SAFETY: as the module says.
        unsafe { put_sized(&adapter(fs).link_at(name(path))?, to, len, Status::BUFFER_TOO_SMALL) }
    })
}

unsafe extern "C" fn get_reparse_point(
    fs: Fs,
    context: Context,
    _path: Wide,
    to: *mut c_void,
    len: *mut usize,
) -> NtStatus {
    guarded(|| {
        // SAFETY: as the module says.
        unsafe { put_sized(&adapter(fs).reparse_point(handle(context))?, to, len, Status::BUFFER_TOO_SMALL) }
    })
}

unsafe extern "C" fn get_stream_info(
    fs: Fs,
    context: Context,
    to: *mut c_void,
    len: u32,
    done: *mut u32,
) -> NtStatus {
    guarded(|| {
        // SAFETY: as the module says.
        unsafe {
            let (adapter, handle) = (adapter(fs), handle(context));
            put_filled(to, len, done, |buffer| adapter.streams(handle, buffer))
        }
    })
}

unsafe extern "C" fn get_ea(fs: Fs, context: Context, to: *mut c_void, len: u32, done: *mut u32) -> NtStatus {
    guarded(|| {
        // SAFETY: as the module says.
        unsafe {
            let chain = adapter(fs).extended_attributes(handle(context))?;
            let mut room = usize::try_from(len).unwrap_or(0);
            put_sized(&chain, to, &raw mut room, Status::EA_TOO_LARGE)?;
            put(done, u32::try_from(chain.len()).map_err(|_| Status::EA_TOO_LARGE)?);
        }
        Ok(())
    })
}

unsafe extern "C" fn dispatcher_stopped(fs: Fs, normally: Boolean) {
    guarded(|| {
        // SAFETY: as the module says.
        let mounted = unsafe { mounted(fs) };
        if normally == 0 {
            (mounted.stopped)();
        }
        Ok(())
    });
}
