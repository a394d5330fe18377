//! The table of volume formats: each has a file of its own, and a line here.

use super::{
    bcache, bitlocker,
    format::{Format, Known, Look},
    ldm, luks, lvm, md, storage_spaces, zfs,
};
use crate::Result;

/// In the order of detection.
pub(super) const FORMATS: &[&dyn Format] = &[
    &bitlocker::BitLocker,
    &luks::Luks,
    &bcache::Bcache,
    &md::Md,
    &lvm::Lvm,
    &storage_spaces::StorageSpaces,
    &zfs::Zfs,
    &ldm::Ldm,
];

/// The format of a volume that belongs to one, as far as this stage says.
///
/// # Errors
/// When the volume cannot be read where a signature would be.
pub fn recognize(look: &Look<'_>) -> Result<Option<Known>> {
    for format in FORMATS {
        if format.detect(look)? {
            return Ok(Some(format.known()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        bytes::{MemorySource, signature::read_front},
        volume::format::Stage,
    };

    /// A volume of 2 MiB, blank but for these bytes: the stage at which it is recognized, and as what.
    fn name(parts: &[(usize, &[u8])]) -> Option<(Stage, &'static str)> {
        let mut bytes = vec![0; 2 << 20];
        parts.iter().for_each(|(offset, part)| bytes[*offset..][..part.len()].copy_from_slice(part));
        let volume = MemorySource(bytes);
        let stages = [(Stage::First, 512), (Stage::Front, 68 << 10), (Stage::Last, 68 << 10)];
        stages.into_iter().find_map(|(stage, len)| {
            let front = read_front(&volume, len).unwrap();
            let known = recognize(&Look { stage, volume: &volume, front: &front }).unwrap();
            known.map(|known| (stage, known.name))
        })
    }

    #[test]
    fn members_of_other_formats_are_recognized_where_their_signature_lies() {
        const MD: [u8; 4] = 0xa92b_4efc_u32.to_le_bytes();
        const BCACHE: &[u8] = b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81";
        let size = 2 << 20;
        for (parts, stage, expected) in [
            (&[(3, &b"-FVE-FS-"[..])][..], Stage::First, "BitLocker"),
            (&[(0, b"LUKS\xba\xbe")], Stage::Front, "LUKS"),
            (&[(4120, BCACHE)], Stage::Front, "bcache"),
            (&[(4096, &MD)], Stage::Front, "mdraid"),
            (&[(0, &MD)], Stage::Front, "mdraid"),
            (&[(512, b"LABELONE"), (536, b"LVM2 001")], Stage::Last, "LVM2"),
            (&[(4096, b"SPACEDB ")], Stage::Last, "Storage Spaces"),
            (&[(size - 0x1_0000, &MD)], Stage::Last, "mdraid"),
            (&[(size - 0x2000, &MD)], Stage::Last, "mdraid"),
            (&[(130 << 10, &0x00ba_b10c_u64.to_be_bytes())], Stage::Last, "ZFS"),
            (&[(6 * 512, b"PRIVHEAD")], Stage::Last, "LDM"),
            (&[(size - 512, b"PRIVHEAD")], Stage::Last, "LDM"),
        ] {
            assert_eq!(name(parts), Some((stage, expected)));
        }
        assert_eq!(name(&[]), None);
    }
}
