//! Registry hives (`regf`), read cell by cell: keys, subkey lists, values, data of any length.
//!
//! Structures: the forensic notes on the Windows registry file format; Microsoft has published no specification. Guards:
//! every cell lies inside the hive bins and every structure inside its cell; lists of lists have two levels; the number
//! of entries followed is bounded, and so is the total read. Transaction logs and volatile keys are not read.

mod format;
#[cfg(test)]
mod tests;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use zerocopy::FromBytes;

use self::format::{BaseBlock, KeyNode, KeyValue};
use crate::{
    Error, Place, Result,
    bytes::{ByteSource, read_vec},
};

/// Most subkeys or values read per key; Windows' largest keys have tens of thousands.
const MAX_ENTRIES: usize = 1 << 16;
/// Longest data read, in bytes; programs keep values below 1 MiB.
const MAX_DATA: u32 = 1 << 20;
/// Longest cell read, in bytes: large enough for a key, a value or a list of [`MAX_ENTRIES`].
const MAX_CELL: u32 = 1 << 20;
/// Total bytes read per opened hive: lists may refer to the same large cell again and again.
const MAX_READ: u64 = 256 << 20;
/// Least number of bytes that a cell counts towards [`MAX_READ`], as small reads take time too.
const LEAST_READ: u64 = 512;

/// A hive.
pub struct Hive {
    source: Arc<dyn ByteSource>,
    root: u32,
    /// Length of the hive bins in bytes.
    bins: u64,
    minor: u32,
    dirty: bool,
    /// Bytes counted towards [`MAX_READ`].
    read: AtomicU64,
}

/// A key.
#[derive(Debug, Clone)]
pub struct Key {
    /// The key's own name, without its parents.
    pub name: Vec<u16>,
    subkeys: (u32, u32),
    values: (u32, u32),
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// Empty for the key's default value.
    pub name: Vec<u16>,
    /// `REG_…` (3: binary).
    pub data_type: u32,
    /// The data, undecoded.
    pub data: Vec<u8>,
}

impl Hive {
    /// Opens a hive.
    ///
    /// [`Error::Corrupt`] when the base block or the first hive bin is invalid; [`Error::Unsupported`] for versions that
    /// no Windows since NT 4 writes. A wrong checksum or unequal sequence numbers are no error: see [`Self::is_dirty`].
    pub fn open(source: Arc<dyn ByteSource>) -> Result<Self> {
        let len = source.size().min(format::BASE_BLOCK);
        let block = read_vec(&*source, 0, usize::try_from(len).expect("at most 4096"))?;
        let bad = |problem: String| Error::corrupt("registry hive", Place::Byte(0), problem);
        let short = || bad(format!("only {len} bytes"));
        let (base, _) = BaseBlock::ref_from_prefix(&block).map_err(|_| short())?;
        if base.signature != *b"regf" {
            return Err(bad("no base block".into()));
        }
        let (major, minor) = (base.major_version.get(), base.minor_version.get());
        // File type 0 is a hive, file format 1 the only one.
        if major != 1 || !(2..=6).contains(&minor) || base.file_type.get() != 0 || base.file_format.get() != 1
        {
            return Err(Error::unsupported(format!("registry hive of version {major}.{minor}")));
        }
        let checked = block.get(..format::CHECKED).ok_or_else(short)?;
        let stored = block.get(format::CHECKED..format::CHECKED + 4).and_then(|sum| sum.first_chunk());
        let intact = stored.is_some_and(|sum| u32::from_le_bytes(*sum) == format::checksum(checked));
        let there = source.size().saturating_sub(format::BASE_BLOCK);
        let mut bin = [0; 4];
        if there >= 32 {
            source.read_exact_at(format::BASE_BLOCK, &mut bin)?;
        }
        if bin != *b"hbin" {
            return Err(Error::corrupt("registry hive", Place::Byte(format::BASE_BLOCK), "no hive bin"));
        }
        Ok(Self {
            root: base.root_cell.get(),
            bins: there.min(base.hive_bins_size.get().into()),
            minor,
            dirty: !intact || base.primary_sequence != base.secondary_sequence,
            source,
            read: AtomicU64::new(0),
        })
    }

