//! Sizes of encrypted streams in ntfs-3g's raw form: the ciphertext in whole units, and the number of bytes that pad the
//! last of them.

use super::{Attribute, FLAG_ENCRYPTED, Form};

/// EFS encrypts in units of this many bytes, whatever the volume's sectors.
pub(in super::super) const UNIT: u64 = 512;
pub(in super::super) const TRAILER: usize = 2;

/// Length of the raw form of a stream; an empty one stays empty.
pub(in super::super) fn raw_size(size: u64) -> Option<u64> {
    if size == 0 { Some(0) } else { size.checked_next_multiple_of(UNIT)?.checked_add(TRAILER as u64) }
}

/// The size that `attribute` has when its raw form is shown: `None` where it is shown as it is.
pub(in super::super) fn shown_size(attribute: &Attribute<'_>) -> Option<u64> {
    match attribute.form {
        Form::NonResident(extent) if attribute.flags & FLAG_ENCRYPTED != 0 => raw_size(extent.file_size),
        _ => None,
    }
}
