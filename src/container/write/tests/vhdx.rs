//! What a VHDX is like while and after it is written.

use super::*;
use crate::container::LogState;

const KIB: u64 = 1 << 10;

/// The fields of a header that a writer changes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Header {
    sequence_number: u64,
    file_write_guid: Vec<u8>,
    data_write_guid: Vec<u8>,
    log_guid: Vec<u8>,
}

fn headers(file: &MemoryFile) -> [Header; 2] {
    [64 * KIB, 128 * KIB].map(|at| {
        let bytes = read_vec(file, at, 64).unwrap();
        Header {
            sequence_number: u64::from_le_bytes(bytes[8..16].try_into().unwrap()),
            file_write_guid: bytes[16..32].to_vec(),
            data_write_guid: bytes[32..48].to_vec(),
            log_guid: bytes[48..64].to_vec(),
        }
    })
}

fn open(file: &Arc<MemoryFile>) -> WritableDisk {
    WritableDisk::open(file.clone(), None, &WriteOptions::default()).unwrap()
}

fn file(plan: &Plan) -> Arc<MemoryFile> {
    Arc::new(MemoryFile::new(made(plan, &[])))
}

fn whole(file: &MemoryFile) -> Vec<u8> {
    read_vec(file, 0, usize::try_from(file.size()).unwrap()).unwrap()
}

fn log_state(content: Sparse) -> LogState {
    let opened = open_source(Arc::new(content), &OpenOptions::default()).unwrap();
    opened.infos().next().unwrap().log.unwrap()
}

#[test]
fn nothing_is_written_before_the_first_change() {
    let file = file(&dynamic(20 * MIB, MIB));
    let before = whole(&file);
    let disk = open(&file);
    disk.read_exact_at(5 * MIB, &mut [0; 9000]).unwrap();
    // Zeros where zeros are.
    disk.write_all_at(3 * MIB, &vec![0; 2 << 20]).unwrap();
    disk.discard(0, 20 * MIB).unwrap();
    let mut transaction = disk.begin();
    transaction.write(4096, &[0; 4096]).unwrap();
    transaction.commit().unwrap();
    let mut dropped = disk.begin();
    dropped.write(4096, &[7; 4096]).unwrap();
    drop(dropped);
    disk.flush().unwrap();
    disk.close().unwrap();
    assert!(whole(&file) == before);
}

#[test]
fn identities_change_with_the_first_change_of_each_session() {
    let file = file(&dynamic(20 * MIB, MIB));
    let made = headers(&file);
    let disk = open(&file);
    disk.write_all_at(MIB, &[1; 512]).unwrap();
    let [one, other] = headers(&file);
    assert!(one.sequence_number.abs_diff(other.sequence_number) == 1);
    assert!(one.sequence_number.min(other.sequence_number) > made[1].sequence_number);
    let same = |one: &Header, other: &Header| {
        Header { sequence_number: 0, ..one.clone() } == Header { sequence_number: 0, ..other.clone() }
    };
    assert!(same(&one, &other), "{one:?} {other:?}");
    assert!(one.file_write_guid != made[0].file_write_guid && one.data_write_guid != made[0].data_write_guid);
    assert_ne!(one.log_guid, [0; 16]);
    disk.write_all_at(7 * MIB, &[2; 512]).unwrap();
    disk.flush().unwrap();
    assert_eq!(headers(&file), [one.clone(), other]);
    disk.close().unwrap();
    let closed = headers(&file);
    assert!(same(&closed[0], &closed[1]) && closed[0].log_guid == [0; 16]);
    assert!(
        closed[0].data_write_guid == one.data_write_guid && closed[0].file_write_guid == one.file_write_guid
    );
    let disk = open(&file);
    disk.write_all_at(MIB, &[3; 512]).unwrap();
    let again = &headers(&file)[0];
    assert!(again.data_write_guid != one.data_write_guid && again.log_guid != one.log_guid);
}

