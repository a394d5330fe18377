//! Logs that no writer leaves, and entries as they are encoded.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    entry::{self, Stated},
    log::Log,
    open,
    pages::Page,
};
use crate::{
    Error,
    bytes::{
        Backing, ByteSink, ByteSource, read_vec,
        testing::{MemoryFile, Sparse},
    },
    container::{Format, Plan, create, writer::WriteOptions},
    guid::Guid,
};

const MIB: u64 = 1 << 20;
const GUID: Guid = Guid([0x11; 16]);

fn image() -> Sparse {
    let file = MemoryFile::default();
    let mut writer = create::Writer::new(&file, &Plan::new(Format::Vhdx, 16 * MIB, 0)).unwrap();
    writer.write(0, &[1; 4096]).unwrap();
    writer.finish().unwrap();
    file.content()
}

/// The image with a log of one entry.
fn with_log(pages: &[(u64, u8)], last_file_offset: Option<u64>) -> Sparse {
    let content = image();
    let size = content.size();
    let file = Arc::new(MemoryFile::new(content));
    let pages: BTreeMap<u64, Box<Page>> =
        pages.iter().map(|(at, byte)| (*at, Box::new([*byte; 4096]))).collect();
    let stated = Stated {
        log_guid: GUID,
        sequence_number: 5,
        tail: 8192,
        flushed_file_offset: size,
        last_file_offset: last_file_offset.unwrap_or(size),
    };
    file.write_all_at(MIB + 8192, &entry::encode(&stated, &pages)).unwrap();
    let header = super::super::header::Header::read_current(&*file, &mut Vec::new()).unwrap();
    let mut headers = super::headers::Headers::read(&*file, &header).unwrap();
    let change = super::headers::Change { log_guid: Some(GUID), ..Default::default() };
    headers.update(&*file as &dyn Backing, change).unwrap();
    file.content()
}

#[test]
fn replay_writes_what_the_log_has_and_empties_it() {
    let size = image().size();
    let file =
        Arc::new(MemoryFile::new(with_log(&[(4 * MIB, 7), (4 * MIB + 8192, 0)], Some(size + 3 * MIB))));
    file.write_all_at(4 * MIB + 8192, &[9; 4096]).unwrap();
    let writer = open(file.clone(), None, &WriteOptions::default()).unwrap();
    assert_eq!(file.size(), size + 3 * MIB);
    assert_eq!(read_vec(&*file, 4 * MIB, 4096).unwrap(), [7; 4096]);
    assert_eq!(read_vec(&*file, 4 * MIB + 8192, 4096).unwrap(), [0; 4096]);
    let mut read = [0; 512];
    super::ImageWriter::read(&writer, 0, &mut read).unwrap();
    assert_eq!(read, [7; 512]);
}

#[test]
fn log_that_changes_what_no_log_may_is_refused_and_nothing_has_happened() {
    let size = image().size();
    for (why, pages, last) in [
        ("headers", vec![(64 << 10, 1)], None),
        ("the log itself", vec![(MIB + 65_536, 1)], None),
        ("beyond the end that it states", vec![(size + MIB, 1)], Some(size)),
        // The block table in the log points two blocks at one place.
        ("a table that contradicts itself", vec![(3 * MIB, 6)], None),
    ] {
        let content = with_log(&pages, last);
        let file = Arc::new(MemoryFile::new(content.clone()));
        let error = open(file.clone(), None, &WriteOptions::default()).err().expect(why);
        assert!(matches!(error.cause(), Error::Corrupt(_)), "{why}: {error}");
        assert!(file.content().pieces().eq(content.pieces()) && file.size() == content.size(), "{why}");
    }
}

#[test]
fn every_entry_that_has_room_fits() {
    for limit in [128 << 10, 132 << 10, 512 << 10, MIB, 4 * MIB, 16 * MIB] {
        let log = Log::new(MIB..MIB + limit.max(MIB), Some(limit));
        let most = log.capacity();
        let limit = limit.min(limit.max(MIB) - 8192);
        assert!(entry::length(most) + 5 * 4096 <= limit, "{limit}: {most}");
        assert!(most == 126 || entry::length(most + 3) + 5 * 4096 > limit, "{limit}: {most} is too few");
    }
    assert_eq!(entry::length(0), 4096);
    assert_eq!(entry::length(126), 127 * 4096);
    assert_eq!(entry::length(127), 129 * 4096);
}

#[test]
fn log_goes_around_and_readers_find_its_newest_state() {
    // 200 entries of up to 40 pages go around 1 MiB many times, with a tail that follows.
    let file = Arc::new(MemoryFile::new(image()));
    let disk = Arc::new(std::sync::Mutex::new(open(file.clone(), None, &WriteOptions::default()).unwrap()));
    let mut writer = disk.lock().unwrap();
    for round in 0..200_u64 {
        let mut changes = crate::container::writer::Changes::default();
        let byte = u8::try_from(round).unwrap();
        for page in 0..1 + round % 40 {
            changes.insert(page * 8192, crate::container::writer::Change::Bytes(vec![byte; 4096]));
        }
        super::ImageWriter::commit(&mut *writer, &changes).unwrap();
        if round % 3 == 0 {
            super::ImageWriter::flush(&mut *writer).unwrap();
        }
        let read = crate::container::vhdx::open(Arc::new(file.content()), "", &Default::default()).unwrap();
        let mut bytes = [0; 4096];
        let segment = crate::container::Layer::resolve(&read, 0).unwrap();
        let crate::container::Place::File(at) = segment.place else { panic!("{segment:?}") };
        crate::container::Layer::source(&read).read_exact_at(at, &mut bytes).unwrap();
        assert_eq!(bytes, [byte; 4096], "{round}");
    }
}
