//! A small differencing image, damaged where its structures are; checksums are made good again, so that damage is not
//! caught by them alone. Input: 4-byte records of position and XOR mask, then options.
#![no_main]
use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use libfuzzer_sys::fuzz_target;
use vhdmount::{
    Result,
    bytes::{ByteSource, check_range},
    container::{
        Layer, Place,
        vhdx::{self, OpenOptions},
    },
};

#[path = "../../tests/suite/support/vhdx_writer.rs"]
mod writer;
use writer::{Block, Image, MIB, Recipe, pattern, seal};

impl ByteSource for Image {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(self.size, offset, buf.len())?;
        self.read_into(offset, buf);
        Ok(())
    }
}

/// Structures: header 1 and 2, region table 1, metadata table and items, block table, sector bitmap.
const PLACES: [(u64, u64); 7] = [
    (64 << 10, 128),
    (128 << 10, 128),
    (192 << 10, 256),
    (2 * MIB, 256),
    (2 * MIB + (64 << 10), 512),
    (3 * MIB, 64),
    (3 * MIB + 4096 * 8, 16),
];

static BASE: LazyLock<Image> = LazyLock::new(|| {
    let sectors: BTreeMap<u64, Vec<u8>> = (0..64).step_by(3).map(|n| (n, pattern(512, n))).collect();
    let recipe = Recipe::differencing(6 * MIB, MIB, [7; 16], "p.vhdx")
        .block(0, Block::Partial(sectors))
        .block(2, Block::Full(vec![1]))
        .block(3, Block::State(2));
    recipe.build()
});

fuzz_target!(|data: &[u8]| {
    let mut image = BASE.clone();
    let (records, rest) = data.as_chunks::<4>();
    for [place, low, high, mask] in records {
        let (start, len) = PLACES[usize::from(*place) % PLACES.len()];
        let at = start + u64::from(u16::from_le_bytes([*low, *high])) % len;
        let byte = image.read(at, 1)[0];
        image.write(at, &[byte ^ mask]);
    }
    if rest.len() != 1 {
        for (at, len) in [(64 << 10, 4096), (128 << 10, 4096), (192 << 10, 64 << 10)] {
            let mut bytes = image.read(at, len);
            seal(&mut bytes);
            image.write(at, &bytes);
        }
    }
    // A cut now and then.
    if rest.len() == 2 {
        image.size = image.size * u64::from(rest[0]) / 255;
    }
    let replay = rest.len() != 3;
    let Ok(disk) = vhdx::open(Arc::new(image), "", &OpenOptions { replay }) else { return };
    let structures = disk.structures();
    assert!(structures.table.start <= structures.table.end && structures.alignment > 0);
    let _ = (disk.group_place(0), disk.group_place(u64::MAX));
    let (size, mut offset) = (disk.virtual_size(), 0);
    let mut buf = [0; 512];
    for _ in 0..512 {
        if offset >= size {
            break;
        }
        let _ = disk.allocation(offset).map(|segment| assert!(segment.len > 0));
        offset += match disk.resolve(offset) {
            Ok(segment) => {
                assert!(segment.len > 0 && segment.len <= size - offset);
                if let Place::File(at) = segment.place {
                    let len = segment.len.min(512) as usize;
                    disk.source()
                        .read_exact_at(at, &mut buf[..len])
                        .expect("a resolved place is in the source");
                }
                segment.len
            }
            Err(_) => size / 300 + 1,
        };
    }
});
