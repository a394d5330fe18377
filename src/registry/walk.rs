//! A walk over a key and all keys below it. Guards: depth and length of paths are those of Windows; a key that is listed again and
//! again is entered a few times alone, so that a small hive makes no endless output.

use std::{collections::HashSet, ops::ControlFlow};

use super::{Hive, Key, MAX_DEPTH, cells::corrupt};
use crate::Result;

/// Longest path in UTF-16 units that Windows opens.
const MAX_PATH: usize = 32_767;
/// Keys that are entered although they were before: damaged lists name some of them twice.
const MAX_REPEATED: usize = 256;

/// The keys that a walk has entered.
#[derive(Default)]
pub(crate) struct Entered {
    cells: HashSet<u32>,
    repeated: usize,
}

impl Entered {
    /// Counts a key whose path has these levels and units.
    ///
    /// # Errors
    /// When it is not entered: too deep, or too often.
    pub(crate) fn enter(&mut self, key: &Key, depth: usize, path: usize) -> Result<()> {
        if depth > MAX_DEPTH || path > MAX_PATH {
            return Err(corrupt(key.at, "keys are nested too deeply: this one is not entered"));
        }
        if !self.cells.insert(key.at) {
            self.repeated += 1;
            if self.repeated > MAX_REPEATED {
                return Err(corrupt(key.at, "the same keys are listed again and again: no more are entered"));
            }
        }
        Ok(())
    }
}

/// What a walk calls: the path below its first key, with `\` between names, and the key there, or why the key, or what is below it,
/// cannot be read.
pub type Visit<'a> = dyn FnMut(&[u16], Result<&Key>) -> ControlFlow<()> + 'a;

impl Hive {
    /// Calls `f` with `first`, whose path is empty, and all keys below it, each before those below it, in the order of their lists.
    pub fn walk(&self, first: &Key, f: &mut Visit<'_>) -> ControlFlow<()> {
        let mut entered = Entered::default();
        let mut path = Vec::new();
        f(&path, Ok(first))?;
        // For each level the length of its path, and the keys that are still to be visited.
        let mut levels = vec![(0, self.below(first, &path, 0, &mut entered, f)?.into_iter())];
        while let Some((len, keys)) = levels.last_mut() {
            path.truncate(*len);
            let Some(key) = keys.next() else {
                levels.pop();
                continue;
            };
            if !path.is_empty() {
                path.push(u16::from(b'\\'));
            }
            path.extend(&key.name);
            f(&path, Ok(&key))?;
            let depth = levels.len();
            let below = self.below(&key, &path, depth, &mut entered, f)?;
            if !below.is_empty() {
                levels.push((path.len(), below.into_iter()));
            }
        }
        ControlFlow::Continue(())
    }

    /// The subkeys of a key, damaged ones passed to `f`.
    fn below(
        &self,
        key: &Key,
        path: &[u16],
        depth: usize,
        entered: &mut Entered,
        f: &mut Visit<'_>,
    ) -> ControlFlow<(), Vec<Key>> {
        let mut keys = Vec::new();
        let mut flow = ControlFlow::Continue(());
        let listed = match entered.enter(key, depth, path.len()) {
            Ok(()) => self.each_subkey(key, &mut |subkey| match subkey {
                Ok(subkey) => keys.push(subkey),
                Err(error) if flow.is_continue() => flow = f(path, Err(error)),
                Err(_) => {}
            }),
            Err(error) => Err(error),
        };
        flow?;
        if let Err(error) = listed {
            f(path, Err(error))?;
        }
        ControlFlow::Continue(keys)
    }
}
