//! Content of files in each way that it may be stored.

use super::{
    attribute::{
        Attribute, COMPRESSED, DATA, ENCRYPTED, LOGGED_UTILITY_STREAM, REPARSE_POINT, SPARSE, Stored,
    },
    volume::Writer,
};
use crate::testing::{Parts, fields::Fields, input::seeded};

pub(super) const ATTRIBUTE_SPARSE: usize = 0x200;
pub(super) const ATTRIBUTE_REPARSE: usize = 0x400;
pub(super) const ATTRIBUTE_COMPRESSED: usize = 0x800;
pub(super) const ATTRIBUTE_ENCRYPTED: usize = 0x4000;

/// Content with its attributes.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    pub(super) attributes: Vec<Attribute>,
    pub(super) size: u64,
    pub(super) allocated: u64,
    /// Attribute bits of the file.
    pub(super) bits: usize,
    pub(super) reparse_tag: usize,
    /// What is not zero, by offset; `None` where the content cannot be read.
    pub(super) parts: Option<Parts>,
    /// It contradicts itself.
    pub(super) is_damaged: bool,
}

/// Clusters of a compression unit, as their exponent.
const UNIT: usize = 4;

impl Writer<'_, '_> {
    /// The content of a file. `seed`: for its bytes.
    pub(super) fn content(&mut self, seed: u64) -> Content {
        match self.input.below(16) {
            0..=3 => self.resident("", seed),
            4..=6 => self.plain("", seed),
            7 | 8 => self.sparse("", seed),
            9 => self.half_written(seed),
            10 | 11 if self.cluster <= 4096 => self.lznt1(seed),
            12 => self.wof(seed),
            13 => self.encrypted(seed),
            14 => self.vast(),
            _ => self.resident("", 0),
        }
    }

    /// The content of a named stream.
    pub(super) fn stream(&mut self, name: &str, seed: u64) -> Content {
        match self.input.below(4) {
            0 | 1 => self.resident(name, seed),
            2 => self.plain(name, seed),
            _ => self.sparse(name, seed),
        }
    }

    /// Bytes of a content in clusters: mostly few.
    fn length(&mut self) -> usize {
        let most = self.input.pick(&[800, 800, 5_000, 12_000]);
        usize::from(self.input.word() % most)
    }

    fn resident(&mut self, name: &str, seed: u64) -> Content {
        let len = if seed == 0 { 0 } else { self.input.below(200) };
        let bytes = seeded(seed, len);
        Content {
            attributes: vec![Attribute::resident(DATA, name, &bytes)],
            size: len as u64,
            allocated: len.next_multiple_of(8) as u64,
            parts: Some(vec![(0, bytes)]),
            ..Content::default()
        }
    }

    fn plain(&mut self, name: &str, seed: u64) -> Content {
        let bytes = seeded(seed, 1 + self.length());
        let runs = self.store_content(&bytes);
        let size = bytes.len() as u64;
        let value = Stored { runs, size, valid: size, ..Stored::default() };
        let allocated = size.next_multiple_of(self.cluster);
        let attributes = self.stored(name, &value);
        Content { attributes, size, allocated, parts: Some(vec![(0, bytes)]), ..Content::default() }
    }

    /// Only the first half was ever written.
    fn half_written(&mut self, seed: u64) -> Content {
        let bytes = seeded(seed, 2 + self.length());
        let runs = self.store_content(&bytes);
        let (size, valid) = (bytes.len() as u64, bytes.len() / 2);
        let value = Stored { runs, size, valid: valid as u64, ..Stored::default() };
        let allocated = size.next_multiple_of(self.cluster);
        let (attributes, parts) = (self.stored("", &value), Some(vec![(0, bytes[..valid].to_vec())]));
        Content { attributes, size, allocated, parts, ..Content::default() }
    }

    /// Data between holes, which may be vast.
    fn sparse(&mut self, name: &str, seed: u64) -> Content {
        let (mut runs, mut parts, mut vcn) = (Vec::new(), Vec::new(), 0);
        for index in 0..1 + self.input.below(3) as u64 {
            let hole = self.input.pick(&[16, 32, 1 << 20, 1 << 30]);
            runs.push((None, hole));
            vcn += hole;
            let bytes = seeded(seed + index, usize::try_from(self.cluster.min(3000)).expect("small"));
            let place = self.space.take(self.input, 16);
            self.pieces.content(place * self.cluster, &bytes);
            runs.push((Some(place), 16));
            parts.push((vcn * self.cluster, bytes));
            vcn += 16;
        }
        let size = vcn * self.cluster;
        let allocated = runs.iter().filter(|(place, _)| place.is_some()).count() as u64 * 16 * self.cluster;
        // Compression units of Windows' sparse files; none for clusters above 4 KiB.
        let unit = if self.cluster <= 4096 { UNIT } else { 0 };
        let value = Stored { runs, size, valid: size, flags: SPARSE, unit };
        let attributes = self.stored(name, &value);
        let bits = if name.is_empty() { ATTRIBUTE_SPARSE } else { 0 };
        Content { attributes, size, allocated, bits, parts: Some(parts), ..Content::default() }
    }

