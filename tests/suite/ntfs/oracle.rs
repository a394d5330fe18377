//! The crate `ntfs` as an oracle: on the demo volume it must find the same tree and read the same bytes, except where
//! it is known not to.

use std::{
    collections::BTreeMap,
    io::{self, Read, Seek, SeekFrom},
    sync::Arc,
};

use ::ntfs::{Ntfs, NtfsFile, NtfsReadSeek, structured_values::NtfsFileNamespace};
use vhdmount::{
    bytes::{ByteSource, MemorySource},
    fs::probe::Probe,
    identity::VolumeSerial,
    image::{Image, OpenOptions},
};

use crate::support::{
    conformance::{Content, tree_listing},
    demo, sha256,
};

/// The first record that is not the system's own.
const FIRST_USER: u64 = 24;

/// A source as the crate wants it.
struct Cursor {
    source: Arc<dyn ByteSource>,
    at: u64,
}

impl Read for Cursor {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.source.size().saturating_sub(self.at)).unwrap_or(usize::MAX);
        let len = left.min(buf.len());
        self.source.read_exact_at(self.at, &mut buf[..len]).map_err(io::Error::other)?;
        self.at += len as u64;
        Ok(len)
    }
}

impl Seek for Cursor {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.source.size().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        }
        .ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// Path → size and hash of each file that the crate finds below `dir`.
fn walk(
    ntfs: &Ntfs,
    fs: &mut Cursor,
    dir: &NtfsFile<'_>,
    path: &str,
    out: &mut BTreeMap<String, (u64, String)>,
) {
    let index = dir.directory_index(fs).unwrap();
    let mut entries = index.entries();
    let mut found = Vec::new();
    while let Some(entry) = entries.next(fs) {
        let entry = entry.unwrap();
        let name = entry.key().unwrap().unwrap();
        let record = entry.file_reference().file_record_number();
        if name.namespace() != NtfsFileNamespace::Dos && record >= FIRST_USER {
            found.push((format!("{path}{}", name.name().to_string_lossy()), record));
        }
    }
    for (path, record) in found {
        let file = ntfs.file(fs, record).unwrap();
        // Not through junctions: to the crate they are directories.
        if file.is_directory() {
            walk(ntfs, fs, &file, &format!("{path}/"), out);
            continue;
        }
        let mut bytes = Vec::new();
        if let Some(item) = file.data(fs, "") {
            let item = item.unwrap();
            let attribute = item.to_attribute().unwrap();
            let mut value = attribute.value(fs).unwrap();
            let mut piece = [0; 4096];
            loop {
                match value.read(fs, &mut piece).unwrap() {
                    0 => break,
                    got => bytes.extend_from_slice(&piece[..got]),
                }
            }
        }
        out.insert(path, (bytes.len() as u64, sha256(&bytes)));
    }
}

#[test]
fn the_crate_finds_the_same_files_except_where_it_cannot_read_them() {
    let image = Image::open_source(Arc::new(MemorySource(demo::image())), &OpenOptions::default()).unwrap();
    let disk: Arc<dyn ByteSource> = image.disk().clone();
    let (partition, volume) = image
        .partitions()
        .find_map(|(partition, content)| match content {
            Probe::Readable(fs) if partition.number == 3 => Some((partition, fs.clone())),
            _ => None,
        })
        .unwrap();
    let mut cursor = Cursor { source: Arc::new(partition.window(&disk)), at: 0 };
    let ntfs = Ntfs::new(&mut cursor).unwrap();
    assert_eq!(volume.volume().serial, Some(VolumeSerial::Ntfs(ntfs.serial_number())));

    let root = ntfs.root_directory(&mut cursor).unwrap();
    let mut theirs = BTreeMap::new();
    walk(&ntfs, &mut cursor, &root, "", &mut theirs);
    let ours = tree_listing(&*volume);
    let mut different = Vec::new();
    let mut same = 0;
    for (path, (_, content)) in &ours {
        match (content, theirs.get(path)) {
            (Content::File(size, hash), Some((their_size, their_hash)))
                if size == their_size && hash == their_hash =>
            {
                same += 1;
            }
            (Content::File(..), _) => different.push(path.as_str()),
            _ => {}
        }
    }
    assert!(same > 100, "{same}");
    // Named streams were not asked for. The LZNT1 file comes back as its compressed bytes, without an error.
    different.retain(|path| !path.contains(':'));
    assert_eq!(different, ["Windows/Logs/CBS/CBS.log"]);
}
