//! Signatures of filesystems without a reader here: bounded reads; a name and a sentence on what the user can do.

use super::reader::Known;
use crate::{
    Result,
    bytes::{
        ByteSource, read_around_bad_sectors,
        signature::{has, read_up_to},
    },
};

/// Length of the region that contains most superblocks; the last are those of btrfs, ReiserFS and UFS2 at 64 KiB.
pub(super) const FRONT_LEN: usize = 68 << 10;
/// This much of a volume's start must be zeros for it to count as unformatted.
const BLANK_LEN: usize = 1 << 20;

/// The signature of a format: bytes at an offset.
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

const LINUX: &str = "a Linux filesystem that is not supported yet: mount the partition's raw view on Linux";
const MACOS: &str = "a macOS filesystem that is not supported: attach the image to a Mac";
const UNIX: &str = "a Unix filesystem that is not supported";
const OPTICAL: &str =
    "an optical disc's filesystem that is not supported: mount the raw view as a loop device";
const SWAP: &str = "swap space, no filesystem";
#[rustfmt::skip]
const SIGNATURES: &[Signature] = &[
    at(3, b"ReFS\0\0\0\0", "ReFS", "not supported yet: attach the image to a Windows machine that knows ReFS"),
    at(3, b"EXFAT   ", "exFAT", "not supported yet: mount the partition's raw view on Linux, or attach the image to Windows"),
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
    at(32, b"NXSB", "APFS", MACOS),
    at(1024, b"H+\0\x04", "HFS+", MACOS),
    at(1024, b"HX\0\x05", "HFSX", MACOS),
    at(0x8001, b"CD001", "ISO 9660", OPTICAL),
    at(0x2000 + 1372, &0x0001_1954_u32.to_le_bytes(), "UFS1", UNIX),
    at(0x1_0000 + 1372, &0x1954_0119_u32.to_le_bytes(), "UFS2", UNIX),
    at(0x2000, &0xf995_e849_u32.to_le_bytes(), "HPFS", "the filesystem of OS/2, not supported: mount the raw view on Linux"),
];

/// True if the volume starts with zeros only.
///
/// # Errors
/// When its start cannot be read.
pub(super) fn is_blank(volume: &dyn ByteSource) -> Result<bool> {
    let len = usize::try_from(volume.size()).map_or(BLANK_LEN, |size| size.min(BLANK_LEN));
    // Unreadable sectors do not count as zeros.
    let (front, unread) = read_around_bad_sectors(volume, 0, len)?;
    Ok(unread.is_empty() && front.iter().all(|byte| *byte == 0))
}

/// Matches the first [`FRONT_LEN`] bytes of a volume, or fewer, and the superblock of VMFS behind them.
///
/// # Errors
/// When the volume cannot be read there.
pub(super) fn recognize(volume: &dyn ByteSource, front: &[u8]) -> Result<Option<Known>> {
    in_front(front).map_or_else(|| vmfs(volume), |known| Ok(Some(known)))
}

/// Matches the first bytes of a volume.
fn in_front(front: &[u8]) -> Option<Known> {
    let by_signature = SIGNATURES.iter().find(|s| has(front, s.offset, s.bytes)).map(|s| s.known);
    by_signature
        .or_else(|| ext(front))
        .or_else(|| swap(front))
        .or_else(|| udf(front))
        .or_else(|| apple_map(front))
        .or_else(|| hfs(front))
}

fn u32_le(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..offset + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes)
}

