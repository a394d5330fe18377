//! Tests of headers, region tables, metadata and the parent locator.

use super::{
    writer::{BAT, Block, METADATA, Parent, seal},
    *,
};
use crate::guid::Guid;

const HEADER_1: u64 = 64 << 10;
const HEADER_2: u64 = 128 << 10;
const TABLE_1: u64 = 192 << 10;
const TABLE_2: u64 = 256 << 10;

#[test]
fn only_the_signature_is_detected() {
    let bytes = small().build().read(0, 512);
    assert!(super::super::detect(&bytes) && super::super::detect(&bytes[..8]));
    assert!(
        !super::super::detect(&bytes[..7])
            && !super::super::detect(b"conectix")
            && !super::super::detect(&[])
    );
}

#[test]
fn newest_whole_header_is_used() {
    for (offset, name) in [(HEADER_1, "header 1"), (HEADER_2, "header 2")] {
        let mut image = small().build();
        image.write(offset + 2000, &[1]);
        let disk = opened(&image);
        assert!(disk.info().problems[0].contains(name), "{:?}", disk.info().problems);
        assert!(read_all(&disk) == small_content());
    }
    // The newer header is dirty, the older one is not: only the newer counts, in either place.
    for (offset, sequence) in [(HEADER_1, 100), (HEADER_2, 100)] {
        let mut image = small().build();
        image.write_header(offset, sequence, writer::LOG_GUID);
        assert!(error_text(&image).contains("the log cannot be replayed"));
    }
    let mut image = small().build();
    image.write_header(HEADER_1, 1, writer::LOG_GUID);
    assert_eq!(opened(&image).info().log, Some(crate::container::LogState::Clean));

    let mut image = small().build();
    image.write(HEADER_1, b"x");
    image.write(HEADER_2, b"x");
    assert!(error_text(&image).contains("VHDX header"));
}

#[test]
fn unknown_version_is_refused() {
    let mut image = small().build();
    for offset in [HEADER_1, HEADER_2] {
        let mut header = image.read(offset, 4096);
        header[66] = 2;
        seal(&mut header);
        image.write(offset, &header);
    }
    assert!(error_text(&image).contains("VHDX version 2"));
}

#[test]
fn second_region_table_replaces_a_damaged_first() {
    for (offset, name) in [(TABLE_1, "region table 1"), (TABLE_2, "region table 2")] {
        let mut image = small().build();
        image.write(offset + 9000, &[1]);
        let disk = opened(&image);
        assert!(disk.info().problems[0].contains(name), "{:?}", disk.info().problems);
        assert!(read_all(&disk) == small_content());
    }
    let mut image = small().build();
    image.write(TABLE_1, b"x");
    image.write(TABLE_2, b"x");
    assert!(error_text(&image).contains("VHDX region table"));
}

#[test]
fn regions_are_known_whole_and_apart() {
    let base = small().build();
    let (metadata, bat) = ((METADATA, base.metadata_offset, MIB, 1), (BAT, base.bat_offset, MIB, 1));
    let with = |regions: &[([u8; 16], u64, u64, u32)]| {
        let mut image = base.clone();
        image.write_region_tables(regions);
        try_open(&image).map(|_| ()).map_err(|error| error.to_string())
    };
    let unknown = |required| ([0xee; 16], 100 * MIB, MIB, required);
    assert_eq!(with(&[bat, metadata]), Ok(()));
    assert_eq!(with(&[bat, unknown(0), metadata]), Ok(()));
    let error = with(&[bat, metadata, unknown(1)]).unwrap_err();
    assert!(error.contains("eeeeeeee-eeee-eeee-eeee-eeeeeeeeeeee") && error.contains("unknown"), "{error}");
    for (regions, expected) in [
        (vec![bat], "no metadata region"),
        (vec![metadata], "no BAT region"),
        (vec![bat, metadata, bat], "overlaps"),
        (vec![bat, metadata, (BAT, 50 * MIB, MIB, 1)], "twice"),
        (vec![bat, (METADATA, bat.1, MIB, 1)], "overlaps"),
        (vec![bat, (METADATA, writer::LOG_OFFSET, MIB, 1)], "overlaps the log"),
        (vec![bat, (METADATA, 0, MIB, 1)], "misplaced"),
        (vec![bat, (METADATA, metadata.1 + 4096, MIB, 1)], "misplaced"),
        (vec![bat, (METADATA, metadata.1, 4096, 1)], "misplaced"),
        (vec![bat, (METADATA, u64::MAX - MIB + 1, MIB, 1)], "2^64"),
        (vec![bat, (METADATA, 1 << 40, MIB, 1)], "truncated"),
        (vec![(BAT, 50 * MIB, 0, 1), metadata], "VHDX BAT"),
    ] {
        let error = with(&regions).unwrap_err();
        let swapped = expected.replace("overlaps the log", "the log overlaps");
        assert!(error.contains(expected) || error.contains(&swapped), "{expected}: {error}");
    }
}

