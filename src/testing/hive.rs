//! Registry hives for tests, cell by cell or from a tree of keys, and logs that lead from one state of a hive to another.

use crate::registry::{checksum, hash_of_entries};

const BASE: usize = 4096;
const SECTOR: usize = 512;
/// An unused offset.
pub const NONE: u32 = u32::MAX;
/// A time in 2026, as FILETIME.
pub const TIME: u64 = 134_090_000_000_000_000;

/// A hive under construction: cells one after the other in one bin.
pub struct Builder {
    bytes: Vec<u8>,
    minor: u32,
}

/// The fields of a key.
#[derive(Debug, Clone)]
pub struct KeyFields {
    /// Number, and offset of the list.
    pub subkeys: (u32, u32),
    /// Number, and offset of the list.
    pub values: (u32, u32),
    /// Offset of the key above.
    pub parent: u32,
    /// Offset of the `sk` cell.
    pub security: u32,
    /// Offset and bytes.
    pub class: (u32, u16),
    /// `KEY_…`, without that of the name's encoding.
    pub flags: u16,
}

impl Default for KeyFields {
    fn default() -> Self {
        Self { subkeys: (0, NONE), values: (0, NONE), parent: 0, security: NONE, class: (NONE, 0), flags: 0 }
    }
}

/// A value of a [`Tree`].
#[derive(Debug, Clone)]
pub struct TreeValue {
    /// Empty for the default value.
    pub name: String,
    /// `REG_…`
    pub data_type: u32,
    /// As stored.
    pub data: Vec<u8>,
}

/// A key with all that is below it.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// Its name.
    pub name: String,
    /// Its values.
    pub values: Vec<TreeValue>,
    /// Its subkeys, in the order of their list.
    pub keys: Vec<Tree>,
}

impl Tree {
    /// A key without anything in it.
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// With another value.
    #[must_use]
    pub fn value(mut self, name: &str, data_type: u32, data: &[u8]) -> Self {
        self.values.push(TreeValue { name: name.into(), data_type, data: data.into() });
        self
    }

    /// With a value of text, ended by a NUL.
    #[must_use]
    pub fn text(self, name: &str, text: &str) -> Self {
        self.value(name, 1, &utf16(&format!("{text}\0")))
    }

    /// With a value of 32 bits.
    #[must_use]
    pub fn dword(self, name: &str, number: u32) -> Self {
        self.value(name, 4, &number.to_le_bytes())
    }

    /// With a subkey.
    #[must_use]
    pub fn key(mut self, key: Tree) -> Self {
        self.keys.push(key);
        self
    }

    /// A hive with this key as its root.
    pub fn hive(&self) -> Vec<u8> {
        let mut builder = Builder::new(5);
        let security = builder.security(SECURITY);
        let root = self.add(&mut builder, 0, security, 0x0c);
        builder.finish(root)
    }

    fn add(&self, builder: &mut Builder, parent: u32, security: u32, flags: u16) -> u32 {
        let values: Vec<u32> = self.values.iter().map(|value| value.add(builder)).collect();
        let list = if values.is_empty() { NONE } else { builder.offsets(&values) };
        let mut fields =
            KeyFields { values: (len(&values), list), parent, security, flags, ..KeyFields::default() };
        let at = builder.key(&self.name, &fields);
        let keys: Vec<u32> = self.keys.iter().map(|key| key.add(builder, at, security, 0)).collect();
        if !keys.is_empty() {
            fields.subkeys = (len(&keys), builder.list(*b"lh", &keys));
            builder.set(at, 20, fields.subkeys.0);
            builder.set(at, 28, fields.subkeys.1);
        }
        at
    }
}

impl TreeValue {
    fn add(&self, builder: &mut Builder) -> u32 {
        let size = u32::try_from(self.data.len()).expect("small");
        let (size, offset) = match self.data.len() {
            0..=4 => {
                let mut place = [0; 4];
                place[..self.data.len()].copy_from_slice(&self.data);
                (size | 0x8000_0000, u32::from_le_bytes(place))
            }
            5..=16_344 => (size, builder.cell(&self.data)),
            _ => (size, builder.segments(&self.data)),
        };
        builder.value(&self.name.encode_utf16().collect::<Vec<_>>(), self.data_type, size, offset)
    }
}

/// A security descriptor: owner and group are the administrators, no access list.
const SECURITY: &[u8] = b"\x01\x00\x00\x80\x14\x00\x00\x00\x24\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\
\x01\x02\x00\x00\x00\x00\x00\x05\x20\x00\x00\x00\x20\x02\x00\x00\x01\x02\x00\x00\x00\x00\x00\x05\x20\x00\x00\x00\x20\x02\x00\x00";

impl Builder {
    /// An empty hive of version 1.`minor`.
    pub fn new(minor: u32) -> Self {
        let mut bytes = vec![0; BASE + 32];
        bytes[BASE..BASE + 4].copy_from_slice(b"hbin");
        Self { bytes, minor }
    }

