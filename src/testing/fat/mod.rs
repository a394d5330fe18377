//! FAT volumes from choices: all three widths, long names, chains in pieces, empty files, deleted entries, lost chains.
//! Written from the format's description, independently of the reader.

mod slots;
mod table;
#[cfg(test)]
mod tests;

use super::{
    Expected, Made,
    fields::Fields,
    input::{Input, seeded},
    pieces::{Pieces, Seal},
};
use slots::{Short, long};
use table::Table;

/// Numbers of files and directories: mostly few.
const NODES: [usize; 12] = [0, 1, 2, 2, 3, 3, 4, 4, 5, 6, 9, 12];
const DIRECTORY: usize = 0x10;
const LABEL: usize = 0x08;
const DELETED: u8 = 0xe5;

/// Width in bits, bytes per sector, sectors per cluster, clusters.
const SMALL: [(usize, usize, usize, u32); 5] =
    [(32, 512, 8, 500), (12, 512, 1, 2_000), (16, 512, 4, 5_000), (32, 1024, 2, 900), (12, 2048, 4, 400)];
/// Their tables take long to count, so such volumes are rare.
const LARGE: [(usize, usize, usize, u32); 5] = [
    (16, 2048, 1, 60_000),
    (16, 512, 1, 20_000),
    (32, 512, 1, 70_000),
    (16, 512, 4, 20_000),
    // Two terabytes.
    (32, 4096, 128, 1 << 22),
];

struct Writer<'a, 'b> {
    input: &'a mut Input<'b>,
    pieces: Pieces,
    table: Table,
    cluster: usize,
    /// Start of cluster 2.
    data: u64,
    files: Vec<Expected>,
    sound: bool,
}

/// A directory with its slots so far. `first` is 0 for a root with a region of its own.
struct Folder {
    path: String,
    first: u32,
    slots: Vec<u8>,
}

/// Makes a volume.
pub fn volume(input: &mut Input<'_>) -> Made {
    let (width, sector, per_cluster, clusters) = match input.below(8) {
        7 => input.pick(&LARGE),
        kind => SMALL[kind % SMALL.len()],
    };
    let reserved = if width == 32 { 32 } else { 1 };
    let root_entries = if width == 32 { 0 } else { 512 };
    let table_sectors = ((clusters as usize + 2) * width).div_ceil(8 * sector);
    let root = ((reserved + 2 * table_sectors) * sector) as u64;
    let data = root + root_entries * 32;
    let total = usize::try_from(data).expect("small") / sector + clusters as usize * per_cluster;
    let boot = Fields::default()
        .bytes(b"\xeb\x3c\x90MSDOS5.0")
        .word(sector)
        .byte(per_cluster)
        .word(reserved)
        .byte(2)
        .word(usize::try_from(root_entries).expect("small"))
        .word(0)
        .byte(0xf8)
        .word(if width == 32 { 0 } else { table_sectors })
        .to(32)
        .long(total);
    let boot = match width {
        32 => boot.long(table_sectors).long(0).long(2).word(1).word(6).to(64),
        _ => boot,
    };
    let kind = [b"FAT12   ", b"FAT16   ", b"FAT32   "][width / 10 - 1 - usize::from(width == 32)];
    let boot = boot.word(0x80).byte(0x29).long(0x1234_abcd).bytes(b"GENERATED  ").bytes(kind).to(510);
    let boot = boot.bytes(&[0x55, 0xaa]).done();
    let mut writer = Writer {
        input,
        pieces: Pieces::new((total * sector) as u64),
        table: Table::new(width, clusters),
        cluster: sector * per_cluster,
        data,
        files: Vec::new(),
        sound: true,
    };
    if width == 32 {
        let info = Fields::default().bytes(b"RRaA").to(484).bytes(b"rrAa").bytes(&[0xff; 8]).to(510);
        let info = info.bytes(&[0x55, 0xaa]).done();
        for start in [0, 6] {
            writer.pieces.structure((start + 1) * sector as u64, info.clone(), Seal::None);
        }
        writer.pieces.structure(6 * sector as u64, boot.clone(), Seal::None);
    }
    writer.pieces.structure(0, boot, Seal::None);
    writer.tree(if width == 32 { None } else { Some(root) });
    for (at, page) in writer.table.pages() {
        for copy in 0..2 {
            let start = (reserved + copy * table_sectors) * sector;
            writer.pieces.structure(start as u64 + at, page.clone(), Seal::None);
        }
    }
    Made { pieces: writer.pieces, files: writer.files, sound: writer.sound }
}

