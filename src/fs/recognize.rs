//! What has a signature but no reader here: encrypted volumes, parts of pools, other systems' filesystems. Bounded
//! reads only; a name and a sentence on what the user can do.

use crate::{
    Result,
    bytes::{ByteSource, read_around_bad_sectors, read_vec},
};

/// Most superblocks lie in here; the last are those of btrfs, ReiserFS and UFS2 at 64 KiB.
const FRONT_LEN: u64 = 68 << 10;
/// As much of a volume must be zeros for it to count as unformatted.
const BLANK_LEN: u64 = 1 << 20;

/// Something recognized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) hint: &'static str,
}

/// Bytes at a place that tell one format.
struct Signature {
    offset: usize,
    bytes: &'static [u8],
    known: Known,
}

const fn known(name: &'static str, hint: &'static str) -> Known {
    Known { name, hint }
}

const fn at(offset: usize, bytes: &'static [u8], name: &'static str, hint: &'static str) -> Signature {
    Signature { offset, bytes, known: known(name, hint) }
}

const BITLOCKER: Known = known(
    "BitLocker",
    "encrypted: unlock it on Windows (manage-bde -unlock), or decrypt it with dislocker or cryptsetup bitlk",
);
const LINUX: &str = "a Linux filesystem that is not supported yet: mount the partition's raw view on Linux";
const MACOS: &str = "a macOS filesystem that is not supported: attach the image to a Mac";
const UNIX: &str = "a Unix filesystem that is not supported";
const OPTICAL: &str =
    "an optical disc's filesystem that is not supported: mount the raw view as a loop device";
const LVM: &str =
    "part of a Linux volume group: attach the raw view as a loop device and activate it (vgchange -ay)";
const RAID: &str = "part of a Linux RAID array: assemble it from the raw views of all its members (mdadm)";
const LUKS: &str = "encrypted: open its raw view on Linux (cryptsetup open)";
const SWAP: &str = "swap space, no filesystem";
const LDM: Known =
    known("LDM", "part of a Windows dynamic disk (Logical Disk Manager), whose volumes are not supported");
const STORAGE_SPACES: Known = known(
    "Storage Spaces",
    "part of a Storage Spaces pool: attach all disks of the pool to a Windows machine",
);
const MDRAID: Known = known("mdraid", RAID);
const ZFS: Known =
    known("ZFS", "part of a ZFS pool: import it from the raw views of all its members (zpool import)");

