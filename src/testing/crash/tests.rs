//! The explorer itself: toy writers with a mistake each are caught, the right ones are not.

mod disks;

use std::sync::Arc;

use super::*;
use crate::{
    Result,
    bytes::{Backing, ByteSink, ByteSource, read_vec, testing::Sparse},
};

/// Two slots of data, and a sector that says which one is valid.
struct Toy {
    file: Arc<Recorded>,
    /// Flushes between the data and the pointer.
    barrier: bool,
}

const POINTER: u64 = 0;
const SLOTS: [u64; 2] = [4096, 8192];
const LEN: usize = 2048;

impl Toy {
    fn commit(&self, number: u64, version: u32) -> Result<()> {
        let slot = SLOTS[usize::try_from(number % 2).unwrap()];
        let bytes: Vec<u8> = (0..4).flat_map(|sector| stamp(version, sector)).collect();
        self.file.write_all_at(slot, &bytes)?;
        if self.barrier {
            self.file.flush()?;
        }
        self.file.write_all_at(POINTER, &slot.to_le_bytes())?;
        self.file.flush()
    }
}

/// The valid slot, as a disk.
fn read(file: &dyn ByteSource) -> Result<crate::bytes::MemorySource> {
    let slot = u64::from_le_bytes(read_vec(file, POINTER, 8)?.try_into().expect("8 bytes"));
    Ok(crate::bytes::MemorySource(if slot == 0 { vec![0; LEN] } else { read_vec(file, slot, LEN)? }))
}

fn run(barrier: bool) -> Result<Explored, String> {
    let recording = Recording::default();
    let toy = Toy { file: recording.file(Sparse::new(16 << 10)), barrier };
    let mut model = Model::default();
    for number in 0..6 {
        let version = model.next_version();
        let commit = model.commit(recording.position(), &[(0..4, version)]);
        toy.commit(number, version).unwrap();
        model.committed(commit);
        model.flushed(recording.position());
    }
    Explorer::new(1).explore("toy", &recording, |state| {
        model.judge(&read(&state.files[0]).map_err(|error| error.to_string())?, state.cut)
    })
}

#[test]
fn missing_barrier_is_found() {
    let explored = run(true).unwrap();
    assert!(explored.tried == explored.of && explored.of > 50, "{explored:?}");
    let problem = run(false).unwrap_err();
    assert!(problem.contains("toy, seed 1: state") && problem.contains("cut after"), "{problem}");
}

/// A log of one entry, whose sequence number 0 means that it is retired.
struct Logged {
    file: Arc<Recorded>,
    /// Flushes the place before the entry is retired.
    in_place_first: bool,
}

const ENTRY: u64 = 512;
const PLACE: u64 = 16 << 10;

impl Logged {
    fn commit(&self, version: u32) -> Result<()> {
        let bytes: Vec<u8> = (0..4).flat_map(|sector| stamp(version, sector)).collect();
        self.file.write_all_at(ENTRY, &bytes)?;
        self.file.flush()?;
        self.file.write_all_at(POINTER, &[1; 8])?;
        self.file.flush()?;
        self.file.write_all_at(PLACE, &bytes)?;
        if self.in_place_first {
            self.file.flush()?;
        }
        self.file.write_all_at(POINTER, &[0; 8])?;
        self.file.flush()
    }
}

fn logged(in_place_first: bool) -> Result<Explored, String> {
    let recording = Recording::default();
    let toy = Logged { file: recording.file(Sparse::new(32 << 10)), in_place_first };
    let mut model = Model::default();
    for _ in 0..4 {
        let version = model.next_version();
        let commit = model.commit(recording.position(), &[(0..4, version)]);
        toy.commit(version).unwrap();
        model.committed(commit);
        model.flushed(recording.position());
    }
    Explorer::new(2).explore("log", &recording, |state| {
        let file = &state.files[0];
        let valid = read_vec(file, POINTER, 1).unwrap() == [1];
        let at = if valid { ENTRY } else { PLACE };
        model.judge(&crate::bytes::MemorySource(read_vec(file, at, LEN).unwrap()), state.cut)
    })
}

#[test]
fn log_that_is_retired_too_early_is_found() {
    logged(true).unwrap();
    let problem = logged(false).unwrap_err();
    assert!(problem.contains("log, seed 2"), "{problem}");
}

#[test]
fn order_across_files_is_not_assumed() {
    // The pointer in one file, the data in another one that is flushed later.
    let recording = Recording::default();
    let (pointer, data) = (recording.file(Sparse::new(512)), recording.file(Sparse::new(4096)));
    data.write_all_at(0, &stamp(7, 0)).unwrap();
    pointer.write_all_at(0, &[1]).unwrap();
    pointer.flush().unwrap();
    data.flush().unwrap();
    let found = Explorer::new(3).explore("files", &recording, |state| {
        let valid = read_vec(&state.files[0], 0, 1).unwrap() == [1];
        let whole = read_vec(&state.files[1], 0, 512).unwrap() == stamp(7, 0);
        if valid && !whole { Err("points to nothing".to_owned()) } else { Ok(()) }
    });
    assert!(found.is_err());
}

#[test]
fn faults_come_at_each_operation_and_a_failed_flush_ends_the_file() {
    let mut failed = 0;
    let explored = Explorer::new(4).with_faults("faults", 4, 100, |recording| {
        let file = recording.file(Sparse::new(4096));
        let results =
            [file.write_all_at(0, &[1; 512]), file.flush(), file.set_len(8192), file.punch_hole(0..512)];
        failed += results.iter().filter(|result| result.is_err()).count();
        Ok(())
    });
    assert_eq!(explored.unwrap(), Explored { tried: 8, of: 8 });
    // Three that fail in two ways, and the flush, after which two more fail.
    assert_eq!(failed, 3 * 2 + 3 * 2);
}

#[test]
fn model_knows_old_new_and_what_is_neither() {
    let mut model = Model::default();
    model.holds(0..2, 5);
    model.write(10, 0..2, 1000);
    model.flushed(20);
    let transaction = model.commit(30, &[(0..1, 1001), (1..2, 1002)]);
    model.committed(transaction);
    model.flushed(40);
    let first = model.commit(50, &[(0..1, 1003)]);
    model.committed(first);
    model.commit(60, &[(1..2, 1004)]);
    let judge = |versions: [u32; 2], cut| {
        let bytes = versions.iter().zip(0..).flat_map(|(version, sector)| stamp(*version, sector)).collect();
        model.judge(&crate::bytes::MemorySource(bytes), cut).is_ok()
    };
    assert!(judge([5, 5], 9) && !judge([1000, 5], 9));
    assert!(judge([1000, 5], 15) && judge([5, 1000], 15) && !judge([0, 5], 15));
    assert!(judge([1000, 1000], 25) && !judge([1000, 5], 25));
    assert!(judge([1000, 1000], 35) && judge([1001, 1002], 35) && !judge([1001, 1000], 35));
    assert!(judge([1001, 1002], 40) && !judge([1000, 1000], 40));
    // Commits come in order.
    assert!(judge([1003, 1002], 70) && judge([1003, 1004], 70) && !judge([1001, 1004], 70));
}
