//! A file as it is put into records: its flags, its reference, its attributes.

use super::attribute::Attribute;

/// A file before its attributes are put into records.
#[derive(Debug, Clone, Default)]
pub(super) struct File {
    pub(super) number: u64,
    pub(super) sequence: usize,
    /// In use, with a name index.
    pub(super) flags: usize,
    pub(super) links: usize,
    pub(super) attributes: Vec<Attribute>,
    /// Puts attributes into extension records even if they fit.
    pub(super) spread: bool,
    /// The list is in clusters.
    pub(super) list_stored: bool,
}

pub(super) const IN_USE: usize = 1;
pub(super) const DIRECTORY: usize = 2;

/// Offset of the update sequence array in a record.
pub(super) const RECORD_ARRAY: usize = 48;

pub(super) fn reference(number: u64, sequence: usize) -> u64 {
    number | (sequence as u64) << 48
}
