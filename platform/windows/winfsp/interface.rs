//! `FSP_FILE_SYSTEM_INTERFACE`: the table of callbacks, as `winfsp/winfsp.h` defines it.

use std::{ffi::c_void, mem::offset_of};

use super::{
    arguments::{
        Buffer, ClosedFile, EntryOut, FileSystem, IoStatus, Len, Marker, NewFile, OpenFile, Out, Room, Text,
    },
    raw::{Boolean, FileInfo, NtStatus, VolumeInfo},
};

/// A callback that is not set, or whose arguments are not used.
pub(super) type Any = Option<extern "C" fn() -> NtStatus>;

pub(super) type GetReparsePointByName =
    extern "C" fn(FileSystem, *mut c_void, Text, Boolean, Buffer, Room) -> NtStatus;

/// `FSP_FILE_SYSTEM_INTERFACE`
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct Interface {
    pub(super) get_volume_info: Option<extern "C" fn(FileSystem, Out<VolumeInfo>) -> NtStatus>,
    pub(super) set_volume_label: Any,
    pub(super) get_security_by_name:
        Option<extern "C" fn(FileSystem, Text, Out<u32>, Buffer, Room) -> NtStatus>,
    pub(super) create: Any,
    pub(super) open: Option<extern "C" fn(FileSystem, Text, u32, u32, NewFile, Out<FileInfo>) -> NtStatus>,
    pub(super) overwrite: Any,
    pub(super) cleanup: Any,
    pub(super) close: Option<extern "C" fn(FileSystem, ClosedFile)>,
    pub(super) read: Option<extern "C" fn(FileSystem, OpenFile, Buffer, u64, Len, Out<u32>) -> NtStatus>,
    pub(super) write: Any,
    pub(super) flush: Option<extern "C" fn(FileSystem, OpenFile, Out<FileInfo>) -> NtStatus>,
    pub(super) get_file_info: Option<extern "C" fn(FileSystem, OpenFile, Out<FileInfo>) -> NtStatus>,
    pub(super) set_basic_info: Any,
    pub(super) set_file_size: Any,
    pub(super) can_delete: Any,
    pub(super) rename: Any,
    pub(super) get_security: Option<extern "C" fn(FileSystem, OpenFile, Buffer, Room) -> NtStatus>,
    pub(super) set_security: Any,
    pub(super) read_directory:
        Option<extern "C" fn(FileSystem, OpenFile, Text, Marker, Buffer, Len, Out<u32>) -> NtStatus>,
    pub(super) resolve_reparse_points:
        Option<extern "C" fn(FileSystem, Text, u32, Boolean, IoStatus, Buffer, Room) -> NtStatus>,
    pub(super) get_reparse_point: Option<extern "C" fn(FileSystem, OpenFile, Text, Buffer, Room) -> NtStatus>,
    pub(super) set_reparse_point: Any,
    pub(super) delete_reparse_point: Any,
    pub(super) get_stream_info:
        Option<extern "C" fn(FileSystem, OpenFile, Buffer, Len, Out<u32>) -> NtStatus>,
    pub(super) get_dir_info_by_name: Option<extern "C" fn(FileSystem, OpenFile, Text, EntryOut) -> NtStatus>,
    pub(super) control: Any,
    pub(super) set_delete: Any,
    pub(super) create_ex: Any,
    pub(super) overwrite_ex: Any,
    pub(super) get_ea: Option<extern "C" fn(FileSystem, OpenFile, Buffer, Len, Out<u32>) -> NtStatus>,
    pub(super) set_ea: Any,
    pub(super) obsolete: Any,
    pub(super) dispatcher_stopped: Option<extern "C" fn(FileSystem, Boolean)>,
    pub(super) reserved: [Any; 31],
}

const _: () = assert!(size_of::<Interface>() == 64 * size_of::<usize>());
const _: () = assert!(offset_of!(Interface, get_reparse_point) == 160);
const _: () = assert!(offset_of!(Interface, get_ea) == 232);
const _: () = assert!(offset_of!(Interface, dispatcher_stopped) == 256);
