//! Sizes of encrypted streams in ntfs-3g's raw form: the ciphertext in whole units, and the number of padding bytes in the
//! last one.

use super::{Attribute, FLAG_ENCRYPTED, Form};

/// EFS encrypts in units of this many bytes, whatever the volume's sector size.
pub(in super::super) const UNIT: u64 = 512;
pub(in super::super) const TRAILER: usize = 2;

/// Length of the raw form of a stream; an empty one stays empty.
pub(in super::super) fn raw_size(size: u64) -> Option<u64> {
    if size == 0 { Some(0) } else { size.checked_next_multiple_of(UNIT)?.checked_add(TRAILER as u64) }
}

/// The raw size of `attribute`, if its raw form is to be shown; `None` if it is shown as it is.
pub(in super::super) fn shown_size(attribute: &Attribute<'_>) -> Option<u64> {
    match attribute.form {
        Form::NonResident(extent) if attribute.flags & FLAG_ENCRYPTED != 0 => raw_size(extent.file_size),
        _ => None,
    }
}
