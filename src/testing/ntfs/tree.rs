//! Files and directories: names, links, streams, reparse points, extended attributes; in use, deleted, or lost.

use super::{
    attribute::{Attribute, EA, EA_INFORMATION, FileName, OBJECT_ID, REPARSE_POINT, standard_information},
    content::{ATTRIBUTE_REPARSE, Content},
    file::{DIRECTORY, File, IN_USE, reference},
    index::{Entry, NAMES},
    record::fold,
    system,
    volume::{ROOT, Writer, system_reference},
};
use crate::testing::{Expected, Parts, fields::Fields, input::seeded};

/// A directory with the entries found in it so far.
struct Folder {
    reference: u64,
    path: String,
    /// Its attributes beside the index.
    file: Option<File>,
    entries: Vec<(String, Entry)>,
    lost: bool,
}

/// What a node is beside its content.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Used,
    Deleted,
    /// In use, in no directory.
    Orphan,
}

/// A stream or a file's own content, its length, and its bytes if they can be read.
type Written = (Option<String>, u64, Option<Parts>);

/// Numbers of files and directories: mostly few.
const NODES: [usize; 12] = [0, 1, 2, 2, 3, 3, 4, 4, 5, 6, 9, 12];
const DIRECTORY_BIT: usize = 0x1000_0000;

/// What was written beside the metadata files.
pub(super) struct Tree {
    pub(super) files: Vec<Expected>,
    /// Nothing is wrong with it.
    pub(super) sound: bool,
}

impl Writer<'_, '_> {
    /// Writes a tree below the root, and the root.
    pub(super) fn tree(&mut self) -> Tree {
        let mut tree = Tree { files: Vec::new(), sound: true };
        let reference = system_reference(ROOT);
        let root = Folder { reference, path: String::new(), file: None, entries: Vec::new(), lost: false };
        let mut folders = vec![root];
        for index in 0..self.input.pick(&NODES) {
            self.node(index, &mut folders, &mut tree);
        }
        let mut root = folders.remove(0);
        folders.into_iter().for_each(|folder| self.folder(folder));
        root.entries.extend(self.root_entries());
        self.folder(root);
        tree
    }

    fn root_entries(&mut self) -> Vec<(String, Entry)> {
        let (table, cluster) = (self.table_size(), self.cluster);
        let of = |size: u64| (size, size.next_multiple_of(cluster));
        let bitmap = self.clusters.div_ceil(64) * 8;
        let mut sizes = vec![(ROOT, ".", 0, 0), (3, "$Volume", 0, 0), (4, "$AttrDef", 0, 0)];
        sizes.extend([(8, "$BadClus", 0, 0), (9, "$Secure", 0, 0), (11, "$Extend", 0, 0)]);
        let mut stored = |number, name, size| {
            let (size, allocated) = of(size);
            sizes.push((number, name, size, allocated));
        };
        stored(0, "$MFT", table);
        stored(1, "$MFTMirr", 4 * self.record_size as u64);
        stored(2, "$LogFile", 4096);
        stored(6, "$Bitmap", bitmap);
        stored(7, "$Boot", 8192);
        stored(10, "$UpCase", 128 << 10);
        system::entries(&sizes)
    }

    /// Writes a directory with its index.
    fn folder(&mut self, folder: Folder) {
        let mut entries = folder.entries;
        entries.sort_by_cached_key(|(name, _)| name.encode_utf16().map(fold).collect::<Vec<_>>());
        let entries: Vec<Entry> = entries.into_iter().map(|(_, entry)| entry).collect();
        let levels = match entries.len() {
            0 => 0,
            1..=2 => self.input.pick(&[0, 0, 1]),
            _ => self.input.pick(&[1, 2, 1]),
        };
        let per_block = 1 + self.input.below(4);
        let index = self.index(NAMES, &entries, levels, per_block);
        match folder.file {
            None => self.root(&system::name(ROOT, ".", 0, 0), index),
            Some(mut file) => {
                file.attributes.extend(index);
                self.file(file);
            }
        }
    }

