//! WinFsp's structures and functions, field by field as `winfsp/fsctl.h` and `winfsp/winfsp.h` define them for 64-bit
//! Windows (MSVC's layout). No logic; the headers' sizes and offsets are checked at compile time.

use std::{
    ffi::c_void,
    mem::{offset_of, size_of},
};

use super::super::adapter::{DIR_INFO, FILE_INFO, STREAM_INFO};

pub(super) type NtStatus = i32;
pub(super) type Boolean = u8;

/// `FSP_FSCTL_VOLUME_PARAMS`
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct VolumeParams {
    pub(super) version: u16,
    pub(super) sector_size: u16,
    pub(super) sectors_per_allocation_unit: u16,
    pub(super) max_component_length: u16,
    pub(super) volume_creation_time: u64,
    pub(super) volume_serial_number: u32,
    pub(super) transact_timeout: u32,
    pub(super) irp_timeout: u32,
    pub(super) irp_capacity: u32,
    pub(super) file_info_timeout: u32,
    pub(super) flags: u32,
    pub(super) prefix: Prefix,
    pub(super) file_system_name: [u16; 16],
    pub(super) timeouts_valid: u32,
    pub(super) volume_info_timeout: u32,
    pub(super) dir_info_timeout: u32,
    pub(super) security_timeout: u32,
    pub(super) stream_info_timeout: u32,
    pub(super) ea_timeout: u32,
    pub(super) fsext_control_code: u32,
    pub(super) reserved32: u32,
    pub(super) reserved64: [u64; 2],
}

const _: () = assert!(size_of::<VolumeParams>() == 504);
const _: () = assert!(offset_of!(VolumeParams, volume_creation_time) == 8);
const _: () = assert!(offset_of!(VolumeParams, flags) == 36);
const _: () = assert!(offset_of!(VolumeParams, file_system_name) == 424);
const _: () = assert!(offset_of!(VolumeParams, volume_info_timeout) == 460);

/// The UNC prefix of a network filesystem: none.
#[repr(transparent)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Prefix([u16; 192]);

impl Default for Prefix {
    fn default() -> Self {
        Self([0; 192])
    }
}

/// The bits of `VolumeParams::flags`.
pub(super) mod flag {
    pub(in super::super) const CASE_PRESERVED_NAMES: u32 = 1 << 1;
    pub(in super::super) const UNICODE_ON_DISK: u32 = 1 << 2;
    pub(in super::super) const PERSISTENT_ACLS: u32 = 1 << 3;
    pub(in super::super) const REPARSE_POINTS: u32 = 1 << 4;
    pub(in super::super) const NAMED_STREAMS: u32 = 1 << 6;
    pub(in super::super) const EXTENDED_ATTRIBUTES: u32 = 1 << 8;
    pub(in super::super) const READ_ONLY_VOLUME: u32 = 1 << 9;
    pub(in super::super) const POST_CLEANUP_WHEN_MODIFIED_ONLY: u32 = 1 << 10;
    pub(in super::super) const PASS_QUERY_DIRECTORY_FILE_NAME: u32 = 1 << 13;
    pub(in super::super) const UM_FILE_CONTEXT_IS_USER_CONTEXT2: u32 = 1 << 16;
    pub(in super::super) const CASE_PRESERVED_EXTENDED_ATTRIBUTES: u32 = 1 << 25;
    pub(in super::super) const DIRECTORY_MARKER_AS_NEXT_OFFSET: u32 = 1 << 27;
}

/// The bit of `VolumeParams::timeouts_valid` for the volume's information.
pub(super) const VOLUME_INFO_TIMEOUT_VALID: u32 = 1;

/// `FSP_FSCTL_VOLUME_INFO`
#[repr(C)]
pub(super) struct VolumeInfo {
    pub(super) total_size: u64,
    pub(super) free_size: u64,
    /// Length in bytes.
    pub(super) volume_label_length: u16,
    pub(super) volume_label: [u16; 32],
}

const _: () = assert!(size_of::<VolumeInfo>() == 88 && offset_of!(VolumeInfo, volume_label) == 18);