    /// A run as large as a 64th of the volume, in which nothing was ever written.
    fn vast(&mut self) -> Content {
        let clusters = self.clusters / 64;
        let place = self.space.take(self.input, clusters);
        let size = clusters * self.cluster;
        let value = Stored { runs: vec![(Some(place), clusters)], size, valid: size, ..Stored::default() };
        let attributes = self.stored("", &value);
        Content { attributes, size, allocated: size, parts: Some(Vec::new()), ..Content::default() }
    }

    /// Compressed by LZNT1: units that are compressed, stored as they are, and holes.
    fn lznt1(&mut self, seed: u64) -> Content {
        let clusters = 1 << UNIT;
        let unit = usize::try_from(self.cluster).expect("small") << UNIT;
        let (mut runs, mut parts, mut used) = (Vec::new(), Vec::new(), 0);
        let units = 1 + self.input.below(3);
        for index in 0..units {
            let at = (index * unit) as u64;
            match self.input.below(4) {
                0 | 1 => {
                    // One byte over and over: a literal, and a copy of it for the rest of the chunk.
                    let byte = self.input.byte() | 1;
                    let chunk = [0x03, 0xb0, 0x02, byte, 0xfc, 0x0f];
                    let bytes = chunk.repeat(unit.div_ceil(4096));
                    let len = bytes.len().div_ceil(unit / clusters) as u64;
                    let place = self.space.take(self.input, len);
                    self.pieces.structure(place * self.cluster, bytes, crate::testing::pieces::Seal::None);
                    runs.extend([(Some(place), len), (None, clusters as u64 - len)]);
                    parts.push((at, vec![byte; unit]));
                    used += len;
                }
                2 => {
                    let bytes = seeded(seed + index as u64, unit.min(9000));
                    let place = self.space.take(self.input, clusters as u64);
                    self.pieces.content(place * self.cluster, &bytes);
                    runs.push((Some(place), clusters as u64));
                    parts.push((at, bytes));
                    used += clusters as u64;
                }
                _ => runs.push((None, clusters as u64)),
            }
        }
        let size = (units * unit) as u64 - self.input.below(200) as u64;
        for (at, bytes) in &mut parts {
            bytes.truncate(usize::try_from(size.saturating_sub(*at)).expect("small"));
        }
        let value = Stored { runs, size, valid: size, flags: COMPRESSED, unit: UNIT };
        let attributes = self.stored("", &value);
        let (allocated, bits) = (used * self.cluster, ATTRIBUTE_COMPRESSED);
        Content { attributes, size, allocated, bits, parts: Some(parts), ..Content::default() }
    }

    /// Compressed by WOF, with chunks stored as they are.
    fn wof(&mut self, seed: u64) -> Content {
        let (number, chunk) = self.input.pick(&[(0, 4096), (2, 8192), (3, 16_384), (1, 32_768)]);
        let bytes = seeded(seed, 1 + self.length());
        let size = bytes.len() as u64;
        let table = (chunk..bytes.len()).step_by(chunk).map(|at| u32::try_from(at).expect("small"));
        let mut stream: Vec<u8> = table.flat_map(u32::to_le_bytes).collect();
        stream.extend(&bytes);
        let stream_size = stream.len() as u64;
        let runs = self.store_structure(&stream);
        let value = Stored { runs, size: stream_size, valid: stream_size, ..Stored::default() };
        let mut attributes = self.stored("WofCompressedData", &value);
        let hole = Stored {
            runs: vec![(None, size.div_ceil(self.cluster))],
            size,
            valid: 0,
            flags: SPARSE,
            unit: 0,
        };
        attributes.extend(Attribute::stored(DATA, "", &hole, self.cluster, usize::MAX));
        const TAG: usize = 0x8000_0017;
        let point = Fields::default().long(TAG).long(16).long(1).long(2).long(1).long(number);
        attributes.push(Attribute::resident(REPARSE_POINT, "", &point.0));
        let bits = ATTRIBUTE_SPARSE | ATTRIBUTE_REPARSE;
        let parts = Some(vec![(0, bytes)]);
        Content { attributes, size, bits, reparse_tag: TAG, parts, ..Content::default() }
    }

    /// Encrypted by EFS: readable only in its raw form.
    fn encrypted(&mut self, seed: u64) -> Content {
        let bytes = seeded(seed, 1024);
        let runs = self.store_content(&bytes);
        let value = Stored { runs, size: 1000, valid: 1000, flags: ENCRYPTED, unit: 0 };
        let mut attributes = self.stored("", &value);
        attributes.push(Attribute::resident(LOGGED_UTILITY_STREAM, "$EFS", &seeded(seed, 96)));
        let allocated = 1024_u64.next_multiple_of(self.cluster);
        Content { attributes, size: 1000, allocated, bits: ATTRIBUTE_ENCRYPTED, ..Content::default() }
    }
}
