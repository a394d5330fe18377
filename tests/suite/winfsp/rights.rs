//! What a program asks for when it opens a file: the numbers of `NtCreateFile`.

/// `FILE_…` and standard rights.
pub(super) mod access {
    pub(in super::super) const READ_DATA: u32 = 0x1;
    pub(in super::super) const WRITE_DATA: u32 = 0x2;
    pub(in super::super) const APPEND_DATA: u32 = 0x4;
    pub(in super::super) const WRITE_EA: u32 = 0x10;
    pub(in super::super) const READ_ATTRIBUTES: u32 = 0x80;
    pub(in super::super) const WRITE_ATTRIBUTES: u32 = 0x100;
    pub(in super::super) const DELETE: u32 = 0x1_0000;
    pub(in super::super) const READ_CONTROL: u32 = 0x2_0000;
    pub(in super::super) const WRITE_DAC: u32 = 0x4_0000;
    pub(in super::super) const WRITE_OWNER: u32 = 0x8_0000;
    pub(in super::super) const MAXIMUM_ALLOWED: u32 = 0x200_0000;
    /// What `GENERIC_READ` and `GENERIC_EXECUTE` become before the driver sees them.
    pub(in super::super) const GENERIC_READ: u32 = 0x12_0089;
    pub(in super::super) const GENERIC_EXECUTE: u32 = 0x12_00A0;
    pub(in super::super) const GENERIC_WRITE: u32 = 0x12_0116;
    pub(in super::super) const ALL: u32 = 0x1F_01FF;
}

/// `FILE_…` options of a create request.
pub(super) mod option {
    pub(in super::super) const DIRECTORY_FILE: u32 = 0x1;
    pub(in super::super) const NON_DIRECTORY_FILE: u32 = 0x40;
    pub(in super::super) const DELETE_ON_CLOSE: u32 = 0x1000;
    pub(in super::super) const OPEN_REPARSE_POINT: u32 = 0x20_0000;
}

/// `CreateDisposition`.
pub(super) mod disposition {
    pub(in super::super) const SUPERSEDE: u32 = 0;
    pub(in super::super) const OPEN: u32 = 1;
    pub(in super::super) const CREATE: u32 = 2;
    pub(in super::super) const OPEN_IF: u32 = 3;
    pub(in super::super) const OVERWRITE: u32 = 4;
    pub(in super::super) const OVERWRITE_IF: u32 = 5;
}