    /// True when the hive was not written completely: newer data is in its transaction logs.
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// The root key.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when its cell is invalid.
    pub fn root(&self) -> Result<Key> {
        self.key(self.root)
    }

    /// The subkey of `key` named `name`, ignoring the case of ASCII letters.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the list of subkeys, or every possible match, is damaged.
    pub fn subkey(&self, key: &Key, name: &str) -> Result<Option<Key>> {
        let mut damage = None;
        for subkey in self.subkeys(key)? {
            match self.key(subkey) {
                Ok(key) if is(&key.name, name) => return Ok(Some(key)),
                Ok(_) => {}
                Err(error) => damage = Some(error),
            }
        }
        damage.map_or(Ok(None), Err)
    }

    /// Calls `f` with each subkey of `key`; a damaged one is passed as an error.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the list of subkeys is damaged.
    pub fn each_subkey(&self, key: &Key, f: &mut dyn FnMut(Result<Key>)) -> Result<()> {
        self.subkeys(key)?.into_iter().for_each(|subkey| f(self.key(subkey)));
        Ok(())
    }

    /// Calls `f` with at most `max` values of `key`; a damaged one is passed as an error.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the list of values is damaged.
    pub fn each_value(&self, key: &Key, max: usize, f: &mut dyn FnMut(Result<Value>)) -> Result<()> {
        let (count, list) = key.values;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count == 0 {
            return Ok(());
        }
        let cell = self.cell(list)?;
        let (offsets, _) = cell.as_chunks::<4>();
        if offsets.len() < count || count > MAX_ENTRIES {
            return Err(corrupt(list, format!("{count} values in a list of {}", offsets.len())));
        }
        offsets[..count.min(max)].iter().for_each(|offset| f(self.value(u32::from_le_bytes(*offset))));
        Ok(())
    }

    fn key(&self, at: u32) -> Result<Key> {
        let cell = self.cell(at)?;
        let (node, rest) = KeyNode::ref_from_prefix(&cell).map_err(|_| corrupt(at, "no room for a key"))?;
        if node.signature != *b"nk" {
            return Err(corrupt(at, "no key"));
        }
        let in_bytes = node.flags.get() & format::KEY_NAME_IN_BYTES != 0;
        let name = name(rest, node.name_length.get(), in_bytes);
        Ok(Key {
            name: name.ok_or_else(|| corrupt(at, "the key's name does not fit"))?,
            subkeys: (node.subkeys.get(), node.subkeys_list.get()),
            values: (node.values.get(), node.values_list.get()),
        })
    }

    /// The cell offsets of the subkeys of `key`.
    fn subkeys(&self, key: &Key) -> Result<Vec<u32>> {
        let (count, list) = key.subkeys;
        let mut found = Vec::new();
        if count > 0 && list != format::NONE {
            self.list(list, true, &mut found)?;
        }
        Ok(found)
    }