/// ext2, ext3 and ext4 share a superblock; its feature flags distinguish them: the oldest of the three whose features
/// suffice.
fn ext(front: &[u8]) -> Option<Known> {
    const SUPERBLOCK: usize = 1024;
    const HAS_JOURNAL: u32 = 0x4;
    const JOURNAL_DEVICE: u32 = 0x8;
    /// Features that ext3 has, too: file types in directories, journal to recover, groups of group descriptors.
    const EXT3_INCOMPATIBLE: u32 = 0x2 | 0x4 | 0x10;
    /// Features that ext3 has, too: few superblock copies, large files, hashed directories.
    const EXT3_READ_ONLY: u32 = 0x1 | 0x2 | 0x4;
    // The magic number has only 16 bits; a valid block size of 1 to 64 KiB confirms it.
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

/// Linux swap: the signature is at the end of the first page, whose size depends on the machine.
fn swap(front: &[u8]) -> Option<Known> {
    const PAGE_SIZES: [usize; 5] = [4096, 8192, 16384, 32768, 65536];
    let signed = |signature: &[u8]| PAGE_SIZES.iter().any(|page| has(front, page - 10, signature));
    if signed(b"SWAPSPACE2") || signed(b"SWAP-SPACE") {
        return Some(known("Linux swap", SWAP));
    }
    let hibernated = signed(b"S1SUSPEND\0") || signed(b"LINHIB0001");
    hibernated.then_some(known("Linux hibernation", "the memory of a hibernated Linux, no filesystem"))
}

/// UDF by its volume recognition sequence: descriptors of 2048 bytes from 32 KiB on.
fn udf(front: &[u8]) -> Option<Known> {
    let descriptor = |index: usize, id: &[u8]| has(front, 0x8000 + index * 2048 + 1, id);
    let found = (0..16).any(|index| descriptor(index, b"NSR02") || descriptor(index, b"NSR03"));
    found.then_some(known("UDF", OPTICAL))
}

fn apple_map(front: &[u8]) -> Option<Known> {
    let found = has(front, 0, b"ER") && (has(front, 512, b"PM\0\0") || has(front, 2048, b"PM\0\0"));
    found.then_some(known(
        "Apple partition map",
        "a partition scheme that is not supported: attach the image to a Mac",
    ))
}

/// HFS: a signature of two letters is weak; the volume bitmap, always in sector 3, confirms it.
fn hfs(front: &[u8]) -> Option<Known> {
    (has(front, 1024, b"BD") && has(front, 1024 + 14, b"\0\x03")).then_some(known("HFS", MACOS))
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

    /// A volume of 2 MiB, zero except for these bytes.
    fn volume(parts: &[(usize, &[u8])]) -> MemorySource {
        let mut bytes = vec![0; 2 << 20];
        parts.iter().for_each(|(offset, part)| bytes[*offset..][..part.len()].copy_from_slice(part));
        MemorySource(bytes)
    }

    fn name(parts: &[(usize, &[u8])]) -> Option<&'static str> {
        of(&volume(parts)).map(|known| known.name)
    }

    fn of(volume: &MemorySource) -> Option<Known> {
        recognize(volume, &crate::bytes::signature::read_front(volume, FRONT_LEN).unwrap()).unwrap()
    }

    #[test]
    fn a_bad_sector_among_zeros_is_not_taken_for_zeros() {
        let zeros: std::sync::Arc<dyn ByteSource> =
            std::sync::Arc::new(crate::bytes::MemorySource(vec![0; 8192]));
        assert!(is_blank(&*zeros).unwrap());
        let bad = 4096..4608;
        let faulty = crate::bytes::testing::Faulty::new(zeros, Vec::from([bad]));
        assert!(!is_blank(&faulty).unwrap());
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
        assert_eq!(name(&[(16384 - 10, b"SWAPSPACE2")]), Some("Linux swap"));
        assert_eq!(name(&[(4096 - 10, b"S1SUSPEND\0")]), Some("Linux hibernation"));
        assert_eq!(name(&[(0x8801, b"NSR03")]), Some("UDF"));
        assert_eq!(name(&[(0, b"ER"), (512, b"PM\0\0")]), Some("Apple partition map"));
        assert_eq!(name(&[(1024, b"BD"), (1038, b"\0\x03")]), Some("HFS"));
        assert_eq!(name(&[(1024, b"BD")]), None);
    }

    #[test]
    fn a_signature_behind_the_beginning_is_found() {
        assert_eq!(name(&[(1 << 20, &0xc001_d00d_u32.to_le_bytes())]), Some("VMFS"));
    }

    #[test]
    fn blank_volumes_of_any_size_are_unformatted() {
        for size in [0, 1, 511, 4096, 0x1_0000, 2 << 20] {
            let mut bytes = vec![0; size];
            assert_eq!(of(&MemorySource(bytes.clone())), None);
            assert!(is_blank(&MemorySource(bytes.clone())).unwrap());
            if let Some(byte) = bytes.get_mut(510) {
                *byte = 1;
                assert!(!is_blank(&MemorySource(bytes)).unwrap());
            }
        }
    }
}
