//! The user's options: what filesystems show, and how.

/// Options of what filesystems show, and how. Built by changing the defaults:
///
/// ```
/// let mut options = vhdmount::fs::Options::default();
/// options.show_system = true;
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Options {
    /// NTFS: list the metadata files (`$MFT`, …), and the stream that holds the data of a file compressed by WOF.
    pub show_system: bool,
    /// List `.deleted` and `.orphans`, the directories of deleted files and of files that no directory leads to, in the root
    /// of each volume.
    pub list_deleted: bool,
    /// NTFS: do not list files with the hidden attribute.
    pub hide_hidden: bool,
    /// NTFS: encrypted files in ntfs-3g's raw form, instead of an error.
    pub efs_raw: bool,
    /// FAT: the OEM code page of short names; `None`: 437.
    pub codepage: Option<u16>,
    /// FAT: offset of its local times from UTC, in minutes; positive is ahead.
    pub utc_offset_minutes: i16,
}
