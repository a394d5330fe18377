//! The data of a deduplication reparse point, without its length and the CRC at its end, which no fuzzer would find.
#![no_main]
use libfuzzer_sys::fuzz_target;
use vhdmount::fs::ntfs::content::dedup::point::Point;

fuzz_target!(|data: &[u8]| {
    let mut data = data.to_vec();
    if let (Ok(len), Some(length)) = (u16::try_from(data.len() + 4), data.get_mut(2..4)) {
        length.copy_from_slice(&len.to_le_bytes());
    }
    data.extend(crc32(&data).to_le_bytes());
    let _ = Point::parse(&data);
});

fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 == 0 { 0 } else { 0xedb8_8320 })
    })
}
