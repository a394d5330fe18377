//! The callbacks of WinFsp: requests become calls of the adapter, and its results are written to WinFsp's outputs. WinFsp
//! calls from several threads at once. The arguments' types are safe to use: see [`super::arguments`].

mod directory;
mod file;
mod link;
mod volume;

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{
    super::adapter::{Answer, Status},
    interface::Interface,
    raw::NtStatus,
};

/// The callbacks of a read-only volume. Those that would modify it exist to refuse: without them WinFsp would return
/// "invalid device request", and refuse even to open.
pub(super) const INTERFACE: Interface = Interface {
    get_volume_info: Some(volume::get_volume_info),
    set_volume_label: Some(write_protected),
    get_security_by_name: Some(file::get_security_by_name),
    create: Some(write_protected),
    open: Some(file::open),
    overwrite: Some(write_protected),
    cleanup: None,
    close: Some(file::close),
    read: Some(file::read),
    write: Some(write_protected),
    flush: Some(file::flush),
    get_file_info: Some(file::get_file_info),
    set_basic_info: Some(write_protected),
    set_file_size: Some(write_protected),
    can_delete: Some(write_protected),
    rename: Some(write_protected),
    get_security: Some(file::get_security),
    set_security: Some(write_protected),
    read_directory: Some(directory::read_directory),
    resolve_reparse_points: Some(link::resolve_reparse_points),
    get_reparse_point: Some(link::get_reparse_point),
    set_reparse_point: Some(write_protected),
    delete_reparse_point: Some(write_protected),
    get_stream_info: Some(directory::get_stream_info),
    get_dir_info_by_name: Some(directory::get_dir_info_by_name),
    control: None,
    set_delete: None,
    create_ex: None,
    overwrite_ex: None,
    get_ea: Some(file::get_ea),
    set_ea: Some(write_protected),
    obsolete: None,
    dispatcher_stopped: Some(volume::dispatcher_stopped),
    reserved: [None; 31],
};

/// Replaces every callback that would modify the volume; C's calling convention lets it ignore its arguments.
extern "C" fn write_protected() -> NtStatus {
    Status::MEDIA_WRITE_PROTECTED.code()
}

/// Runs a callback. The adapter catches panics itself; one that gets here must not unwind into WinFsp.
fn guarded(work: impl FnOnce() -> Answer<()>) -> NtStatus {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => Status::SUCCESS.code(),
        Ok(Err(status)) => status.code(),
        Err(_) => Status::INTERNAL_ERROR.code(),
    }
}