#[test]
fn metadata_is_checked() {
    type Change = fn(&mut Recipe);
    let refused: [(Change, &str); 8] = [
        (|r| r.block_size = MIB / 2, "block size"),
        (|r| r.block_size = 512 * MIB, "block size"),
        (|r| r.block_size = 3 * MIB, "block size"),
        (|r| r.virtual_size = 0, "virtual disk size"),
        (|r| r.virtual_size = (64 << 40) + 512, "virtual disk size"),
        (|r| r.virtual_size = 1000, "virtual disk size"),
        (|r| r.logical_sector_size = 1024, "logical sector size"),
        (|r| r.logical_sector_size = 0x2000, "logical sector size"),
    ];
    for (change, expected) in refused {
        // Only the metadata change; the file's layout stays that of a valid image.
        let mut recipe = Recipe::dynamic(4 * MIB, MIB);
        let mut image = recipe.build();
        change(&mut recipe);
        let mut changed = Recipe::dynamic(4 * MIB, MIB).build();
        recipe.write_metadata(&mut changed);
        image.write(image.metadata_offset, &changed.read(changed.metadata_offset, 1 << 20));
        let error = error_text(&image);
        assert!(error.contains(expected), "{error}");
    }
    let mut recipe = Recipe::dynamic(4 * MIB, MIB);
    recipe.physical_sector_size = 77;
    assert!(opened(&recipe.build()).info().problems[0].contains("physical sector size"));
}

#[test]
fn unknown_metadata_matters_only_when_required() {
    let mut image = small().build();
    let table = image.read(image.metadata_offset, 32 + 5 * 32);
    let with = |image: &mut Image, flags: u32, offset: u32, length: u32| {
        let mut table = table.clone();
        table[10] = 6;
        table.extend([0xbb; 16]);
        for number in [offset, length, flags, 0] {
            table.extend(number.to_le_bytes());
        }
        image.write(image.metadata_offset, &table);
        try_open(image).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(with(&mut image, 0, 0x20000, 16), Ok(()));
    assert_eq!(with(&mut image, 1, 0x20000, 16), Ok(()));
    assert_eq!(with(&mut image, 0, 0, 0), Ok(()));
    for flags in [4, 5] {
        let error = with(&mut image, flags, 0x20000, 16).unwrap_err();
        assert!(error.contains("bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb"), "{error}");
    }
    assert!(with(&mut image, 0, 0x10002, 16).unwrap_err().contains("overlap"));
    for (offset, length) in [(0x100, 16), (0xf_fff8, 16), (u32::MAX, 16), (0x20000, u32::MAX)] {
        assert!(with(&mut image, 0, offset, length).is_err(), "{offset:#x} {length:#x}");
    }
}

#[test]
fn parent_locator_names_identity_and_paths() {
    let linkage = Guid::parse("{83ed0ec3-24c8-49a6-a959-5e4bf1288bfb}").unwrap();
    let mut recipe = Recipe::differencing(4 * MIB, MIB, linkage.0, "elternplatte Ä.vhdx");
    let disk = opened(&recipe.build());
    let parent = disk.parent().unwrap();
    assert_eq!((parent.parent_linkage, parent.parent_linkage2), (linkage, None));
    assert_eq!(parent.relative_path.as_deref(), Some(".\\elternplatte Ä.vhdx"));
    assert_eq!(parent.absolute_win32_path.as_deref(), Some("\\\\?\\C:\\disks\\elternplatte Ä.vhdx"));
    assert_eq!(parent.volume_path, None);
    assert_eq!(disk.info().parent_id, Some(linkage));
    assert_eq!(disk.info().parent_paths.len(), 2);
    assert!(opened(&small().build()).parent().is_none());

    // A locator of another type, and one that is truncated at each length.
    let image = recipe.build();
    let entry = image.read(image.metadata_offset + 32 + 5 * 32 + 16, 8);
    let offset = u32::from_le_bytes(entry[..4].try_into().unwrap());
    let length = u32::from_le_bytes(entry[4..].try_into().unwrap());
    let mut other = image.clone();
    other.write(image.metadata_offset + u64::from(offset), &[0x55]);
    assert!(error_text(&other).contains("locator type"));
    for length in 0..length {
        let mut cut = image.clone();
        cut.write(image.metadata_offset + 32 + 5 * 32 + 20, &length.to_le_bytes());
        assert!(try_open(&cut).is_err(), "{length}");
    }

    recipe.parent =
        Some(Parent { linkage: [1; 16], relative_path: String::new(), absolute_win32_path: String::new() });
    assert_eq!(opened(&recipe.build()).parent().unwrap().relative_path.as_deref(), Some(""));
}

#[test]
fn the_creator_is_kept_in_its_own_words() {
    let mut image = small().block(0, Block::State(0)).build();
    image.write(8, &[0x1b, 0, b'[', 0, b'm', 0, 0x00, 0xd8, 0, 0]);
    assert_eq!(opened(&image).info().creator, "\u{1b}[m\u{fffd}");
}