    /// Offset of the next cell.
    pub fn next(&self) -> u32 {
        len(&self.bytes[BASE..])
    }

    /// Adds a cell and returns its offset.
    pub fn cell(&mut self, content: &[u8]) -> u32 {
        let at = self.bytes.len() - BASE;
        let header = if self.minor <= 1 { 8 } else { 4 };
        let size = (content.len() + header).next_multiple_of(8);
        self.bytes.extend((-i32::try_from(size).expect("small")).to_le_bytes());
        self.bytes.resize(self.bytes.len() + header - 4, 0);
        self.bytes.extend(content);
        self.bytes.resize(at + BASE + size, 0);
        u32::try_from(at).expect("small")
    }

    /// Adds a key.
    pub fn key(&mut self, name: &str, fields: &KeyFields) -> u32 {
        let units: Vec<u16> = name.encode_utf16().collect();
        let (name, encoding) = encoded(&units, 0x20);
        let mut cell = vec![0; 76];
        cell[..2].copy_from_slice(b"nk");
        cell[2..4].copy_from_slice(&(fields.flags | encoding).to_le_bytes());
        cell[4..12].copy_from_slice(&TIME.to_le_bytes());
        let numbers = [
            (16, fields.parent),
            (20, fields.subkeys.0),
            (28, fields.subkeys.1),
            (32, NONE),
            (36, fields.values.0),
            (40, fields.values.1),
            (44, fields.security),
            (48, fields.class.0),
        ];
        for (at, number) in numbers {
            cell[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        cell[72..74].copy_from_slice(&short(name.len()));
        cell[74..76].copy_from_slice(&fields.class.1.to_le_bytes());
        cell.extend(name);
        self.cell(&cell)
    }

    /// Adds a value.
    pub fn value(&mut self, name: &[u16], data_type: u32, size: u32, offset: u32) -> u32 {
        let (name, encoding) = encoded(name, 1);
        let mut cell = b"vk".to_vec();
        cell.extend(short(name.len()));
        [size, offset, data_type, encoding.into()]
            .iter()
            .for_each(|number| cell.extend(number.to_le_bytes()));
        cell.extend(name);
        self.cell(&cell)
    }

    /// Adds a list of subkeys, with empty hashes.
    pub fn list(&mut self, kind: [u8; 2], offsets: &[u32]) -> u32 {
        let mut cell = kind.to_vec();
        cell.extend(short(offsets.len()));
        for offset in offsets {
            cell.extend(offset.to_le_bytes());
            cell.extend(if kind[0] == b'l' && kind[1] != b'i' { &[0; 4][..] } else { &[] });
        }
        self.cell(&cell)
    }

    /// Adds a plain list of offsets.
    pub fn offsets(&mut self, offsets: &[u32]) -> u32 {
        self.cell(&offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect::<Vec<_>>())
    }

    /// Adds data in segments, and returns the offset of their `db`.
    pub fn segments(&mut self, data: &[u8]) -> u32 {
        let segments: Vec<u32> = data.chunks(16_344).map(|segment| self.cell(segment)).collect();
        let list = self.offsets(&segments);
        let mut cell = b"db".to_vec();
        cell.extend(short(segments.len()));
        cell.extend(list.to_le_bytes());
        self.cell(&cell)
    }

    /// Adds a security descriptor that no other key uses.
    pub fn security(&mut self, descriptor: &[u8]) -> u32 {
        let at = self.next();
        let mut cell = b"sk\0\0".to_vec();
        [at, at, 1, len(descriptor)].iter().for_each(|number| cell.extend(number.to_le_bytes()));
        cell.extend(descriptor);
        self.cell(&cell)
    }

    /// Changes four bytes of the content of the cell at `at`.
    pub fn set(&mut self, at: u32, offset: usize, number: u32) {
        let header = if self.minor <= 1 { 8 } else { 4 };
        let place = BASE + at as usize + header + offset;
        self.bytes[place..place + 4].copy_from_slice(&number.to_le_bytes());
    }

    /// Frees the cell at `at`; its content stays.
    pub fn free(&mut self, at: u32) {
        let place = BASE + at as usize;
        let size = i32::from_le_bytes(self.bytes[place..place + 4].try_into().expect("four bytes"));
        self.bytes[place..place + 4].copy_from_slice(&(-size).to_le_bytes());
    }

    /// The hive, with `root` as its root key.
    pub fn finish(mut self, root: u32) -> Vec<u8> {
        let used = self.bytes.len();
        let free = used.next_multiple_of(4096) - used;
        self.bytes.resize(used + free, 0);
        if free > 0 {
            self.bytes[used..used + 4].copy_from_slice(&i32::try_from(free).expect("small").to_le_bytes());
        }
        let bins = len(&self.bytes[BASE..]);
        self.bytes[BASE + 8..BASE + 12].copy_from_slice(&bins.to_le_bytes());
        self.bytes[BASE + 20..BASE + 28].copy_from_slice(&TIME.to_le_bytes());
        self.bytes[..4].copy_from_slice(b"regf");
        self.bytes[12..20].copy_from_slice(&TIME.to_le_bytes());
        for (at, number) in [(20, 1), (24, self.minor), (32, 1), (36, root), (40, bins), (44, 1)] {
            self.bytes[at..at + 4].copy_from_slice(&u32::to_le_bytes(number));
        }
        number(&mut self.bytes, 7, 7);
        self.bytes
    }
}

/// Gives a hive or a log these sequence numbers, and the right checksum.
pub fn number(bytes: &mut [u8], primary: u32, secondary: u32) {
    bytes[4..8].copy_from_slice(&primary.to_le_bytes());
    bytes[8..12].copy_from_slice(&secondary.to_le_bytes());
    seal(bytes);
}

/// Gives a hive or a log the right checksum.
pub fn seal(bytes: &mut [u8]) {
    let sum = checksum(&bytes[..508]);
    bytes[508..512].copy_from_slice(&sum.to_le_bytes());
}

/// A log in entries. `states`: the hive before the first flush, and after each; all of one base block. The first flush has the
/// number `sequence`.
pub fn log_of_entries(states: &[&[u8]], sequence: u32) -> Vec<u8> {
    let mut log = states[0][..SECTOR].to_vec();
    log[28..32].copy_from_slice(&6_u32.to_le_bytes());
    number(&mut log, sequence, sequence);
    for (states, sequence) in states.windows(2).zip(sequence..) {
        log.extend(entry(states[0], states[1], sequence));
    }
    log
}

/// One entry.
fn entry(old: &[u8], new: &[u8], sequence: u32) -> Vec<u8> {
    let pages = changed(old, new, 4096);
    let size = (40 + pages.len() * (8 + 4096)).next_multiple_of(SECTOR);
    let mut entry = b"HvLE".to_vec();
    let bins = len(&new[BASE..]);
    [len_of(size), 0, sequence, bins, len(&pages)].iter().for_each(|field| entry.extend(field.to_le_bytes()));
    entry.resize(40, 0);
    for page in &pages {
        entry.extend(len_of(page - BASE).to_le_bytes());
        entry.extend(4096_u32.to_le_bytes());
    }
    pages.iter().for_each(|page| entry.extend(&new[*page..page + 4096]));
    entry.resize(size, 0);
    seal_entry(&mut entry);
    entry
}

/// Puts the hashes of a log entry right.
pub fn seal_entry(entry: &mut [u8]) {
    let hash = hash_of_entries(&entry[40..]);
    entry[24..32].copy_from_slice(&hash.to_le_bytes());
    let hash = hash_of_entries(&entry[..32]);
    entry[32..40].copy_from_slice(&hash.to_le_bytes());
}

/// A log with a dirty vector that leads from one hive to another.
pub fn log_of_pages(old: &[u8], new: &[u8], sequence: u32) -> Vec<u8> {
    let mut log = new[..SECTOR].to_vec();
    log[12..20].copy_from_slice(&old[12..20]);
    log[28..32].copy_from_slice(&1_u32.to_le_bytes());
    number(&mut log, sequence, sequence);
    let pages = changed(old, new, SECTOR);
    let mut vector = vec![0_u8; ((new.len() - BASE) / SECTOR).div_ceil(8)];
    for page in &pages {
        let bit = (page - BASE) / SECTOR;
        vector[bit / 8] |= 1 << (bit % 8);
    }
    log.extend(b"DIRT");
    log.extend(vector);
    log.resize(log.len().next_multiple_of(SECTOR), 0);
    pages.iter().for_each(|page| log.extend(&new[*page..page + SECTOR]));
    log
}

/// Offsets of the pages of the hive bins that differ.
fn changed(old: &[u8], new: &[u8], page: usize) -> Vec<usize> {
    let pages = (BASE..new.len()).step_by(page);
    pages.filter(|at| old.get(*at..at + page) != new.get(*at..at + page)).collect()
}

/// Text as UTF-16, little-endian.
pub fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// A name in bytes where it can be, and the flag that says so.
fn encoded(name: &[u16], in_bytes: u16) -> (Vec<u8>, u16) {
    match name.iter().map(|unit| u8::try_from(*unit)).collect::<Result<Vec<u8>, _>>() {
        Ok(bytes) => (bytes, in_bytes),
        Err(_) => (name.iter().flat_map(|unit| unit.to_le_bytes()).collect(), 0),
    }
}

fn len<T>(list: &[T]) -> u32 {
    len_of(list.len())
}

fn len_of(len: usize) -> u32 {
    u32::try_from(len).expect("small")
}

fn short(len: usize) -> [u8; 2] {
    u16::try_from(len).expect("small").to_le_bytes()
}
