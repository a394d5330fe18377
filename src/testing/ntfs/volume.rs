//! The volume being written: geometry, clusters, records by number; and the table, which is written when all are known.

use std::collections::BTreeMap;

use super::{
    attribute::{Attribute, BITMAP, DATA, FileName, Runs, Stored, standard_information},
    file::{DIRECTORY, File, IN_USE, RECORD_ARRAY, reference},
    space::Space,
};
use crate::testing::{
    fields::Fields,
    input::Input,
    pieces::{Pieces, Seal},
};

pub(super) const ROOT: u64 = 5;
pub(super) const FIRST_USER: u64 = 24;

pub(super) struct Writer<'a, 'b> {
    pub(super) input: &'a mut Input<'b>,
    pub(super) pieces: Pieces,
    pub(super) space: Space,
    pub(super) cluster: u64,
    pub(super) clusters: u64,
    pub(super) record_size: usize,
    pub(super) index_block: usize,
    records: BTreeMap<u64, Vec<u8>>,
    next_number: u64,
    table_size: u64,
}

impl<'a, 'b> Writer<'a, 'b> {
    pub(super) fn new(input: &'a mut Input<'b>) -> Self {
        // Bytes of a cluster, clusters. Bitmaps of millions of clusters take long to count, so such volumes are rare.
        const SMALL: [(u64, u64); 4] =
            [(4096, 1 << 14), (1024, 1 << 15), (512, 1 << 15), (64 << 10, 1 << 16)];
        // Half a terabyte and more.
        const LARGE: [(u64, u64); 4] =
            [(2 << 20, 1 << 18), (2 << 20, 1 << 18), (2 << 20, 1 << 21), (4096, 1 << 21)];
        let (cluster, clusters) = match input.below(6) {
            5 => input.pick(&LARGE),
            kind => SMALL[kind % SMALL.len()],
        };
        let record_size = input.pick(&[1024, 1024, 1024, 4096]);
        Self {
            pieces: Pieces::new(cluster * clusters + 512),
            // The boot sector and its code.
            space: Space::new(clusters, 8192_u64.div_ceil(cluster)),
            input,
            cluster,
            clusters,
            record_size,
            index_block: 4096,
            records: BTreeMap::new(),
            next_number: FIRST_USER,
            table_size: 0,
        }
    }

    /// The next free record number.
    pub(super) fn spare(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number - 1
    }

    /// Size of the table in whole clusters, with room for the records of the root directory and of the table itself. Fixed
    /// when it is first asked for.
    pub(super) fn table_size(&mut self) -> u64 {
        if self.table_size == 0 {
            let least = (self.next_number + 8) * self.record_size as u64;
            self.table_size = least.next_multiple_of(self.cluster);
        }
        self.table_size
    }

    /// Leaves records out, which then are a hole in the table; none where the table would be more than an eighth of the volume.
    pub(super) fn skip_records(&mut self, count: u64) {
        let most = self.clusters / 8 * self.cluster / self.record_size as u64;
        if self.next_number + count <= most {
            self.next_number += count;
        }
    }

    pub(super) fn put_record(&mut self, number: u64, bytes: Vec<u8>) {
        self.records.insert(number, bytes);
    }

    /// Byte position of the byte `offset` of a value.
    pub(super) fn place(&self, runs: &Runs, offset: u64) -> u64 {
        let mut vcn = offset / self.cluster;
        for (place, len) in runs {
            match place {
                Some(place) if vcn < *len => return (place + vcn) * self.cluster + offset % self.cluster,
                _ => vcn -= len,
            }
        }
        panic!("{offset:#x} is not in {runs:?}");
    }

    /// Stores bytes that may be damaged, in one piece.
    pub(super) fn store_structure(&mut self, bytes: &[u8]) -> Runs {
        let clusters = (bytes.len() as u64).div_ceil(self.cluster);
        let place = self.space.take(self.input, clusters);
        self.pieces.structure(place * self.cluster, bytes.to_vec(), Seal::None);
        vec![(Some(place), clusters)]
    }

    /// Stores bytes that stay as they are.
    pub(super) fn store_content(&mut self, bytes: &[u8]) -> Runs {
        let runs = self.space.take_pieces(self.input, (bytes.len() as u64).div_ceil(self.cluster), 1);
        self.write_content(&runs, bytes);
        runs
    }

    pub(super) fn write_content(&mut self, runs: &Runs, bytes: &[u8]) {
        let mut offset = 0_usize;
        while offset < bytes.len() {
            let len = usize::try_from(self.cluster).expect("small").min(bytes.len() - offset);
            let at = self.place(runs, offset as u64);
            self.pieces.content(at, &bytes[offset..offset + len]);
            offset += len;
        }
    }

    /// Attributes of a file whose content is `value`.
    pub(super) fn stored(&mut self, name: &str, value: &Stored) -> Vec<Attribute> {
        let first = match self.input.once_in(8) {
            true => 1,
            false => usize::MAX,
        };
        Attribute::stored(DATA, name, value, self.cluster, first)
    }

    /// Writes a metadata file: in use, with a name in the root directory.
    pub(super) fn system(&mut self, number: u64, name: &FileName, attributes: Vec<Attribute>, flags: usize) {
        let sequence = usize::try_from(number.max(1)).expect("a metadata file");
        let mut all = vec![standard_information(6, 0x100), name.attribute()];
        all.extend(attributes);
        let (spread, links) = (false, 1);
        self.file(File {
            number,
            sequence,
            flags: flags | IN_USE,
            links,
            attributes: all,
            spread,
            list_stored: false,
        });
    }

