//! Self-relative security descriptors (MS-DTYP 2.4.6). Those of the volume are passed on unchanged after validation;
//! every other file gets one that lets everybody read.

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

const HEADER: usize = 20;
const SE_DACL_PRESENT: u16 = 0x0004;
const SE_SACL_PRESENT: u16 = 0x0010;
const SE_SELF_RELATIVE: u16 = 0x8000;
/// Most sub-authorities in a SID.
const MAX_SUB_AUTHORITIES: usize = 15;

/// True when every part of the descriptor lies inside it, so that Windows' parsers do not read past its end.
pub(super) fn is_sound(descriptor: &[u8]) -> bool {
    sound(descriptor).is_some()
}

fn sound(descriptor: &[u8]) -> Option<()> {
    let header: &[u8; HEADER] = descriptor.first_chunk()?;
    let control = u16::from_le_bytes([header[2], header[3]]);
    if header[0] != 1 || control & SE_SELF_RELATIVE == 0 {
        return None;
    }
    let part = |at: usize| -> Option<Option<&[u8]>> {
        let offset = usize::try_from(u32::from_le_bytes(*header[at..].first_chunk()?)).ok()?;
        match offset {
            0 => Some(None),
            offset if offset % 4 != 0 || offset < HEADER => None,
            offset => descriptor.get(offset..).map(Some),
        }
    };
    for at in [4, 8] {
        part(at)?.map_or(Some(()), |sid| sid_len(sid).map(drop))?;
    }
    for (at, flag) in [(12, SE_SACL_PRESENT), (16, SE_DACL_PRESENT)] {
        if control & flag != 0 {
            part(at)?.map_or(Some(()), sound_acl)?;
        }
    }
    Some(())
}

/// The length of the SID at the beginning of `bytes`.
fn sid_len(bytes: &[u8]) -> Option<usize> {
    let &[revision, count] = bytes.first_chunk()?;
    let len = 8 + 4 * usize::from(count);
    (revision == 1 && usize::from(count) <= MAX_SUB_AUTHORITIES && bytes.len() >= len).then_some(len)
}

fn sound_acl(bytes: &[u8]) -> Option<()> {
    let &[revision, _, size_low, size_high, count_low, count_high] = bytes.first_chunk()?;
    let size = usize::from(u16::from_le_bytes([size_low, size_high]));
    let acl = bytes.get(..size).filter(|_| (2..=4).contains(&revision))?;
    let mut left = acl.get(8..)?;
    for _ in 0..u16::from_le_bytes([count_low, count_high]) {
        let &[kind, _, low, high] = left.first_chunk()?;
        let size = usize::from(u16::from_le_bytes([low, high]));
        let ace = left.get(..size).filter(|ace| ace.len() >= 8 && size % 4 == 0)?;
        if is_plain(kind) {
            sid_len(&ace[8..])?;
        }
        left = &left[size..];
    }
    Some(())
}

/// True for ACE types that hold a mask and then a SID: allowed, denied, audit, alarm, their callback forms, label,
/// resource attribute, scoped policy. File access checks do not read the other types.
fn is_plain(kind: u8) -> bool {
    matches!(kind, 0..=3 | 9 | 10 | 13 | 14 | 17..=19)
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
