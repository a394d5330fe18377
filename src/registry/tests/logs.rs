//! Logs: which are applied, in which order, and where a replay stops.

use super::*;
use crate::{
    bytes::ByteSource,
    testing::hive::{log_of_entries, log_of_pages, number, seal_entry},
};

/// States of one hive, which differ in the data of a value (and in every page of the bins, as its length moves the rest).
fn state(generation: u32) -> Vec<u8> {
    let text = |n: u32| format!("{n}").repeat(200);
    let filler = Tree::new("Filler").text("f", &"x".repeat(4000));
    let tree = Tree::new("ROOT")
        .key(filler)
        .key(Tree::new("Now").dword("n", generation).text("t", &text(generation)));
    tree.hive()
}

/// The hive whose write after `secondary` was begun.
fn dirty(mut hive: Vec<u8>, primary: u32, secondary: u32) -> Vec<u8> {
    number(&mut hive, primary, secondary);
    hive
}

fn source(bytes: &[u8]) -> Arc<dyn ByteSource> {
    Arc::new(MemorySource(bytes.to_vec()))
}

fn replayed(hive: &[u8], logs: &[&[u8]]) -> Hive {
    let logs: Vec<_> = logs.iter().map(|log| source(log)).collect();
    Hive::open_with_logs(source(hive), &logs).unwrap()
}

fn generation(hive: &Hive) -> u32 {
    let now = hive.subkey(&hive.root().unwrap(), "Now").unwrap().unwrap();
    u32::from_le_bytes(hive.value_named(&now, "n").unwrap().unwrap().data.try_into().unwrap())
}

fn bins(hive: &Hive) -> Vec<u8> {
    let len = usize::try_from(hive.bytes().size()).unwrap() - 4096;
    crate::bytes::read_vec(&**hive.bytes(), 4096, len).unwrap()
}

fn flushes(hive: &Hive) -> usize {
    match hive.replay() {
        Replay::Applied { flushes, .. } => *flushes,
        _ => 0,
    }
}

