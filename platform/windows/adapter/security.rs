//! Self-relative security descriptors (MS-DTYP 2.4.6). Those of the volume are passed on unchanged after validation;
//! every other file gets one that lets everybody read.

use vhdmount::security::Descriptor;

/// `O:BAG:BAD:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;FRFX;;;WD)`: owned by the administrators, full access for them and the system,
/// read access for everyone.
#[rustfmt::skip]
pub(super) const READABLE_BY_ALL: [u8; 124] = [
    // Revision; SE_DACL_PRESENT, SE_DACL_PROTECTED, SE_SELF_RELATIVE; owner, group, no SACL, DACL.
    1, 0, 0x04, 0x90, 20, 0, 0, 0, 36, 0, 0, 0, 0, 0, 0, 0, 52, 0, 0, 0,
    // S-1-5-32-544, twice.
    1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0,
    1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0,
    // ACL_REVISION, its 72 bytes, 3 entries.
    2, 0, 72, 0, 3, 0, 0, 0,
    // Allowed: FILE_ALL_ACCESS to S-1-5-18.
    0, 0, 20, 0, 0xff, 0x01, 0x1f, 0, 1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0,
    // Allowed: FILE_ALL_ACCESS to S-1-5-32-544.
    0, 0, 24, 0, 0xff, 0x01, 0x1f, 0, 1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0,
    // Allowed: FILE_GENERIC_READ, FILE_GENERIC_EXECUTE to S-1-1-0.
    0, 0, 20, 0, 0xa9, 0x00, 0x12, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0,
];

/// True when every part of the descriptor lies inside it, so that Windows' parsers do not read past its end.
pub(super) fn is_sound(descriptor: &[u8]) -> bool {
    Descriptor::parse(descriptor).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_sound() {
        assert!(is_sound(&READABLE_BY_ALL));
    }

    #[test]
    fn damaged_descriptors_are_refused_or_harmless() {
        for len in 0..READABLE_BY_ALL.len() {
            assert!(!is_sound(&READABLE_BY_ALL[..len]), "{len}");
        }
        for at in 0..READABLE_BY_ALL.len() {
            for value in [0, 1, 2, 0x7f, 0xff] {
                let mut bad = READABLE_BY_ALL;
                bad[at] = value;
                is_sound(&bad);
            }
        }
        let mut outside = READABLE_BY_ALL;
        outside[4] = 120;
        assert!(!is_sound(&outside));
    }
}