    fn node(&mut self, index: usize, folders: &mut Vec<Folder>, tree: &mut Tree) {
        if self.input.once_in(16) && self.clusters * self.cluster > 4 << 30 {
            self.skip_records(100_000);
        }
        let place = self.input.below(folders.len());
        let number = self.spare();
        let state = match self.input.below(8) {
            6 => State::Deleted,
            7 => State::Orphan,
            _ => State::Used,
        };
        let is_directory = self.input.once_in(3);
        let before = self.space.used.len();
        let content = match is_directory {
            true => self.directory_content(),
            false => match self.input.once_in(6) {
                true => self.link(),
                false => self.content(index as u64 + 1),
            },
        };
        let content_is_damaged = content.is_damaged;
        let name = self.new_name(index);
        let sequence = 1 + self.input.below(3);
        let lost = folders[place].lost || state != State::Used;
        let path = format!("{}/{name}", folders[place].path);
        let mut names = vec![(place, name.clone(), 3)];
        if !name.is_ascii() || name.len() > 12 {
            names = vec![(place, name.clone(), 1), (place, format!("N{index}~1.X"), 2)];
        }
        if !is_directory && self.input.once_in(6) {
            names.push((self.input.below(folders.len()), format!("link {index}"), 0));
        }
        let own = reference(number, sequence);
        let mut attributes = vec![standard_information(0x20 | content.bits, 0x100)];
        for (directory, text, namespace) in &names {
            let name = FileName {
                directory: folders[*directory].reference,
                allocated: content.allocated,
                size: content.size,
                attributes: 0x20 | content.bits | if is_directory { DIRECTORY_BIT } else { 0 },
                reparse_tag: content.reparse_tag,
                namespace: *namespace,
                text: text.clone(),
            };
            attributes.push(name.attribute());
            if state == State::Used {
                folders[*directory].entries.push((text.clone(), Entry::name(own, name.encode())));
            }
        }
        attributes.extend(content.attributes);
        let mut expected = vec![(None, content.size, content.parts)];
        self.extras(index, &mut attributes, &mut expected, content.reparse_tag != 0);
        tree.sound &= state != State::Orphan && !content_is_damaged;
        if !lost && !is_directory {
            let file = |(stream, size, parts): Written| {
                Some(Expected { path: path.clone(), stream, size, parts: parts? })
            };
            tree.files.extend(expected.into_iter().filter_map(file));
        }
        let flags =
            if is_directory { DIRECTORY } else { 0 } | if state == State::Deleted { 0 } else { IN_USE };
        let (spread, list_stored) = (self.input.once_in(4), self.input.once_in(3));
        let links = names.len();
        let file = File { number, sequence, flags, links, attributes, spread, list_stored };
        match is_directory && state != State::Deleted {
            true => {
                folders.push(Folder { reference: own, path, file: Some(file), entries: Vec::new(), lost })
            }
            false => self.file(file),
        }
        if state == State::Deleted {
            self.space.used.truncate(before);
        }
    }

    fn directory_content(&mut self) -> Content {
        Content::default()
    }

    fn new_name(&mut self, index: usize) -> String {
        match self.input.below(6) {
            0 | 1 => format!("f{index}.txt"),
            2 => format!("A long name with lower case {index}.document"),
            3 => format!("Übung ä {index}"),
            4 => format!("入力😀{index}"),
            _ => format!("{index}{}", "x".repeat(100)),
        }
    }

    /// A file that leads elsewhere.
    fn link(&mut self) -> Content {
        const SYMLINK: usize = 0xa000_000c;
        const MOUNT_POINT: usize = 0xa000_0003;
        const OF_LINUX: usize = 0xa000_001d;
        let target =
            self.input.pick(&["f0.txt", "..\\f1.txt", "C:\\x", "\\??\\Volume{0}\\", "..\\..\\..\\..", ""]);
        let length = target.encode_utf16().count() * 2;
        let names = Fields::default().word(0).word(length).word(length).word(length);
        let twice = |fields: Fields| fields.text(target).text(target).done();
        let mut is_damaged = false;
        let (tag, data) = match self.input.below(6) {
            0 | 1 => (SYMLINK, twice(names.long(self.input.below(2)))),
            2 => (MOUNT_POINT, twice(names)),
            3 => (OF_LINUX, Fields::default().long(2).bytes(target.as_bytes()).done()),
            4 => (0x8000_0023, Vec::new()),
            // Data deduplication, a cloud's placeholder, an app's alias, NFS, unknown ones.
            _ => {
                let tags = [0x8000_0013, 0x9000_001a, 0x8000_001b, 0x8000_0014, 0x8000_0018, 0x8000_7777];
                let tag = self.input.pick(&tags);
                is_damaged = true;
                (tag, seeded(self.input.byte().into(), 40))
            }
        };
        let point = Fields::default().long(tag).word(data.len()).word(0).bytes(&data).done();
        let attributes = vec![
            Attribute::resident(super::attribute::DATA, "", &[]),
            Attribute::resident(REPARSE_POINT, "", &point),
        ];
        Content { attributes, bits: ATTRIBUTE_REPARSE, reparse_tag: tag, is_damaged, ..Content::default() }
    }

    /// Named streams, an object id, extended attributes.
    fn extras(
        &mut self,
        index: usize,
        attributes: &mut Vec<Attribute>,
        expected: &mut Vec<Written>,
        is_reparse_point: bool,
    ) {
        for stream in 0..self.input.pick(&[0, 0, 0, 1, 2]) {
            let name = format!("stream {stream}");
            let content = self.stream(&name, (index * 8 + stream + 100) as u64);
            attributes.extend(content.attributes);
            expected.push((Some(name), content.size, content.parts));
        }
        if self.input.once_in(8) {
            attributes.push(Attribute::resident(OBJECT_ID, "", &seeded(index as u64, 16)));
        }
        if self.input.once_in(6) && !is_reparse_point {
            let mode = Fields::default().long(20).byte(0).byte(6).word(4).bytes(b"$LXMOD\0\xa4\x81\0\0\0");
            let chain = mode.long(0).byte(0).byte(6).word(8).bytes(b"$LXDEV\0\x08\0\0\0\x03\0\0\0").done();
            let information = Fields::default().word(38).word(0).long(chain.len());
            attributes.push(Attribute::resident(EA_INFORMATION, "", &information.0));
            attributes.push(Attribute::resident(EA, "", &chain));
        }
    }
}