#[test]
fn what_was_flushed_is_there_without_a_close_and_opening_replays_it() {
    let file = file(&dynamic(20 * MIB, MIB));
    let disk = open(&file);
    disk.write_all_at(3 * MIB - 512, &[1; 1024]).unwrap();
    disk.flush().unwrap();
    drop(disk);
    let content = file.content();
    assert!(matches!(log_state(content.clone()), LogState::Replayed { .. }));
    assert_eq!(read_vec(&*read_only(content, None), 3 * MIB - 512, 1024).unwrap(), [1; 1024]);
    let before = headers(&file);
    let disk = open(&file);
    // A replay changes the file, not what the guest sees.
    let after = headers(&file);
    assert!(after[0].file_write_guid != before[0].file_write_guid);
    assert!(after[0].data_write_guid == before[0].data_write_guid && after[0].log_guid == [0; 16]);
    assert_eq!(read_vec(&disk, 3 * MIB - 512, 1024).unwrap(), [1; 1024]);
    assert_eq!(log_state(file.content()), LogState::Clean);
    // Nothing of it is left to do: the next time, nothing is written.
    drop(disk);
    let before = whole(&file);
    open(&file).close().unwrap();
    assert!(whole(&file) == before);
}

#[test]
fn file_grows_in_large_steps_and_gives_back_the_rest() {
    let file = file(&dynamic(1024 * MIB, 2 * MIB));
    let start = file.size();
    let disk = open(&file);
    let mut lengths = std::collections::BTreeSet::new();
    for number in 0..40 {
        disk.write_all_at(number * 5 * MIB, &[1; 4096]).unwrap();
        lengths.insert(file.size());
    }
    assert!(lengths.len() < 4, "{lengths:?}");
    disk.close().unwrap();
    assert_eq!(file.size(), start + 40 * 2 * MIB);
}

#[test]
fn space_of_discarded_blocks_is_used_again_once_the_log_has_forgotten_them() {
    let file = file(&dynamic(64 * MIB, MIB));
    let start = file.size();
    let disk = open(&file);
    for round in 0..200_u64 {
        let at = round % 60 * MIB;
        disk.write_all_at(at, &[9; 8192]).unwrap();
        disk.flush().unwrap();
        disk.discard(at, MIB).unwrap();
        disk.write_all_at(63 * MIB, &[round.to_le_bytes()[0]; 512]).unwrap();
        disk.flush().unwrap();
        // A place that was used holds nothing of what it was used for.
        assert!(read_vec(&disk, at, 1 << 20).unwrap().iter().all(|byte| *byte == 0), "{round}");
    }
    disk.close().unwrap();
    assert!(file.size() <= start + 8 * MIB, "{}", file.size());
    assert_eq!(problems_of(&(file.clone() as Arc<dyn ByteSource>)), [""; 0]);
}

#[test]
fn switched_commits_take_turns_in_few_places() {
    let plan = dynamic(8 * MIB, MIB);
    let file = file(&plan);
    let start = file.size();
    let options = WriteOptions { commit: CommitMode::Switched, ..WriteOptions::default() };
    let disk = WritableDisk::open(file.clone(), None, &options).unwrap();
    for round in 1..100_u8 {
        let mut transaction = disk.begin();
        transaction.write(MIB, &[round; 4096]).unwrap();
        transaction.write(3 * MIB + 512, &[round; 512]).unwrap();
        transaction.commit().unwrap();
        disk.flush().unwrap();
    }
    assert_eq!(read_vec(&disk, 3 * MIB + 512, 512).unwrap(), [99; 512]);
    disk.close().unwrap();
    assert!(file.size() <= start + 8 * MIB, "{}", file.size());
}

#[test]
fn discarded_blocks_of_a_child_do_not_show_the_parent() {
    let parent: Arc<dyn ByteSource> = Arc::new(crate::bytes::MemorySource(vec![0xaa; 4 << 20]));
    let file = file(&child(4 * MIB, MIB));
    let disk =
        WritableDisk::open(file.clone(), Some(Below::unverified(parent.clone())), &WriteOptions::default())
            .unwrap();
    disk.write_all_at(MIB, &[1; 4096]).unwrap();
    disk.flush().unwrap();
    disk.discard(0, 2 * MIB).unwrap();
    disk.discard(3 * MIB + 512, 1024).unwrap();
    disk.flush().unwrap();
    drop(disk);
    let disk = read_only(file.content(), Some(&parent));
    let read = |at, len| read_vec(&*disk, at, len).unwrap();
    assert!(read(0, 2 << 20).iter().all(|byte| *byte == 0));
    assert!(read(2 * MIB, 1 << 20).iter().all(|byte| *byte == 0xaa));
    assert_eq!(read(3 * MIB, 2048), [[0xaa; 512], [0; 512], [0; 512], [0xaa; 512]].concat());
}

