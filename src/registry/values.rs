//! Values (`vk`) and their data: in place, in a cell, or in segments (`db`).

use zerocopy::FromBytes;

use super::{
    Hive, Key,
    cells::{MAX_CELL, State, corrupt},
    format::{self, KeyValue},
    keys::MAX_ENTRIES,
    name,
};
use crate::Result;

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
    /// Calls `f` with at most `max` values of `key`; a damaged one is passed as an error.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) when the list of values is damaged.
    pub fn each_value(&self, key: &Key, max: usize, f: &mut dyn FnMut(Result<Value>)) -> Result<()> {
        let offsets = self.value_offsets(key, State::InUse)?;
        offsets.into_iter().take(max).for_each(|offset| f(self.value(offset, State::InUse)));
        Ok(())
    }

    /// The value of `key` named `name`, ignoring case.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) when the list of values, or every possible match, is damaged.
    pub fn value_named(&self, key: &Key, name: &str) -> Result<Option<Value>> {
        let name: Vec<u16> = name.encode_utf16().collect();
        let (mut found, mut damage) = (None, None);
        self.each_value(key, usize::MAX, &mut |value| match value {
            Ok(value) if found.is_none() && name::same(&value.name, &name) => found = Some(value),
            Ok(_) => {}
            Err(error) => damage = Some(error),
        })?;
        match (found, damage) {
            (None, Some(error)) => Err(error),
            (found, _) => Ok(found),
        }
    }

    /// The cell offsets of the values of `key`.
    pub(super) fn value_offsets(&self, key: &Key, state: State) -> Result<Vec<u32>> {
        let (count, list) = key.values;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count == 0 {
            return Ok(Vec::new());
        }
        let cell = self.cells.get_in(list, state)?;
        let (offsets, _) = cell.as_chunks::<4>();
        if offsets.len() < count || count > MAX_ENTRIES {
            return Err(corrupt(list, format!("{count} values in a list of {}", offsets.len())));
        }
        Ok(offsets[..count].iter().map(|offset| u32::from_le_bytes(*offset)).collect())
    }

    pub(super) fn value(&self, at: u32, state: State) -> Result<Value> {
        let cell = self.cells.get_in(at, state)?;
        self.value_in(&cell, at, state)
    }

    /// The value in the content of the cell at `at`.
    pub(super) fn value_in(&self, cell: &[u8], at: u32, state: State) -> Result<Value> {
        let (value, rest) =
            KeyValue::ref_from_prefix(cell).map_err(|_| corrupt(at, "no room for a value"))?;
        if value.signature != *b"vk" {
            return Err(corrupt(at, "no value"));
        }
        let in_bytes = value.flags.get() & format::VALUE_NAME_IN_BYTES != 0;
        let name = name::decode(rest, value.name_length.get(), in_bytes);
        let name = name.ok_or_else(|| corrupt(at, "the value's name does not fit"))?;
        let (size, offset) = (value.data_size.get(), value.data_offset);
        let data = match size & !format::IN_PLACE {
            0 => Vec::new(),
            size_in_place if size & format::IN_PLACE != 0 => {
                let place = offset.get().to_le_bytes();
                let len = usize::try_from(size_in_place).unwrap_or(usize::MAX);
                place.get(..len).ok_or_else(|| corrupt(at, "more data in place than there is room"))?.to_vec()
            }
            size => self.data(offset.get(), size, state)?,
        };
        Ok(Value { name, data_type: value.data_type.get(), data })
    }

    /// Data stored outside of its value: in one cell or in segments.
    fn data(&self, at: u32, size: u32, state: State) -> Result<Vec<u8>> {
        let len =
            usize::try_from(size).ok().filter(|_| size <= MAX_CELL && u64::from(size) <= self.cells.bins);
        let len = len.ok_or_else(|| corrupt(at, format!("{size} bytes of data are too much")))?;
        let cell = self.cells.get_in(at, state)?;
        if self.minor < 4 || size <= format::MAX_SEGMENT {
            return cell.get(..len).map(<[u8]>::to_vec).ok_or_else(|| corrupt(at, "data that is cut off"));
        }
        let &[b'd', b'b', low, high, a, b, c, d, ..] = &cell[..] else {
            return Err(corrupt(at, "no list of data segments"));
        };
        let count = usize::from(u16::from_le_bytes([low, high]));
        let list = u32::from_le_bytes([a, b, c, d]);
        let offsets = self.cells.get_in(list, state)?;
        let (offsets, _) = offsets.as_chunks::<4>();
        let mut data = Vec::new();
        for offset in offsets.iter().take(count) {
            let segment = self.cells.get_in(u32::from_le_bytes(*offset), state)?;
            let take = (len - data.len()).min(segment.len()).min(format::MAX_SEGMENT as usize);
            data.extend_from_slice(&segment[..take]);
            if data.len() == len {
                return Ok(data);
            }
        }
        Err(corrupt(list, format!("{} bytes of data instead of {len}", data.len())))
    }
}