    /// Writes the table with its bitmap and mirror, `$Bitmap` and the boot sector. `name`: of the metadata files.
    pub(super) fn finish(mut self, name: impl Fn(u64, &str, u64, u64) -> FileName) -> Pieces {
        let size = self.table_size();
        let records = size / self.record_size as u64;
        assert!(self.next_number <= records, "too few records were reserved");
        let unit = (self.record_size as u64 / self.cluster).max(1);
        let runs = self.space.take_pieces(self.input, size / self.cluster, unit);
        let bits_len = usize::try_from(records.div_ceil(64) * 8).expect("small");
        let bits_at = self.space.take(self.input, (bits_len as u64).div_ceil(self.cluster));
        let bits_runs = vec![(Some(bits_at), (bits_len as u64).div_ceil(self.cluster))];
        let mirrored = (4 * self.record_size as u64).div_ceil(self.cluster);
        let mirror = self.space.take(self.input, mirrored);
        let table = Stored { runs: runs.clone(), size, valid: size, ..Stored::default() };
        let bits_size = bits_len as u64;
        let bits = Stored { runs: bits_runs, size: bits_size, valid: bits_size, ..Stored::default() };
        // The first extent of the data stays where the table is sought.
        let mut attributes = Attribute::stored(DATA, "", &table, self.cluster, usize::MAX);
        attributes.extend(Attribute::stored(BITMAP, "", &bits, self.cluster, usize::MAX));
        attributes.extend([standard_information(6, 0x100), name(0, "$MFT", size, size).attribute()]);
        let file = File {
            number: 0,
            sequence: 1,
            flags: IN_USE,
            links: 1,
            attributes,
            spread: false,
            list_stored: false,
        };
        self.file(file);
        let copy = 4 * self.record_size as u64;
        let value =
            Stored { runs: vec![(Some(mirror), mirrored)], size: copy, valid: copy, ..Stored::default() };
        let attributes = Attribute::stored(DATA, "", &value, self.cluster, usize::MAX);
        self.system(1, &name(1, "$MFTMirr", copy, mirrored * self.cluster), attributes, 0);

        let bitmap = self.bitmap(&name);
        for (number, bytes) in std::mem::take(&mut self.records) {
            if number < 4 {
                let at = mirror * self.cluster + number * self.record_size as u64;
                self.pieces.structure(at, bytes.clone(), Seal::UpdateSequence(RECORD_ARRAY));
            }
            let at = self.place(&runs, number * self.record_size as u64);
            // The bit of a record says the same as its header.
            let used = bytes[22] & 1 != 0;
            self.pieces.structure(at, bytes, Seal::UpdateSequence(RECORD_ARRAY));
            if used {
                self.set_bits(bits_at * self.cluster, number, 1);
            }
        }
        // Beyond the last record.
        self.set_bits(bits_at * self.cluster, records, bits_size * 8 - records);
        let used = std::mem::take(&mut self.space.used);
        used.into_iter().for_each(|(place, len)| self.set_bits(bitmap, place, len));
        self.boot(self.place(&runs, 0) / self.cluster, mirror);
        self.pieces
    }

    /// Writes `$Bitmap`'s record and returns where the bitmap lies.
    fn bitmap(&mut self, name: &impl Fn(u64, &str, u64, u64) -> FileName) -> u64 {
        let size = self.clusters.div_ceil(64) * 8;
        let clusters = size.div_ceil(self.cluster);
        let place = self.space.take(self.input, clusters);
        let value = Stored { runs: vec![(Some(place), clusters)], size, valid: size, ..Stored::default() };
        let attributes = Attribute::stored(DATA, "", &value, self.cluster, usize::MAX);
        self.system(6, &name(6, "$Bitmap", size, clusters * self.cluster), attributes, 0);
        place * self.cluster
    }

    /// Sets bits in the bitmap at byte `base`.
    fn set_bits(&mut self, base: u64, first: u64, count: u64) {
        let end = first + count;
        let mut bit = first;
        while bit < end {
            let byte = bit / 8;
            match bit.is_multiple_of(8) && end - bit >= 8 {
                true => {
                    let whole = usize::try_from((end - bit) / 8).expect("small");
                    self.pieces.content(base + byte, &vec![0xff; whole]);
                    bit += whole as u64 * 8;
                }
                false => {
                    self.pieces.set_bit(base + byte, bit % 8);
                    bit += 1;
                }
            }
        }
    }

    /// Writes the boot sector and its backup behind the last cluster.
    fn boot(&mut self, mft: u64, mirror: u64) {
        let log = |size: u64| usize::try_from(256 - u64::from(size.ilog2())).expect("a byte");
        let sectors = self.cluster / 512;
        let size = |size: usize| match (size as u64) >= self.cluster {
            true => size / usize::try_from(self.cluster).expect("small"),
            false => log(size as u64),
        };
        let boot = Fields::default()
            .bytes(b"\xeb\x52\x90NTFS    ")
            .word(512)
            .byte(if sectors <= 128 { usize::try_from(sectors).expect("small") } else { log(sectors) })
            .to(0x15)
            .byte(0xf8)
            .to(0x24)
            .long(0x80_0080)
            .quad(self.clusters * sectors)
            .quad(mft)
            .quad(mirror)
            .long(size(self.record_size))
            .long(size(self.index_block))
            .quad(0x1234_5678_9abc_def0)
            .to(510)
            .bytes(&[0x55, 0xaa])
            .done();
        self.pieces.structure(self.cluster * self.clusters, boot.clone(), Seal::None);
        self.pieces.structure(0, boot, Seal::None);
    }

    /// Writes the root directory.
    pub(super) fn root(&mut self, name: &FileName, index: Vec<Attribute>) {
        self.system(ROOT, name, index, DIRECTORY);
    }
}

/// The reference to a metadata file.
pub(super) fn system_reference(number: u64) -> u64 {
    reference(number, usize::try_from(number.max(1)).expect("a metadata file"))
}
