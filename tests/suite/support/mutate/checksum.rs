//! Repairs the checksums of changed structures: VHDX headers and region tables, VHD footers and headers, GPT headers.
//! NTFS and FAT structures have none beyond the update sequence, which a change rarely touches.

use vhdmount::bytes::{ByteSource, Overlay};

/// A structure that starts with a signature: its size and the place of its checksum.
struct Kind {
    signature: &'static [u8],
    size: usize,
    checksum: usize,
    sum: fn(&[u8]) -> [u8; 4],
}

const KINDS: [Kind; 6] = [
    Kind { signature: b"head", size: 4096, checksum: 4, sum: castagnoli },
    Kind { signature: b"regi", size: 65_536, checksum: 4, sum: castagnoli },
    Kind { signature: b"loge", size: 4096, checksum: 4, sum: castagnoli },
    Kind { signature: b"conectix", size: 512, checksum: 64, sum: complement },
    Kind { signature: b"cxsparse", size: 1024, checksum: 36, sum: complement },
    Kind { signature: b"EFI PART", size: 92, checksum: 16, sum: ieee },
];

/// The patch that repairs the checksum of the structure, if any, in which bytes were changed at `at`.
pub(super) fn repair(original: &[u8], at: usize, bytes: &[u8], copy: &Overlay) -> Option<(usize, Vec<u8>)> {
    // Structures lie at multiples of 512; none with a checksum is longer than 64 KiB.
    let starts =
        (0..=65_536 / 512).filter_map(|back| (at / 512).checked_sub(back)).map(|sector| sector * 512);
    for start in starts {
        let rest = &original[start..];
        let Some(kind) = KINDS.iter().find(|kind| rest.starts_with(kind.signature)) else { continue };
        if at + bytes.len() > start + kind.size || rest.len() < kind.size {
            return None;
        }
        let mut structure = vec![0; kind.size];
        copy.read_exact_at(start as u64, &mut structure).ok()?;
        structure[kind.checksum..kind.checksum + 4].fill(0);
        return Some((start + kind.checksum, (kind.sum)(&structure).to_vec()));
    }
    None
}

fn castagnoli(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).to_le_bytes()
}

/// VHD: one's complement of the sum of all bytes, big-endian.
fn complement(bytes: &[u8]) -> [u8; 4] {
    (!bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>()).to_be_bytes()
}

/// GPT: CRC-32 as in Ethernet.
fn ieee(bytes: &[u8]) -> [u8; 4] {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum().to_le_bytes()
}

#[test]
fn a_changed_footer_gets_its_checksum_back() {
    let mut footer = vec![7; 512];
    footer[..8].copy_from_slice(b"conectix");
    footer[64..68].fill(0);
    let sum = complement(&footer);
    footer[64..68].copy_from_slice(&sum);
    let image = [vec![0; 512], footer].concat();
    let mut copy = Overlay::new(std::sync::Arc::new(vhdmount::bytes::MemorySource(image.clone())), 1024);
    copy.put(512 + 100, &[9]);
    let (at, bytes) = repair(&image, 512 + 100, &[9], &copy).expect("inside the footer");
    let wanted = u32::from_be_bytes(sum) - 2;
    assert_eq!((at, bytes), (512 + 64, wanted.to_be_bytes().to_vec()));
}