    /// Appends the cells in a list of subkeys; a list of lists is accepted only if `outer`.
    fn list(&self, at: u32, outer: bool, found: &mut Vec<u32>) -> Result<()> {
        let cell = self.cell(at)?;
        let too_short = || corrupt(at, "a list of subkeys that is cut off");
        let (head, rest) = cell.split_first_chunk::<4>().ok_or_else(too_short)?;
        let &[kind @ .., low, high] = head;
        let count = usize::from(u16::from_le_bytes([low, high]));
        let step = match &kind {
            // Each entry also has the beginning or a hash of the name.
            b"lf" | b"lh" => 8,
            b"li" => 4,
            b"ri" if outer => 4,
            _ => return Err(corrupt(at, "no list of subkeys")),
        };
        let entries = rest.get(..count * step).ok_or_else(too_short)?;
        for entry in entries.chunks_exact(step) {
            let offset = u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]);
            if found.len() >= MAX_ENTRIES {
                return Err(corrupt(at, format!("more than {MAX_ENTRIES} subkeys")));
            }
            match &kind {
                b"ri" => self.list(offset, false, found)?,
                _ => found.push(offset),
            }
        }
        Ok(())
    }

    fn value(&self, at: u32) -> Result<Value> {
        let cell = self.cell(at)?;
        let (value, rest) =
            KeyValue::ref_from_prefix(&cell).map_err(|_| corrupt(at, "no room for a value"))?;
        if value.signature != *b"vk" {
            return Err(corrupt(at, "no value"));
        }
        let in_bytes = value.flags.get() & format::VALUE_NAME_IN_BYTES != 0;
        let name = name(rest, value.name_length.get(), in_bytes);
        let name = name.ok_or_else(|| corrupt(at, "the value's name does not fit"))?;
        let (size, offset) = (value.data_size.get(), value.data_offset);
        let data = match size & !format::IN_PLACE {
            0 => Vec::new(),
            size_in_place if size & format::IN_PLACE != 0 => {
                let place = offset.get().to_le_bytes();
                let len = usize::try_from(size_in_place).unwrap_or(usize::MAX);
                place.get(..len).ok_or_else(|| corrupt(at, "more data in place than there is room"))?.to_vec()
            }
            size => self.data(offset.get(), size)?,
        };
        Ok(Value { name, data_type: value.data_type.get(), data })
    }

    /// Data stored outside of its value: in one cell or in segments.
    fn data(&self, at: u32, size: u32) -> Result<Vec<u8>> {
        let len = usize::try_from(size).ok().filter(|_| size <= MAX_DATA);
        let len = len.ok_or_else(|| corrupt(at, format!("{size} bytes of data are too much")))?;
        let cell = self.cell(at)?;
        if self.minor < 4 || size <= format::MAX_SEGMENT {
            return cell.get(..len).map(<[u8]>::to_vec).ok_or_else(|| corrupt(at, "data that is cut off"));
        }
        let &[b'd', b'b', low, high, a, b, c, d, ..] = &cell[..] else {
            return Err(corrupt(at, "no list of data segments"));
        };
        let count = usize::from(u16::from_le_bytes([low, high]));
        let list = u32::from_le_bytes([a, b, c, d]);
        let offsets = self.cell(list)?;
        let (offsets, _) = offsets.as_chunks::<4>();
        let mut data = Vec::with_capacity(len);
        for offset in offsets.iter().take(count) {
            let segment = self.cell(u32::from_le_bytes(*offset))?;
            let take = (len - data.len()).min(segment.len()).min(format::MAX_SEGMENT as usize);
            data.extend_from_slice(&segment[..take]);
            if data.len() == len {
                return Ok(data);
            }
        }
        Err(corrupt(list, format!("{} bytes of data instead of {len}", data.len())))
    }

    /// The content of the allocated cell at `at`.
    fn cell(&self, at: u32) -> Result<Vec<u8>> {
        let left = self.bins.saturating_sub(at.into());
        let mut size = [0; 4];
        if at == format::NONE || left < 8 {
            return Err(corrupt(at, "no cell: beyond the end of the hive"));
        }
        let place = format::BASE_BLOCK + u64::from(at);
        self.source.read_exact_at(place, &mut size)?;
        let size = i32::from_le_bytes(size);
        let len = size.unsigned_abs();
        if size >= 0 || len < 8 || u64::from(len) > left || len > MAX_CELL {
            return Err(corrupt(at, format!("no cell in use: size {size}, {left} bytes are left")));
        }
        let cost = u64::from(len).max(LEAST_READ);
        if self.read.fetch_add(cost, Ordering::Relaxed) > MAX_READ {
            return Err(corrupt(at, "its cells are named again and again: no more of it is read"));
        }
        read_vec(&*self.source, place + 4, usize::try_from(len - 4).expect("at most MAX_CELL"))
    }
}

fn is(name: &[u16], text: &str) -> bool {
    let upper = |unit: u16| u8::try_from(unit).map_or(unit, |byte| byte.to_ascii_uppercase().into());
    name.iter().map(|unit| upper(*unit)).eq(text.encode_utf16().map(upper))
}

fn name(bytes: &[u8], length: u16, in_bytes: bool) -> Option<Vec<u16>> {
    let bytes = bytes.get(..length.into())?;
    if in_bytes {
        return Some(bytes.iter().map(|byte| u16::from(*byte)).collect());
    }
    let (units, rest) = bytes.as_chunks();
    rest.is_empty().then(|| units.iter().map(|unit| u16::from_le_bytes(*unit)).collect())
}

fn corrupt(at: u32, problem: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::corrupt("registry hive", Place::Byte(format::BASE_BLOCK + u64::from(at)), problem)
}
