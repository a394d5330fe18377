//! Any bytes as a disk. With bit 0 of the first byte set, the checksums of GPT headers and arrays are mended first:
//! no mutation would hit them.
#![no_main]
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use vhdmount::{
    bytes::{ByteSource, MemorySource},
    fs::probe::probe,
    partition::scan,
};

fuzz_target!(|data: &[u8]| {
    let Some((flags, bytes)) = data.split_first() else { return };
    let mut bytes = bytes.to_vec();
    if flags & 1 != 0 {
        mend(&mut bytes, if flags & 2 == 0 { 512 } else { 4096 });
    }
    let disk: Arc<dyn ByteSource> = Arc::new(MemorySource(bytes));
    let hint = [None, Some(512), Some(4096), Some(1)][usize::from(flags >> 2 & 3)];
    let table = scan(&disk, hint).expect("memory is readable");
    assert!(table.partitions.len() <= 1024 + 4 * 256);
    for partition in table.partitions.iter().take(8) {
        let window: Arc<dyn ByteSource> = Arc::new(partition.window(&disk));
        assert!(window.size() <= disk.size());
        let _ = (partition.attribute_names(), partition.type_hint());
        let _ = probe(&window, &Default::default());
    }
});

fn mend(disk: &mut [u8], sector: usize) {
    for at in (0..disk.len().saturating_sub(512)).step_by(sector) {
        if !disk[at..].starts_with(b"EFI PART") {
            continue;
        }
        let field = |offset: usize| {
            u32::from_le_bytes(disk[at + offset..][..4].try_into().expect("4 bytes")) as usize
        };
        let start = field(72).checked_mul(sector);
        let len = field(80).checked_mul(field(84)).filter(|len| *len <= 1 << 20);
        let array = start.zip(len).and_then(|(start, len)| disk.get(start..)?.get(..len));
        let array_crc = array.map(crc32);
        let size = field(12).clamp(92, 512);
        if let Some(crc) = array_crc {
            disk[at + 88..at + 92].copy_from_slice(&crc.to_le_bytes());
        }
        disk[at + 16..at + 20].fill(0);
        let crc = crc32(&disk[at..at + size]);
        disk[at + 16..at + 20].copy_from_slice(&crc.to_le_bytes());
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}
