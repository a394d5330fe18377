//! Tests of log replay, on valid and damaged logs.

use std::time::Instant;

use crate::Remedy;

use super::{
    writer::{Block, LOG_OFFSET, LogEntry, Update, pattern, seal},
    *,
};

/// An image whose first BAT sector exists only in the log, as updates.
fn withheld() -> (Image, Vec<Update>) {
    let mut image = small().build();
    let updates = image.withhold(image.bat_offset, 1, 0);
    (image, updates)
}

fn no_replay(image: &Image) -> Vhdx {
    open(Arc::new(image.clone()), "", &OpenOptions { replay: false }).unwrap()
}

#[test]
fn one_entry_is_replayed_in_memory() {
    let (mut image, updates) = withheld();
    image.write_log(&[image.entry(0, 1, updates)]);
    let before = image.to_vec();
    let disk = opened(&image);
    assert_eq!(disk.info().log, Some(crate::container::LogState::Replayed { entries: 1, bytes: 4096 }));
    assert!(read_all(&disk) == small_content());
    assert!(image.to_vec() == before);

    let disk = no_replay(&image);
    assert_eq!(disk.info().log, Some(crate::container::LogState::NotReplayed));
    assert!(read_all(&disk).iter().all(|byte| *byte == 0));
}

#[test]
fn entries_are_replayed_in_order_from_the_tail() {
    let (mut image, updates) = withheld();
    let bat = image.bat_offset;
    let junk = || vec![Update::Data(bat, vec![0xff; 4096])];
    // The older entry is already written in place and no longer part of the sequence; replaying it would damage the
    // metadata.
    let older = image.entry(0, 10, vec![Update::Zeros(image.metadata_offset, 4096)]);
    let first = image.entry(4096, 11, junk());
    let second =
        LogEntry { tail: 4096, ..image.entry(4096 + first.length(), 12, vec![Update::Zeros(bat, 65536)]) };
    let third = LogEntry { tail: 4096, ..image.entry(second.at + second.length(), 13, updates) };
    image.write_log(&[older, first, second, third]);
    let disk = opened(&image);
    assert_eq!(
        disk.info().log,
        Some(crate::container::LogState::Replayed { entries: 3, bytes: 4096 + 65536 + 4096 })
    );
    assert!(read_all(&disk) == small_content());
}

#[test]
fn entries_and_sequences_wrap_at_the_end_of_the_log() {
    let (mut image, updates) = withheld();
    let at = MIB - 3 * 4096;
    let first = image.entry(at, 5, vec![Update::Data(image.bat_offset, vec![0xff; 4096])]);
    // Header sector before the end, data sector at the beginning.
    let second = LogEntry { tail: at, ..image.entry(at + first.length(), 6, updates) };
    assert_eq!(second.at + 4096, MIB);
    let third = LogEntry { tail: at, ..image.entry(4096, 7, vec![]) };
    image.write_log(&[first, second, third]);
    let disk = opened(&image);
    assert_eq!(disk.info().log, Some(crate::container::LogState::Replayed { entries: 3, bytes: 8192 }));
    assert!(read_all(&disk) == small_content());
}

#[test]
fn torn_newest_entry_is_left_out() {
    let (mut image, updates) = withheld();
    let first = image.entry(0, 1, updates);
    let junk = vec![Update::Data(image.bat_offset, vec![0xff; 4096])];
    let torn = LogEntry { torn: true, ..image.entry(first.length(), 2, junk) };
    image.write_log(&[first, torn]);
    let disk = opened(&image);
    assert_eq!(disk.info().log, Some(crate::container::LogState::Replayed { entries: 1, bytes: 4096 }));
    assert!(read_all(&disk) == small_content());
}

#[test]
fn newest_complete_sequence_is_the_active_one() {
    let (mut image, updates) = withheld();
    let junk = || vec![Update::Data(image.bat_offset, vec![0xff; 4096])];
    let older = image.entry(0, 3, junk());
    let active = image.entry(0x10000, 9, updates);
    // One has an overwritten tail, one belongs to an earlier session, one has no successor's number.
    let incomplete = LogEntry { tail: 0x4_0000, ..image.entry(0x2_0000, 50, junk()) };
    let foreign = LogEntry { log_guid: [9; 16], ..image.entry(0x3_0000, 60, junk()) };
    let gap = image.entry(active.at + active.length(), 8, junk());
    image.write_log(&[older, active, incomplete, foreign, gap]);
    assert!(read_all(&opened(&image)) == small_content());
}

#[test]
fn more_descriptors_than_fit_one_sector() {
    let mut image = small().build();
    let bat = image.withhold(image.bat_offset, 1, 0xee);
    let mut updates: Vec<Update> = (0..300).map(|n| Update::Zeros((40 + n) * MIB, 4096)).collect();
    updates.extend(bat);
    updates.extend((0..130).map(|n| Update::Data(600 * MIB + n * 4096, pattern(4096, n))));
    image.write_log(&[image.entry(MIB - 8192, 1, updates)]);
    let disk = opened(&image);
    assert!(read_all(&disk) == small_content());
    let mut sector = vec![0; 4096];
    for n in 0..130 {
        disk.source().read_exact_at(600 * MIB + n * 4096, &mut sector).unwrap();
        assert_eq!(sector, pattern(4096, n), "{n}");
    }
}

#[test]
fn file_grows_to_the_last_file_offset_in_memory() {
    // The crash came before the file was extended: block 3 is allocated beyond its end and reads as zeros.
    let (mut image, updates) = withheld();
    let full = image.size;
    image.size -= MIB;
    image.write_log(&[LogEntry { last_file_offset: full, ..image.entry(0, 1, updates) }]);
    let disk = opened(&image);
    assert_eq!(disk.source().size(), full);
    assert_eq!(read(&disk, 3 * MIB, 4096).unwrap(), vec![0; 4096]);
    assert_eq!(disk.info().file_size, full - MIB);
}

