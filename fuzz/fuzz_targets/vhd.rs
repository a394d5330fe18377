//! A whole VHD: footer, header, table, bitmaps, locators. The first byte says whether checksums are put right first, so
//! that mutations reach what lies behind them.
#![no_main]
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use vhdmount::{
    bytes::MemorySource,
    container::{Layer, vhd},
};

fn seal(bytes: &mut [u8], at: usize) {
    bytes[at..at + 4].fill(0);
    let sum = bytes.iter().fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
    bytes[at..at + 4].copy_from_slice(&(!sum).to_be_bytes());
}

fuzz_target!(|data: &[u8]| {
    let Some((flags, image)) = data.split_first() else { return };
    let mut image = image.to_vec();
    if flags & 1 != 0 && image.len() >= 1536 {
        seal(&mut image[..512], 64);
        seal(&mut image[512..1536], 36);
        let end = image.len() - 512;
        seal(&mut image[end..], 64);
    }
    let Ok(vhd) = vhd::open(Arc::new(MemorySource(image)), "fuzz") else { return };
    let _ = (vhd.info(), vhd.growth(), vhd.structures(), vhd.parent().map(|parent| parent.paths()));
    let size = vhd.virtual_size();
    // From the front as a reader walks, and spread over the disk.
    let mut offset = 0;
    for step in 0..256 {
        for at in [offset, size / 256 * step] {
            if at >= size {
                continue;
            }
            let _ = vhd.allocation(at);
            let len = match vhd.resolve(at) {
                Ok(segment) => {
                    assert!(segment.len > 0 && segment.len <= size - at);
                    segment.len
                }
                Err(_) => 512,
            };
            if at == offset {
                offset = offset.saturating_add(len);
            }
        }
    }
    assert!(vhd.resolve(size).is_err());
});