#[test]
fn largest_disk_takes_little_space_and_memory() {
    let size = 64 << 40;
    for block_size in [MIB, 256 * MIB] {
        let file = file(&dynamic(size, block_size));
        let before = file.content().stored();
        let disk = open(&file);
        for at in [0, 1 << 40, (33 << 40) + 12345, size - 512] {
            disk.write_all_at(at, &[5; 512]).unwrap();
        }
        let mut transaction = disk.begin();
        transaction.write(20 << 40, &[6; 9000]).unwrap();
        transaction.commit().unwrap();
        disk.close().unwrap();
        let stored = file.content().stored() - before;
        assert!(stored < 400 * KIB, "{stored}");
        let disk = read_only(file.content(), None);
        for (at, byte) in [(0, 5), (1 << 40, 5), ((33 << 40) + 12345, 5), (size - 512, 5), (20 << 40, 6)] {
            assert_eq!(read_vec(&*disk, at, 512).unwrap(), [byte; 512], "{at:#x}");
        }
    }
}

#[test]
fn commit_of_more_than_the_log_takes_is_refused_and_nothing_has_happened() {
    let file = file(&dynamic(1 << 40, MIB));
    let options = WriteOptions { log_limit: Some(128 * KIB), ..WriteOptions::default() };
    let disk = WritableDisk::open(file.clone(), None, &options).unwrap();
    let before = whole_stored(&file);
    let mut transaction = disk.begin();
    for number in 0..40 {
        transaction.write(number << 30, &[1; 512]).unwrap();
    }
    let error = transaction.commit().unwrap_err();
    assert!(matches!(error, Error::Invalid(_)), "{error}");
    assert_eq!(whole_stored(&file), before);
    // Twenty pages of the table are one step.
    let mut transaction = disk.begin();
    for number in 0..20 {
        transaction.write(number << 30, &[1; 512]).unwrap();
    }
    transaction.commit().unwrap();
    assert_eq!(read_vec(&disk, 19 << 30, 512).unwrap(), [1; 512]);
}

fn whole_stored(file: &MemoryFile) -> Vec<(u64, Vec<u8>)> {
    file.content().pieces().map(|(at, bytes)| (at, bytes.to_vec())).collect()
}

#[test]
fn unknown_parent_and_size_are_refused() {
    let parent: Arc<dyn ByteSource> = Arc::new(crate::bytes::MemorySource(vec![0; 512]));
    let open = |plan: &Plan, parent: Option<Arc<dyn ByteSource>>| {
        WritableDisk::open(file(plan), parent.map(Below::unverified), &WriteOptions::default()).err()
    };
    assert!(matches!(open(&child(MIB, MIB), None), Some(Error::NotFound(_))));
    assert!(matches!(open(&dynamic(MIB, MIB), Some(parent)), Some(Error::Invalid(_))));
    let disk = self::open(&file(&dynamic(MIB, MIB)));
    assert!(matches!(disk.set_len(2 * MIB), Err(Error::Unsupported(_))));
    assert!(matches!(disk.write_all_at(MIB - 1, &[1; 2]), Err(Error::Invalid(_))));
    assert!(matches!(disk.discard(1, MIB), Err(Error::Invalid(_))));
    // A request that was refused is no failure.
    disk.write_all_at(MIB - 1, &[1]).unwrap();
}

#[test]
fn nothing_is_written_after_a_failure() {
    use crate::testing::crash::{Fault, Recording};
    let recording = Recording::default();
    let file = recording.file(made(&dynamic(4 * MIB, MIB), &[]));
    let disk = WritableDisk::open(file.clone(), None, &WriteOptions::default()).unwrap();
    disk.write_all_at(0, &[1; 512]).unwrap();
    disk.flush().unwrap();
    recording.fail(recording.operations(), Fault::NoSpace);
    assert!(matches!(disk.write_all_at(2 * MIB, &[2; 512]), Err(Error::Io { .. })));
    let operations = recording.operations();
    for result in [disk.write_all_at(0, &[3; 512]), disk.flush(), disk.discard(0, 512)] {
        let text = result.unwrap_err().to_string();
        assert!(text.contains("nothing is written any more") && text.contains("injected"), "{text}");
    }
    assert_eq!(recording.operations(), operations);
    assert_eq!(read_vec(&disk, 0, 512).unwrap(), [1; 512]);
    drop(disk);
    let disk = read_only(file.content(), None);
    assert_eq!(read_vec(&*disk, 0, 512).unwrap(), [1; 512]);
}