#[test]
fn log_that_cannot_be_replayed_is_refused_and_may_be_skipped() {
    let (image, updates) = withheld();
    let sound = image.entry(0, 1, updates);
    let refused = |entries: &[LogEntry], change: &dyn Fn(&mut Image)| {
        let mut image = image.clone();
        image.write_log(entries);
        change(&mut image);
        let error = try_open(&image).err().expect("must be refused");
        assert_eq!(error.remedies(), [Remedy::SkipLog], "{error}");
        let error = error.to_string();
        no_replay(&image);
        error
    };
    assert!(refused(&[], &|_| ()).contains("no complete sequence"));
    assert!(refused(&[LogEntry { torn: true, ..sound.clone() }], &|_| ()).contains("no complete sequence"));
    assert!(refused(&[LogEntry { tail: 4096, ..sound.clone() }], &|_| ()).contains("no complete sequence"));
    for damage in [0, 5, 8, 30, 33, 70, 80, 90, 4096, 4100, 5000, 8191] {
        let flip = |image: &mut Image| {
            let byte = image.read(LOG_OFFSET + damage, 1)[0];
            image.write(LOG_OFFSET + damage, &[byte ^ 1]);
        };
        assert!(refused(std::slice::from_ref(&sound), &flip).contains("no complete sequence"), "{damage}");
    }
    let larger = LogEntry { flushed_file_offset: image.size + MIB, ..sound.clone() };
    assert!(refused(&[larger], &|_| ()).contains("truncated"));
    let huge = LogEntry { last_file_offset: u64::MAX, ..sound.clone() };
    assert!(refused(&[huge], &|_| ()).contains("2^63"));

    let patch_headers = |image: &mut Image, at: usize, bytes: &[u8]| {
        for offset in [64 << 10, 128 << 10] {
            let mut header = image.read(offset, 4096);
            header[at..at + bytes.len()].copy_from_slice(bytes);
            seal(&mut header);
            image.write(offset, &header);
        }
    };
    assert!(
        refused(std::slice::from_ref(&sound), &|image| patch_headers(image, 64, &[1]))
            .contains("log version 1")
    );
    assert!(
        refused(std::slice::from_ref(&sound), &|image| patch_headers(image, 68, &[0; 4])).contains("no log")
    );
    assert!(
        error_text(&{
            let mut image = image.clone();
            image.write_log(&[sound]);
            patch_headers(&mut image, 72, &(1_u64 << 40).to_le_bytes());
            image
        })
        .contains("beyond the end")
    );
}

#[test]
fn updates_beyond_what_files_can_hold_are_no_valid_entry() {
    let (mut image, _) = withheld();
    for update in [
        Update::Zeros(u64::MAX - 4095, 4096),
        Update::Zeros(1 << 62, 1 << 63),
        Update::Zeros(4096, 100),
        Update::Data(100, vec![0; 4096]),
        Update::Data(i64::MAX.cast_unsigned() - 4095, vec![0; 4096]),
    ] {
        image.write_log(&[image.entry(0, 1, vec![update])]);
        assert!(error_text(&image).contains("no complete sequence"));
    }
    // A huge but legal length costs nothing.
    let (mut image, updates) = withheld();
    let zeros = vec![Update::Zeros(1 << 50, 1 << 60)];
    let first = image.entry(0, 1, zeros);
    let second = LogEntry { tail: 0, ..image.entry(first.length(), 2, updates) };
    image.write_log(&[first, second]);
    assert!(read_all(&opened(&image)) == small_content());
}

#[test]
fn hostile_log_is_bounded_work() {
    // 16 MiB in which every sector claims to begin an entry that extends over the whole log.
    let mut recipe = Recipe::dynamic(4 * MIB, MIB).block(0, Block::State(0));
    recipe.log_length = 16 * MIB;
    let mut image = recipe.build();
    image.write_log(&[]);
    let mut header = image.entry(0, 1, vec![]);
    header.updates.clear();
    let mut sector = {
        let mut one = image.clone();
        one.write_log(&[header]);
        one.read(LOG_OFFSET, 4096)
    };
    sector[8..12].copy_from_slice(&(16_u32 << 20).to_le_bytes());
    for at in 0..16 * 256 {
        image.write(LOG_OFFSET + at * 4096, &sector);
    }
    let start = Instant::now();
    assert!(error_text(&image).contains("again and again"));
    // Quadratic work would take hours; a slow machine may take seconds.
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}

#[test]
fn empty_large_log_is_searched_quickly() {
    let mut recipe = Recipe::dynamic(4 * MIB, MIB);
    recipe.log_length = 64 * MIB;
    let mut image = recipe.build();
    // As many one-sector entries as fit, each its own sequence.
    let entries: Vec<LogEntry> = (0..64 * 256).map(|n| image.entry(n * 4096, 2 * n + 1, vec![])).collect();
    image.write_log(&entries);
    let start = Instant::now();
    assert_eq!(
        opened(&image).info().log,
        Some(crate::container::LogState::Replayed { entries: 1, bytes: 0 })
    );
    // The same as one sequence.
    let entries: Vec<LogEntry> =
        (0..64 * 256).map(|n| LogEntry { tail: 0, ..image.entry(n * 4096, n + 1, vec![]) }).collect();
    image.write_log(&entries);
    assert_eq!(
        opened(&image).info().log,
        Some(crate::container::LogState::Replayed { entries: 16384, bytes: 0 })
    );
    // Quadratic work would take hours; a slow machine may take seconds.
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}