/// `FSP_FSCTL_FILE_INFO`
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FileInfo {
    pub(super) file_attributes: u32,
    pub(super) reparse_tag: u32,
    pub(super) allocation_size: u64,
    pub(super) file_size: u64,
    pub(super) creation_time: u64,
    pub(super) last_access_time: u64,
    pub(super) last_write_time: u64,
    pub(super) change_time: u64,
    pub(super) index_number: u64,
    pub(super) hard_links: u32,
    pub(super) ea_size: u32,
}

const _: () = assert!(size_of::<FileInfo>() == FILE_INFO && offset_of!(FileInfo, index_number) == 56);

/// `FSP_FSCTL_DIR_INFO` without its name; only its size is used, the adapter writes it as bytes.
#[repr(C)]
pub(super) struct DirInfo {
    pub(super) size: u16,
    pub(super) file_info: FileInfo,
    pub(super) next_offset: u64,
    pub(super) padding: [u64; 2],
    pub(super) name: [u16; 0],
}

const _: () = assert!(size_of::<DirInfo>() == DIR_INFO && offset_of!(DirInfo, name) == DIR_INFO);
const _: () = assert!(offset_of!(DirInfo, file_info) == 8 && offset_of!(DirInfo, next_offset) == 80);

/// `FSP_FSCTL_STREAM_INFO` without its name, for its layout alone.
#[repr(C)]
struct StreamInfo {
    size: u16,
    stream_size: u64,
    stream_allocation_size: u64,
    name: [u16; 0],
}

const _: () = assert!(size_of::<StreamInfo>() == STREAM_INFO && offset_of!(StreamInfo, name) == STREAM_INFO);
const _: () = assert!(offset_of!(StreamInfo, stream_size) == 8);

/// `FSP_FSCTL_TRANSACT_BUF`
#[repr(C)]
pub(super) struct TransactBuf {
    offset: u16,
    size: u16,
}

/// The beginning of `FSP_FSCTL_TRANSACT_REQ` for a request of the kind `Create`.
#[repr(C)]
pub(super) struct CreateRequest {
    version: u16,
    size: u16,
    pub(super) kind: u32,
    hint: u64,
    create_options: u32,
    file_attributes: u32,
    security_descriptor: TransactBuf,
    allocation_size: u64,
    access_token: u64,
    pub(super) desired_access: u32,
}

const _: () = assert!(offset_of!(CreateRequest, create_options) == 16);
const _: () = assert!(offset_of!(CreateRequest, desired_access) == 48);

/// `FspFsctlTransactCreateKind`
pub(super) const CREATE_KIND: u32 = 1;

/// The beginning of `FSP_FSCTL_TRANSACT_RSP` for a request of the kind `Create`.
#[repr(C)]
pub(super) struct CreateResponse {
    version: u16,
    size: u16,
    kind: u32,
    hint: u64,
    io_information: u32,
    io_status: u32,
    user_context: u64,
    user_context2: u64,
    granted_access: u32,
    security_descriptor: TransactBuf,
    file_info: FileInfo,
    file_name: TransactBuf,
    pub(super) flags: u32,
}

const _: () = assert!(offset_of!(CreateResponse, file_info) == 48);
const _: () = assert!(offset_of!(CreateResponse, flags) == 124 && size_of::<CreateResponse>() == 128);

/// `CreateResponse::flags`: `DisableCache`.
pub(super) const DISABLE_CACHE: u32 = 1;

/// `FSP_FILE_SYSTEM_OPERATION_CONTEXT`
#[repr(C)]
pub(super) struct OperationContext {
    pub(super) request: *mut CreateRequest,
    pub(super) response: *mut CreateResponse,
}

/// The beginning of `FSP_FILE_SYSTEM`, which the library allocates.
#[repr(C)]
pub(super) struct FileSystem {
    version: u16,
    pub(super) user_context: *mut c_void,
}

const _: () = assert!(offset_of!(FileSystem, user_context) == 8);

/// `IO_STATUS_BLOCK`
#[repr(C)]
pub(super) struct IoStatusBlock {
    status: usize,
    information: usize,
}

pub(super) type Fs = *mut FileSystem;
pub(super) type Context = *mut c_void;
pub(super) type Wide = *mut u16;