impl Writer<'_, '_> {
    /// Writes the tree. `region`: the place of the root of FAT12 and FAT16.
    fn tree(&mut self, region: Option<u64>) {
        let first = if region.is_none() { self.table.take_first() } else { 0 };
        let label = Short { name: *b"GENERATED  ", attributes: LABEL, first: 0, size: 0 }.encode();
        let mut folders = vec![Folder { path: String::new(), first, slots: label }];
        for index in 0..self.input.pick(&NODES) {
            self.node(index, &mut folders);
        }
        for (index, folder) in folders.into_iter().enumerate() {
            match region.filter(|_| index == 0) {
                Some(at) => self.pieces.structure(at, padded(folder.slots), Seal::None),
                None => self.folder(folder),
            }
        }
    }

    /// Writes a directory into its first cluster and as many more as it needs.
    fn folder(&mut self, folder: Folder) {
        let more = folder.slots.len().div_ceil(self.cluster).max(1) - 1;
        let mut chain = vec![folder.first];
        chain.extend(if more > 0 { self.table.take(self.input, more) } else { Vec::new() });
        self.table.chain(&chain);
        for (cluster, slots) in chain.iter().zip(padded(folder.slots).chunks(self.cluster)) {
            let at = self.place(*cluster);
            self.pieces.structure(at, slots.to_vec(), Seal::None);
        }
    }

    fn place(&self, cluster: u32) -> u64 {
        self.data + u64::from(cluster - 2) * self.cluster as u64
    }

    fn node(&mut self, index: usize, folders: &mut Vec<Folder>) {
        let parent = self.input.below(folders.len());
        let is_directory = self.input.once_in(4);
        let is_deleted = self.input.once_in(5);
        let (mut size, mut first) = (0, 0);
        let mut parts = Vec::new();
        if is_directory {
            first = self.table.take(self.input, 1)[0];
        } else if !self.input.once_in(5) {
            let most = self.input.pick(&[600, 600, 5_000]);
            let bytes = seeded(index as u64 + 1, 1 + usize::from(self.input.word()) % most);
            size = bytes.len();
            let chain = self.table.take(self.input, bytes.len().div_ceil(self.cluster));
            for (cluster, piece) in chain.iter().zip(bytes.chunks(self.cluster)) {
                let at = self.place(*cluster);
                self.pieces.content(at, piece);
            }
            first = chain[0];
            match (is_deleted, self.input.once_in(12)) {
                (true, false) => {}
                // Lost, or of a file that is deleted all the same.
                (true, true) => {
                    self.table.chain(&chain);
                    self.sound = false;
                }
                (false, _) => self.table.chain(&chain),
            }
            parts.push((0, bytes));
        }
        let attributes = 0x20 | if is_directory { DIRECTORY } else { 0 };
        let stem = format!("F{index}");
        let (name, short) = match self.input.below(4) {
            0 => (format!("{stem}.TXT"), format!("{stem:8}TXT")),
            1 => (
                format!("A long name with lower case {index}.document"),
                format!("{:8}DOC", format!("ALONGN~{index}")),
            ),
            2 => (format!("Übung ä 入 {index}"), format!("{stem:8}   ")),
            _ => (format!("{index} {}", "long ".repeat(20)), format!("{stem:8}L  ")),
        };
        let name = name.trim_end().to_owned();
        let short: [u8; 11] = *short.as_bytes().first_chunk().expect("eleven bytes");
        let mut slots = if name.is_ascii() && name.len() <= 8 { Vec::new() } else { long(&name, &short) };
        slots.extend(Short { name: short, attributes, first, size }.encode());
        if is_deleted {
            slots.chunks_mut(32).for_each(|slot| slot[0] = DELETED);
        }
        let path = format!("{}/{name}", folders[parent].path);
        folders[parent].slots.extend(slots);
        if is_deleted {
            return;
        }
        if is_directory {
            // The root has number 0 in "..".
            let above = if parent == 0 { 0 } else { folders[parent].first };
            let dot = |name: &[u8; 11], first| Short { name: *name, attributes: DIRECTORY, first, size: 0 };
            let mut slots = dot(b".          ", first).encode();
            slots.extend(dot(b"..         ", above).encode());
            return folders.push(Folder { path, first, slots });
        }
        self.files.push(Expected { path, stream: None, size: size as u64, parts });
    }
}

/// Slots with zeros up to a multiple of the smallest sector, one empty slot at least.
fn padded(mut slots: Vec<u8>) -> Vec<u8> {
    slots.resize(slots.len().next_multiple_of(512), 0);
    slots
}
