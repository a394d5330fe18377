//! A file: found by its path, opened, read, asked for what is known of it, closed. What `open` hands out is a [`Handle`] on
//! the heap, which `close` takes back.

use std::ffi::c_void;

use super::{
    super::{
        super::adapter::{ByName, Handle, Status},
        raw::{CREATE_KIND, Context, DISABLE_CACHE, FileInfo, Fs, NtStatus, OperationContext, Wide},
    },
    adapter, guarded, handle,
    memory::{file_info, name, put, put_filled, put_sized},
    mounted,
};

pub(super) unsafe extern "C" fn get_security_by_name(
    fs: Fs,
    path: Wide,
    attributes: *mut u32,
    descriptor: *mut c_void,
    len: *mut usize,
) -> NtStatus {
    guarded(|| {
        // SAFETY: as `callbacks` says.
        let found = unsafe { adapter(fs).by_name(name(path))? };
        match found {
            ByName::Link(start) => {
                // SAFETY: as `callbacks` says.
                unsafe { put(attributes, start) };
                Err(Status::REPARSE)
            }
            ByName::Named(named) => {
                // SAFETY: as `callbacks` says. No descriptor: WinFsp checks no access.
                unsafe {
                    put(attributes, named.attributes);
                    put_sized(&named.descriptor, descriptor, len, Status::BUFFER_OVERFLOW)
                }
            }
        }
    })
}

pub(super) unsafe extern "C" fn open(
    fs: Fs,
    path: Wide,
    options: u32,
    granted: u32,
    context: *mut Context,
    out: *mut FileInfo,
) -> NtStatus {
    guarded(|| {
        // SAFETY: as `callbacks` says.
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
        // SAFETY: as `callbacks` says.
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

pub(super) unsafe extern "C" fn close(fs: Fs, context: Context) {
    guarded(|| {
        // SAFETY: as `callbacks` says: `open` made it, and after this nobody uses it.
        let handle = unsafe { Box::from_raw(context.cast::<Handle>()) };
        // SAFETY: as `callbacks` says.
        unsafe { adapter(fs) }.close(*handle);
        Ok(())
    });
}

pub(super) unsafe extern "C" fn read(
    fs: Fs,
    context: Context,
    to: *mut c_void,
    offset: u64,
    len: u32,
    done: *mut u32,
) -> NtStatus {
    guarded(|| {
        // SAFETY: as `callbacks` says.
        let (adapter, handle) = unsafe { (adapter(fs), handle(context)) };
        let mut total = 0;
        while total < len {
            let (mut got, left) = (0, len - total);
            let at = usize::try_from(total).unwrap_or(usize::MAX);
            let from = offset.checked_add(total.into()).ok_or(Status::INVALID_PARAMETER)?;
            // SAFETY: as `callbacks` says; `left` bytes are behind the first `total`.
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
        // SAFETY: as `callbacks` says.
        unsafe { put(done, total) };
        Ok(())
    })
}

pub(super) unsafe extern "C" fn get_file_info(fs: Fs, context: Context, out: *mut FileInfo) -> NtStatus {
    guarded(|| {
        // SAFETY: as `callbacks` says.
        unsafe { put(out, file_info(&adapter(fs).info(handle(context))?)) };
        Ok(())
    })
}

/// There is nothing to flush, of a file or, without a context, of the volume.
pub(super) unsafe extern "C" fn flush(fs: Fs, context: Context, out: *mut FileInfo) -> NtStatus {
    if context.is_null() {
        return Status::SUCCESS.code();
    }
    // SAFETY: as `callbacks` says; the arguments are those of the other request.
    unsafe { get_file_info(fs, context, out) }
}

pub(super) unsafe extern "C" fn get_security(
    fs: Fs,
    context: Context,
    descriptor: *mut c_void,
    len: *mut usize,
) -> NtStatus {
    guarded(|| {
        // SAFETY: as `callbacks` says.
        unsafe {
            let found = adapter(fs).descriptor(handle(context))?;
            put_sized(&found, descriptor, len, Status::BUFFER_OVERFLOW)
        }
    })
}

pub(super) unsafe extern "C" fn get_ea(
    fs: Fs,
    context: Context,
    to: *mut c_void,
    len: u32,
    done: *mut u32,
) -> NtStatus {
    guarded(|| {
        // SAFETY: as `callbacks` says.
        unsafe {
            let chain = adapter(fs).extended_attributes(handle(context))?;
            let mut room = usize::try_from(len).unwrap_or(0);
            put_sized(&chain, to, &raw mut room, Status::EA_TOO_LARGE)?;
            put(done, u32::try_from(chain.len()).map_err(|_| Status::EA_TOO_LARGE)?);
        }
        Ok(())
    })
}