fn reason(hive: &Hive) -> &str {
    match hive.replay() {
        Replay::Impossible { reason } => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn entries_of_both_logs_are_applied_by_their_numbers() {
    let states: Vec<Vec<u8>> = (0..5).map(state).collect();
    let all: Vec<&[u8]> = states.iter().map(|state| &state[..]).collect();
    let hive = dirty(states[0].clone(), 8, 7);
    let (first, second) = (log_of_entries(&all[..3], 7), log_of_entries(&all[2..], 9));
    for logs in [[&first[..], &second], [&second, &first]] {
        let hive = replayed(&hive, &logs);
        assert_eq!((generation(&hive), flushes(&hive)), (4, 4));
        assert_eq!(bins(&hive), states[4][4096..]);
        assert!(matches!(hive.replay(), Replay::Applied { sequence: 10, .. }));
    }
    // The replayed file is a hive that was written completely.
    let whole = replayed(&hive, &[&first, &second]);
    let again = Hive::open(whole.bytes().clone()).unwrap();
    assert_eq!((again.replay(), generation(&again)), (&Replay::NotNeeded, 4));
}

#[test]
fn entries_that_the_hive_has_are_left_out() {
    let states: Vec<Vec<u8>> = (0..4).map(state).collect();
    let all: Vec<&[u8]> = states.iter().map(|state| &state[..]).collect();
    let hive = replayed(&dirty(states[1].clone(), 9, 8), &[&log_of_entries(&all, 7)]);
    assert_eq!((generation(&hive), flushes(&hive)), (3, 2));
    let hive = replayed(&dirty(states[3].clone(), 20, 19), &[&log_of_entries(&all, 7)]);
    assert_eq!((generation(&hive), reason(&hive)), (3, "its logs hold nothing newer"));
}

#[test]
fn a_hive_that_was_written_completely_needs_no_log() {
    let (old, new) = (state(0), state(1));
    let hive = replayed(&dirty(old.clone(), 7, 7), &[&log_of_entries(&[&old, &new], 7)]);
    assert_eq!((generation(&hive), hive.replay()), (0, &Replay::NotNeeded));
}

#[test]
fn a_replay_stops_at_the_first_entry_that_is_not_whole() {
    let states: Vec<Vec<u8>> = (0..4).map(state).collect();
    let all: Vec<&[u8]> = states.iter().map(|state| &state[..]).collect();
    let log = log_of_entries(&all, 7);
    let hive = dirty(states[0].clone(), 8, 7);
    let ends: Vec<usize> = [2, 3].iter().map(|n| log_of_entries(&all[..*n], 7).len()).collect();
    // In the header, in its hash, in a page of the second entry.
    for at in [16, 24, 33, 40, 700] {
        let mut bad = log.clone();
        bad[ends[0] + at] ^= 1;
        let hive = replayed(&hive, &[&bad]);
        assert_eq!((generation(&hive), flushes(&hive)), (1, 1), "{at}");
    }
    let mut gap = log[..ends[0]].to_vec();
    gap.extend(&log[ends[1]..]);
    assert_eq!(generation(&replayed(&hive, &[&gap])), 1);
    assert_eq!(generation(&replayed(&hive, &[&log[..log.len() - 1]])), 2);
    // Of two logs the second is not reached either.
    let (first, second) = (log_of_entries(&all[..2], 7), log_of_entries(&all[2..], 9));
    assert_eq!(generation(&replayed(&hive, &[&first, &second])), 1);
}

#[test]
fn a_page_beyond_the_hive_bins_ends_its_log() {
    let (old, new) = (state(0), state(1));
    let mut log = log_of_entries(&[&old, &new], 7);
    log[512 + 40..512 + 44].copy_from_slice(&0xffff_f000_u32.to_le_bytes());
    seal_entry(&mut log[512..]);
    let hive = replayed(&dirty(old, 8, 7), &[&log]);
    assert_eq!((generation(&hive), reason(&hive)), (0, "its logs hold nothing newer"));
}

#[test]
fn a_damaged_base_block_is_taken_from_the_newer_log() {
    let states: Vec<Vec<u8>> = (0..4).map(state).collect();
    let all: Vec<&[u8]> = states.iter().map(|state| &state[..]).collect();
    let mut hive = dirty(states[0].clone(), 8, 7);
    hive[..64].fill(0xee);
    let (first, second) = (log_of_entries(&all[..3], 7), log_of_entries(&all[2..], 9));
    let whole = replayed(&hive, &[&first, &second]);
    assert_eq!((generation(&whole), flushes(&whole)), (3, 3));
    // An older log that does not lead to the newer one is left out.
    let mut hive = dirty(states[2].clone(), 8, 7);
    hive[508] ^= 1;
    let stale = log_of_entries(&all[..2], 3);
    let whole = replayed(&hive, &[&stale, &second]);
    assert_eq!((generation(&whole), flushes(&whole)), (3, 1));
    assert!(Hive::open(source(&[0xee; 8192])).is_err());
}

#[test]
fn a_dirty_vector_is_applied() {
    let (old, new) = (state(0), state(1));
    let log = log_of_pages(&old, &new, 8);
    let mut hive = dirty(old.clone(), 8, 7);
    let whole = replayed(&hive, &[&log]);
    assert_eq!((generation(&whole), flushes(&whole)), (1, 1));
    assert_eq!(bins(&whole), new[4096..]);
    // Without a base block of its own, by the time in the first bin.
    hive[508] ^= 1;
    assert_eq!(generation(&replayed(&hive, &[&log])), 1);
    // Of several the one that was written for this state.
    let mut other = log_of_pages(&old, &state(2), 8);
    other[12] ^= 1;
    number(&mut other, 8, 8);
    assert_eq!(generation(&replayed(&hive, &[&other, &log])), 1);
    hive[508] ^= 1;
    assert_eq!(generation(&replayed(&hive, &[&other, &log])), 1);
    assert_eq!(reason(&replayed(&hive, &[&other])), "its logs were written for another state of it");
}

#[test]
fn a_dirty_vector_that_is_cut_off_or_breaks_hive_bins_is_not_applied() {
    let (old, new) = (state(0), state(1));
    let log = log_of_pages(&old, &new, 8);
    let hive = dirty(old.clone(), 8, 7);
    let cut = replayed(&hive, &[&log[..log.len() - 1]]);
    assert_eq!((generation(&cut), reason(&cut)), (0, "its log is cut off"));
    let mut broken = new.clone();
    broken[4096] ^= 1;
    let broken = replayed(&hive, &[&log_of_pages(&old, &broken, 8)]);
    assert_eq!((generation(&broken), reason(&broken)), (0, "its log makes no hive bin at 0x0"));
}

#[test]
fn logs_that_are_damaged_or_empty_leave_the_hive_as_it_is() {
    let (old, new) = (state(0), state(1));
    let hive = dirty(old.clone(), 8, 7);
    assert_eq!(reason(&replayed(&hive, &[])), "it has no log");
    for log in [log_of_entries(&[&old, &new], 7), log_of_pages(&old, &new, 8)] {
        let mut bad = log.clone();
        bad[100] ^= 1;
        assert_eq!(reason(&replayed(&hive, &[&bad])), "the base block of its log is damaged");
        assert_eq!(generation(&replayed(&hive, &[&[], &log])), 1);
        // A damaged log beside a good one.
        assert_eq!(generation(&replayed(&hive, &[&bad, &log])), 1);
    }
    assert!(reason(&replayed(&hive, &[b"short"])).contains("damaged"));
    assert_eq!(generation(&replayed(&hive, &[&[0; 4096]])), 0);
}

#[test]
fn hives_grow_and_shrink_in_a_replay() {
    let (small, large) =
        (state(0), Tree::new("ROOT").key(Tree::new("Now").dword("n", 9).text("t", &"y".repeat(9000))).hive());
    assert!(large.len() > small.len());
    let mut header = dirty(small.clone(), 8, 7);
    header.truncate(small.len());
    let grown = replayed(&header, &[&log_of_entries(&[&small, &large], 7)]);
    assert_eq!((generation(&grown), bins(&grown)), (9, large[4096..].to_vec()));
    let old = replayed(&header, &[&log_of_pages(&small, &large, 8)]);
    assert_eq!((generation(&old), bins(&old)), (9, large[4096..].to_vec()));
    let shrunk = replayed(&dirty(large.clone(), 8, 7), &[&log_of_entries(&[&large, &small], 7)]);
    assert_eq!(generation(&shrunk), 0);
}
