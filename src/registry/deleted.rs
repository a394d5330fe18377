//! Deleted keys and values: what free cells still hold. A free cell may be several former ones, so that a key can begin anywhere in
//! it. Guards: free cells are found by a walk of the bins, once; what is found there counts as reading cells does.

use std::{collections::HashSet, ops::ControlFlow};

use super::{Hive, Key, MAX_DEPTH, Value, bins, cells::State, format, keys};
use crate::Result;

/// Longest name of a key in bytes: 255 characters.
const MAX_KEY_NAME: usize = 510;
/// Values of a deleted key that are looked for.
const MAX_VALUES: usize = 4096;
/// The years in which registries are written, as FILETIME: 1990 to 2100.
const TIMES: std::ops::Range<u64> = 122_756_256_000_000_000..157_469_184_000_000_000;
/// Highest usual type of a value; device properties have types of their own, from `0xffff0000` on.
const MAX_TYPE: u32 = 11;

/// Something that was deleted.
#[derive(Debug)]
pub enum Deleted {
    /// A key, with those of its values that are still there.
    Key {
        /// The key.
        key: Key,
        /// Names of the keys above it, from below the root on. `None`: what is above it is not there any more.
        path: Option<Vec<Vec<u16>>>,
        /// Its values; an error for one whose data is overwritten.
        values: Vec<Result<Value>>,
    },
    /// A value whose key is not known.
    Value(Value),
}

impl Hive {
    /// Calls `f` with what free cells still hold, keys first. A break ends the search.
    ///
    /// # Errors
    /// When a hive bin cannot be read.
    pub fn each_deleted(&self, f: &mut dyn FnMut(Deleted) -> ControlFlow<()>) -> Result<()> {
        let mut of_keys = HashSet::new();
        let mut loose = Vec::new();
        let ended = self.free_places(&mut |at, cell| {
            if let Some(key) = self.deleted_key(at, cell) {
                let offsets = self.value_offsets(&key, State::Any).unwrap_or_default();
                let mut values = Vec::new();
                for at in offsets.into_iter().take(MAX_VALUES) {
                    of_keys.insert(at);
                    values.push(self.value(at, State::Any));
                }
                let path = self.path_above(&key);
                return f(Deleted::Key { key, path, values });
            }
            if cell.starts_with(b"vk") {
                loose.push(at);
            }
            ControlFlow::Continue(())
        })?;
        if ended.is_break() {
            return Ok(());
        }
        for at in loose.into_iter().filter(|at| !of_keys.contains(at)) {
            let Ok(value) = self.value(at, State::Any) else { continue };
            let plausible = value.data_type <= MAX_TYPE || value.data_type >> 16 == 0xffff;
            if plausible && !value.name.contains(&0) && f(Deleted::Value(value)).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The former key whose cell was at `at`.
    fn deleted_key(&self, at: u32, content: &[u8]) -> Option<Key> {
        if !content.starts_with(b"nk") {
            return None;
        }
        let key = keys::parse(content, at).ok()?;
        let name = &key.name;
        let plausible = TIMES.contains(&key.last_written)
            && !name.is_empty()
            && name.len() <= MAX_KEY_NAME
            && !name.iter().any(|unit| *unit == 0 || *unit == u16::from(b'\\'));
        plausible.then_some(key)
    }

    /// Names of the keys above `key`, the root left out.
    fn path_above(&self, key: &Key) -> Option<Vec<Vec<u16>>> {
        let mut names = Vec::new();
        let mut at = key.parent;
        while at != self.root {
            let parent = self.key(at, State::Any).ok().filter(|_| names.len() < MAX_DEPTH)?;
            names.push(parent.name);
            at = parent.parent;
        }
        names.reverse();
        Some(names)
    }

    /// Calls `f` with each place in free cells where a former cell may have begun, and the bytes of its content.
    fn free_places(&self, f: &mut dyn FnMut(u32, &[u8]) -> ControlFlow<()>) -> Result<ControlFlow<()>> {
        let mut bin = 0_u32;
        while u64::from(bin) < self.cells.bins {
            let Ok(header) = bins::header(&*self.cells.source, bin) else {
                // Where the next bin begins is not known: each may be the one.
                bin = match bin.checked_add(format::BIN_UNIT) {
                    Some(next) => next,
                    None => break,
                };
                continue;
            };
            let end = bin.saturating_add(header.size.get());
            let end = u32::try_from(self.cells.bins).unwrap_or(u32::MAX).min(end);
            let mut at = bin + u32::try_from(format::BIN_HEADER).expect("32");
            while at < end {
                let mut size = [0; 4];
                if end - at < 8 {
                    break;
                }
                self.cells.count(1, at)?;
                self.cells.source.read_exact_at(format::BASE_BLOCK + u64::from(at), &mut size)?;
                let size = i32::from_le_bytes(size);
                let len = size.unsigned_abs();
                if len < 8 || !len.is_multiple_of(8) || len > end - at {
                    break;
                }
                if size > 0 && self.in_free_cell(at, f)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                at += len;
            }
            bin = end;
        }
        Ok(ControlFlow::Continue(()))
    }

    fn in_free_cell(
        &self,
        at: u32,
        f: &mut dyn FnMut(u32, &[u8]) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let Ok(content) = self.cells.get_in(at, State::Any) else { return Ok(ControlFlow::Continue(())) };
        for start in (0..content.len()).step_by(8) {
            let place = u32::try_from(start).ok().and_then(|start| at.checked_add(start));
            if let Some(place) = place
                && f(place, &content[start..]).is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}
