//! Tests of damaged images: the result is an error or other bytes, never a panic or an endless loop.

use std::collections::BTreeMap;

use super::{
    writer::{Block, LogEntry, Update, pattern},
    *,
};
use crate::bytes::testing::Faulty;

/// A differencing image with every structure: partial blocks, a dirty log of two entries.
fn everything() -> Image {
    let sectors: BTreeMap<u64, Vec<u8>> = (0..64).step_by(3).map(|n| (n, pattern(512, n))).collect();
    let mut image = Recipe::differencing(6 * MIB, MIB, [7; 16], "p.vhdx")
        .block(0, Block::Partial(sectors))
        .block(2, Block::Full(pattern(MIB, 2)))
        .block(3, Block::State(2))
        .build();
    let updates = image.withhold(image.bat_offset, 1, 0);
    let first = image.entry(MIB - 4096, 1, vec![Update::Zeros(image.bat_offset, 8192)]);
    let second = LogEntry { tail: first.at, ..image.entry(0, 2, updates) };
    image.write_log(&[first, second]);
    image
}

/// Opens the image and walks over the whole disk; returns the number of segments.
fn walk(image: &Image) -> usize {
    let mut segments = 0;
    for replay in [true, false] {
        let Ok(disk) = open(Arc::new(image.clone()), "", &OpenOptions { replay }) else { continue };
        let step = disk.virtual_size() / 64 + 1;
        let mut offset = 0;
        while offset < disk.virtual_size() && segments < 10_000 {
            segments += 1;
            offset += match (disk.resolve(offset), disk.allocation(offset)) {
                (Ok(segment), allocation) => {
                    assert!(segment.len > 0 && segment.len <= disk.virtual_size() - offset);
                    if let Place::File(at) = segment.place {
                        let len = usize::try_from(segment.len.min(512)).unwrap();
                        disk.source().read_exact_at(at, &mut vec![0; len]).unwrap();
                    }
                    assert!(allocation.unwrap().len > 0);
                    segment.len
                }
                (Err(error), _) => {
                    assert!(matches!(error, Error::Corrupt(_)), "{error}");
                    step
                }
            };
        }
    }
    segments
}

#[test]
fn truncation_anywhere_is_survived() {
    let image = everything();
    assert!(walk(&image) > 20);
    for part in 0..=256 {
        let mut cut = image.clone();
        cut.size = image.size * part / 256;
        walk(&cut);
        cut.size = cut.size.saturating_sub(1);
        walk(&cut);
    }
}

#[test]
fn flipped_bits_are_survived() {
    let image = everything();
    // The places of structures: identifier, headers, tables, both ends of the log, metadata, BAT, the bitmap's block.
    let places: [(u64, u64); 9] = [
        (0, 600),
        (64 << 10, 100),
        (128 << 10, 100),
        (192 << 10, 100),
        (writer::LOG_OFFSET, 8400),
        (writer::LOG_OFFSET + MIB - 4096, 200),
        (image.metadata_offset, 256),
        (image.metadata_offset + 65536, 400),
        (image.bat_offset + 2 * MIB / 2, 32),
    ];
    let mut seed = 0x5eed_u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for round in 0..3000 {
        let mut damaged = image.clone();
        for _ in 0..=round % 3 {
            let (start, len) = places[usize::try_from(random(9)).unwrap()];
            let at = start + random(len);
            let byte = damaged.read(at, 1)[0];
            damaged.write(at, &[byte ^ 1 << random(8)]);
        }
        // Half of the cases get valid checksums, so that the change reaches the code after them.
        if round % 2 == 0 {
            for (offset, len) in [(64 << 10, 4096), (128 << 10, 4096), (192 << 10, 65536)] {
                let mut bytes = damaged.read(offset, len);
                writer::seal(&mut bytes);
                damaged.write(offset, &bytes);
            }
        }
        walk(&damaged);
    }
}

#[test]
fn random_block_tables_are_survived() {
    let mut image = small().build();
    for seed in 0..200 {
        let entries: Vec<u8> =
            pattern(32, seed).iter().zip(pattern(32, seed + 999)).map(|(a, b)| a ^ b << 1).collect();
        image.write(image.bat_offset, &entries);
        walk(&image);
    }
}

#[test]
fn unreadable_header_sector_costs_one_copy_only() {
    let image = Arc::new(small().build());
    let bad = Faulty::new(image.clone(), vec![64 << 10..65 << 10, 192 << 10..193 << 10]);
    let disk = open(Arc::new(bad), "", &OpenOptions::default()).unwrap();
    assert_eq!(disk.info().problems.len(), 2);
    assert!(read_all(&disk) == small_content());
}

#[test]
fn lost_signature_leaves_a_disk_that_its_headers_describe() {
    let image = Arc::new(small().build());
    let unreadable: Arc<dyn ByteSource> = Arc::new(Faulty::new(image.clone(), vec![0..1, 8..9]));
    let mut zeroed = (*image).clone();
    zeroed.write(0, &[0; 8]);
    let zeroed: Arc<dyn ByteSource> = Arc::new(zeroed);
    for file in [unreadable, zeroed] {
        assert!(super::super::detect_damaged(&*file));
        let disk = open(file, "", &OpenOptions::default()).unwrap();
        assert!(disk.info().problems[0].contains("opened by its headers"), "{:?}", disk.info().problems);
        assert!(read_all(&disk) == small_content());
    }
    // Without headers it is no VHDX any more, but the metadata still identifies it.
    let mut lost = (*image).clone();
    lost.write(0, &vec![0; 1 << 20]);
    assert!(!super::super::detect_damaged(&lost) && super::super::find_remains(&lost).is_some());
}