#[rustfmt::skip]
const SIGNATURES: &[Signature] = &[
    at(3, b"ReFS\0\0\0\0", "ReFS", "not supported yet: attach the image to a Windows machine that knows ReFS"),
    at(3, b"EXFAT   ", "exFAT", "not supported yet: mount the partition's raw view on Linux, or attach the image to Windows"),
    at(0, b"LUKS\xba\xbe", "LUKS", LUKS),
    at(0, b"XFSB", "xfs", LINUX),
    at(0x1_0040, b"_BHRfS_M", "btrfs", LINUX),
    at(1024, &0xf2f5_2010_u32.to_le_bytes(), "F2FS", LINUX),
    at(1024, &0xe0f5_e1e2_u32.to_le_bytes(), "EROFS", LINUX),
    at(1024, b"\x02\0\0\0\0\0\x34\x34", "NILFS2", LINUX),
    at(0, b"hsqs", "squashfs", LINUX),
    at(0, &0x28cd_3d45_u32.to_le_bytes(), "cramfs", LINUX),
    at(0x8000, b"JFS1", "JFS", LINUX),
    at(0x1_0034, b"ReIsErFs", "ReiserFS", LINUX),
    at(0x1_0034, b"ReIsEr2Fs", "ReiserFS", LINUX),
    at(0x1_0034, b"ReIsEr3Fs", "ReiserFS", LINUX),
    at(0x2000, b"OCFSV2", "OCFS2", LINUX),
    at(4120, b"\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef", "bcachefs", LINUX),
    at(4120, b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81", "bcache", "half of a Linux bcache device: attach both halves' raw views on Linux"),
    at(4096, &0xa92b_4efc_u32.to_le_bytes(), "mdraid", RAID),
    at(0, &0xa92b_4efc_u32.to_le_bytes(), "mdraid", RAID),
    at(32, b"NXSB", "APFS", MACOS),
    at(1024, b"H+\0\x04", "HFS+", MACOS),
    at(1024, b"HX\0\x05", "HFSX", MACOS),
    at(0x8001, b"CD001", "ISO 9660", OPTICAL),
    at(0x2000 + 1372, &0x0001_1954_u32.to_le_bytes(), "UFS1", UNIX),
    at(0x1_0000 + 1372, &0x1954_0119_u32.to_le_bytes(), "UFS2", UNIX),
    at(0x2000, &0xf995_e849_u32.to_le_bytes(), "HPFS", "the filesystem of OS/2, not supported: mount the raw view on Linux"),
];

/// Whether a volume's first sector says that it is encrypted with BitLocker.
pub(super) fn encrypted(boot: &[u8]) -> Option<Known> {
    /// The identifier of a volume's metadata, and the one for encryption on write; on-disk byte order.
    const IDS: [[u8; 16]; 2] = [
        [0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a, 0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0, 0x01],
        [0x3b, 0x4d, 0xa8, 0x92, 0x80, 0xdd, 0x0e, 0x4d, 0x9e, 0x4e, 0xb1, 0xe3, 0x28, 0x4e, 0xae, 0xd8],
    ];
    let volume = has(boot, 3, b"-FVE-FS-");
    let to_go = has(boot, 3, b"MSWIN4.1") && IDS.iter().any(|id| has(boot, 424, id));
    (volume || to_go).then_some(BITLOCKER)
}

/// Looks for the signatures of everything else.
///
/// # Errors
/// When the volume cannot be read where a signature would be.
pub(super) fn recognize(volume: &dyn ByteSource) -> Result<Option<Known>> {
    if let Some(found) = in_front(&read_front(volume, FRONT_LEN)?) {
        return Ok(Some(found));
    }
    for asked in [raid_at_end, zfs, vmfs, ldm_at_end] {
        if let Some(found) = asked(volume)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// A volume that begins with zeros only.
///
/// # Errors
/// When its beginning cannot be read.
pub(super) fn unformatted(volume: &dyn ByteSource) -> Result<Option<Known>> {
    let blank = read_front(volume, BLANK_LEN)?.iter().all(|byte| *byte == 0);
    Ok(blank.then_some(known(super::probe::UNFORMATTED, "holds nothing but zeros where a filesystem begins")))
}

/// What the first [`FRONT_LEN`] bytes of a volume say, or fewer.
pub(super) fn in_front(front: &[u8]) -> Option<Known> {
    let by_signature = SIGNATURES.iter().find(|s| has(front, s.offset, s.bytes)).map(|s| s.known);
    by_signature
        .or_else(|| ext(front))
        .or_else(|| lvm(front))
        .or_else(|| swap(front))
        .or_else(|| udf(front))
        .or_else(|| storage_spaces(front))
        .or_else(|| apple_map(front))
        .or_else(|| ldm(front))
        .or_else(|| hfs(front))
}

fn has(bytes: &[u8], offset: usize, signature: &[u8]) -> bool {
    bytes.get(offset..).is_some_and(|rest| rest.starts_with(signature))
}

fn u32_le(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..offset + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes)
}

fn read_front(volume: &dyn ByteSource, len: u64) -> Result<Vec<u8>> {
    let len = usize::try_from(volume.size().min(len)).expect("at most a mebibyte");
    // Signatures lie in few of these sectors: one that cannot be read hides at most its own.
    Ok(read_around_bad_sectors(volume, 0, len)?.0)
}

/// The bytes at `offset`; fewer or none at the end of the volume.
fn read_up_to(volume: &dyn ByteSource, offset: u64, len: u64) -> Result<Vec<u8>> {
    let len = usize::try_from(volume.size().saturating_sub(offset).min(len)).expect("at most 128 KiB");
    if len == 0 { Ok(Vec::new()) } else { read_vec(volume, offset, len) }
}

/// ext2, ext3 and ext4 share a superblock; the features that it lists tell them apart, by what each one's first driver
/// could mount.
fn ext(front: &[u8]) -> Option<Known> {
    const SUPERBLOCK: usize = 1024;
    const HAS_JOURNAL: u32 = 0x4;
    const JOURNAL_DEVICE: u32 = 0x8;
    /// File types in directories, journal to recover, groups of group descriptors.
    const EXT3_INCOMPATIBLE: u32 = 0x2 | 0x4 | 0x10;
    /// Few superblock copies, large files, hashed directories.
    const EXT3_READ_ONLY: u32 = 0x1 | 0x2 | 0x4;
    // The magic number has 16 bits only; blocks of 1 to 64 KiB confirm it.
    let signed = has(front, SUPERBLOCK + 56, &0xef53_u16.to_le_bytes());
    if !signed || u32_le(front, SUPERBLOCK + 24)? > 6 {
        return None;
    }
    let compatible = u32_le(front, SUPERBLOCK + 92)?;
    let incompatible = u32_le(front, SUPERBLOCK + 96)?;
    let read_only = u32_le(front, SUPERBLOCK + 100)?;
    if incompatible & JOURNAL_DEVICE != 0 {
        return Some(known("ext journal", "the journal of an ext3 or ext4 filesystem that is elsewhere"));
    }
    let name = if incompatible & !EXT3_INCOMPATIBLE != 0 || read_only & !EXT3_READ_ONLY != 0 {
        "ext4"
    } else if compatible & HAS_JOURNAL != 0 {
        "ext3"
    } else {
        "ext2"
    };
    Some(known(name, LINUX))
}

/// The label is in one of the first four sectors.
fn lvm(front: &[u8]) -> Option<Known> {
    let labelled =
        |sector: usize| has(front, sector * 512, b"LABELONE") && has(front, sector * 512 + 24, b"LVM2 001");
    (0..4).any(labelled).then_some(known("LVM2", LVM))
}

/// The signature ends the first page, whose size depends on the machine.
fn swap(front: &[u8]) -> Option<Known> {
    const PAGE_SIZES: [usize; 5] = [4096, 8192, 16384, 32768, 65536];
    let signed = |signature: &[u8]| PAGE_SIZES.iter().any(|page| has(front, page - 10, signature));
    if signed(b"SWAPSPACE2") || signed(b"SWAP-SPACE") {
        return Some(known("Linux swap", SWAP));
    }
    let hibernated = signed(b"S1SUSPEND\0") || signed(b"LINHIB0001");
    hibernated.then_some(known("Linux hibernation", "the memory of a hibernated Linux, no filesystem"))
}

/// The volume recognition sequence: descriptors of 2048 bytes from 32 KiB on.
fn udf(front: &[u8]) -> Option<Known> {
    let descriptor = |index: usize, id: &[u8]| has(front, 0x8000 + index * 2048 + 1, id);
    let found = (0..16).any(|index| descriptor(index, b"NSR02") || descriptor(index, b"NSR03"));
    found.then_some(known("UDF", OPTICAL))
}

fn storage_spaces(front: &[u8]) -> Option<Known> {
    let found = front.chunks(512).any(|sector| sector.starts_with(b"SPACEDB "));
    found.then_some(STORAGE_SPACES)
}

fn apple_map(front: &[u8]) -> Option<Known> {
    let found = has(front, 0, b"ER") && (has(front, 512, b"PM\0\0") || has(front, 2048, b"PM\0\0"));
    found.then_some(known(
        "Apple partition map",
        "a partition scheme that is not supported: attach the image to a Mac",
    ))
}

/// Two letters are little; the volume bitmap, always in sector 3, confirms them.
fn hfs(front: &[u8]) -> Option<Known> {
    (has(front, 1024, b"BD") && has(front, 1024 + 14, b"\0\x03")).then_some(known("HFS", MACOS))
}

/// The private header of a dynamic disk: sector 6 of the disk; in a metadata partition at its end, or before its copy.
fn ldm(front: &[u8]) -> Option<Known> {
    (has(front, 6 * 512, b"PRIVHEAD") || has(front, 0, b"PRIVHEAD")).then_some(LDM)
}

fn ldm_at_end(volume: &dyn ByteSource) -> Result<Option<Known>> {
    // The metadata partition of a GPT disk has 1 MiB: the last sector, or where the 1 MiB database before it ends.
    for from_end in [512, (2048 - 1856) * 512] {
        let Some(offset) = volume.size().checked_sub(from_end) else { continue };
        if has(&read_up_to(volume, offset, 512)?, 0, b"PRIVHEAD") {
            return Ok(Some(LDM));
        }
    }
    Ok(None)
}

/// Superblocks 0.90 and 1.0 lie near the end, so the beginning may show the filesystem inside: asked after that.
fn raid_at_end(volume: &dyn ByteSource) -> Result<Option<Known>> {
    const MAGIC: [u8; 4] = 0xa92b_4efc_u32.to_le_bytes();
    let size = volume.size();
    let version_0 = (size & !0xffff).checked_sub(0x1_0000);
    let version_1 = (size & !0x1ff).checked_sub(0x2000).map(|offset| offset & !0xfff);
    for offset in [version_0, version_1].into_iter().flatten() {
        if has(&read_up_to(volume, offset, 4)?, 0, &MAGIC) {
            return Ok(Some(MDRAID));
        }
    }
    Ok(None)
}

/// The array of uberblocks in the first label, in either byte order.
fn zfs(volume: &dyn ByteSource) -> Result<Option<Known>> {
    const MAGIC: u64 = 0x00ba_b10c;
    let blocks = read_up_to(volume, 128 << 10, 128 << 10)?;
    let signed =
        |block: &[u8]| block.starts_with(&MAGIC.to_le_bytes()) || block.starts_with(&MAGIC.to_be_bytes());
    Ok(blocks.chunks(1024).any(signed).then_some(ZFS))
}

fn vmfs(volume: &dyn ByteSource) -> Result<Option<Known>> {
    let found = has(&read_up_to(volume, 1 << 20, 4)?, 0, &0xc001_d00d_u32.to_le_bytes());
    Ok(found
        .then_some(known("VMFS", "the filesystem of VMware ESX, not supported: attach it to an ESX host")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::MemorySource;

    /// A volume of 2 MiB, blank but for these bytes.
    fn volume(parts: &[(usize, &[u8])]) -> MemorySource {
        let mut bytes = vec![0; 2 << 20];
        parts.iter().for_each(|(offset, part)| bytes[*offset..][..part.len()].copy_from_slice(part));
        MemorySource(bytes)
    }

    fn name(parts: &[(usize, &[u8])]) -> Option<&'static str> {
        recognize(&volume(parts)).unwrap().map(|known| known.name)
    }

    #[test]
    fn every_signature_is_found_and_within_what_is_read() {
        for signature in SIGNATURES {
            let found = name(&[(signature.offset, signature.bytes)]);
            assert_eq!(found, Some(signature.known.name));
        }
    }

    #[test]
    fn signatures_with_conditions_are_found() {
        let ext = |features: &[u8]| name(&[(1024 + 56, &[0x53, 0xef]), (1024 + 92, features)]);
        assert_eq!(ext(&[]), Some("ext2"));
        assert_eq!(ext(&[4]), Some("ext3"));
        assert_eq!(ext(&[4, 0, 0, 0, 0x40]), Some("ext4"));
        assert_eq!(ext(&[0, 0, 0, 0, 8]), Some("ext journal"));
        assert_eq!(name(&[(1024 + 56, &[0x53, 0xef]), (1024 + 24, &[7])]), None);
        assert_eq!(name(&[(512, b"LABELONE"), (536, b"LVM2 001")]), Some("LVM2"));
        assert_eq!(name(&[(16384 - 10, b"SWAPSPACE2")]), Some("Linux swap"));
        assert_eq!(name(&[(4096 - 10, b"S1SUSPEND\0")]), Some("Linux hibernation"));
        assert_eq!(name(&[(0x8801, b"NSR03")]), Some("UDF"));
        assert_eq!(name(&[(4096, b"SPACEDB ")]), Some("Storage Spaces"));
        assert_eq!(name(&[(0, b"ER"), (512, b"PM\0\0")]), Some("Apple partition map"));
        assert_eq!(name(&[(1024, b"BD"), (1038, b"\0\x03")]), Some("HFS"));
        assert_eq!(name(&[(1024, b"BD")]), None);
    }

    #[test]
    fn signatures_far_from_the_beginning_are_found() {
        let size = 2 << 20;
        assert_eq!(name(&[(size - 0x1_0000, &0xa92b_4efc_u32.to_le_bytes())]), Some("mdraid"));
        assert_eq!(name(&[(size - 0x2000, &0xa92b_4efc_u32.to_le_bytes())]), Some("mdraid"));
        assert_eq!(name(&[(130 << 10, &0x00ba_b10c_u64.to_be_bytes())]), Some("ZFS"));
        assert_eq!(name(&[(1 << 20, &0xc001_d00d_u32.to_le_bytes())]), Some("VMFS"));
        assert_eq!(name(&[(size - 512, b"PRIVHEAD")]), Some("LDM"));
        assert_eq!(name(&[(6 * 512, b"PRIVHEAD")]), Some("LDM"));
    }

    #[test]
    fn bitlocker_is_told_from_the_fat_volume_that_unlocks_it() {
        let mut boot = [0; 512];
        boot[3..11].copy_from_slice(b"MSWIN4.1");
        assert_eq!(encrypted(&boot), None);
        boot[424..440].copy_from_slice(b"\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01");
        assert_eq!(encrypted(&boot), Some(BITLOCKER));
        boot[3..11].copy_from_slice(b"-FVE-FS-");
        assert_eq!(encrypted(&boot), Some(BITLOCKER));
        assert_eq!(encrypted(&boot[..8]), None);
    }

    #[test]
    fn blank_volumes_of_any_size_are_unformatted() {
        for size in [0, 1, 511, 4096, 0x1_0000, 2 << 20] {
            let mut bytes = vec![0; size];
            assert_eq!(recognize(&MemorySource(bytes.clone())).unwrap(), None);
            assert!(unformatted(&MemorySource(bytes.clone())).unwrap().is_some());
            if let Some(byte) = bytes.get_mut(510) {
                *byte = 1;
                assert!(unformatted(&MemorySource(bytes)).unwrap().is_none());
            }
        }
    }
}
