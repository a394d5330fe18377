//! What differs between two keys and everything below them: keys and values that were added, removed and changed. Times do not count.

use std::{cmp::Ordering, ops::ControlFlow};

use super::{FoundKey, LoadedHive};
pub use crate::image::diff::Change;
use crate::{
    Result,
    registry::{Entered, Hive, Key, Value, fold},
};

/// Errors that are passed on of one list of keys or values: where a hive's structures refer to one place again and again, all that follow fail.
const MAX_ERRORS: usize = 1000;

/// A key that differs.
#[derive(Debug)]
pub struct KeyDifference {
    /// Its path below the keys that are compared, with `\` between names; empty for those themselves.
    pub path: Vec<u16>,
    /// What happened to it.
    pub change: Change,
    /// Its values that differ; of a key that was added or removed all of them.
    pub values: Vec<ValueDifference>,
    /// Security descriptors, where they differ.
    pub security: Option<SecurityDifference>,
}

/// A security descriptor that differs, self-relative.
#[derive(Debug)]
pub struct SecurityDifference {
    /// Before.
    pub old: Option<Vec<u8>>,
    /// After.
    pub new: Option<Vec<u8>>,
}

/// A value that differs. One of both is there.
#[derive(Debug)]
pub struct ValueDifference {
    /// Before.
    pub old: Option<Value>,
    /// After.
    pub new: Option<Value>,
}

/// What a comparison passes on: a key that differs, or the path of a key where something cannot be read, and why.
pub enum Item {
    /// A key that differs.
    Difference(KeyDifference),
    /// Something that was not compared.
    Problem(Vec<u16>, crate::Error),
}

/// Where items go; a break ends the comparison.
pub type Sink<'a> = dyn FnMut(Item) -> ControlFlow<()> + 'a;

/// True when two hives have the same bytes, with their logs applied: nothing differs then.
///
/// # Errors
/// When one of them cannot be read.
pub fn same_bytes(old: &LoadedHive, new: &LoadedHive) -> Result<bool> {
    const PIECE: u64 = 1 << 20;
    let (old, new) = (old.hive.bytes(), new.hive.bytes());
    if old.size() != new.size() {
        return Ok(false);
    }
    let mut at = 0;
    let (mut a, mut b) = (Vec::new(), Vec::new());
    while at < old.size() {
        let len = usize::try_from(PIECE.min(old.size() - at)).expect("at most 1 MiB");
        a.resize(len, 0);
        b.resize(len, 0);
        old.read_exact_at(at, &mut a)?;
        new.read_exact_at(at, &mut b)?;
        if a != b {
            return Ok(false);
        }
        at += len as u64;
    }
    Ok(true)
}

/// Compares two keys with everything below them. `security`: their descriptors as well.
pub fn compare(old: &FoundKey, new: &FoundKey, security: bool, sink: &mut Sink<'_>) -> ControlFlow<()> {
    let comparison = Comparison { old: &old.hive.hive, new: &new.hive.hive, security };
    comparison.run(&old.key, &new.key, sink)
}

/// All of a key, which the other side does not have.
pub fn one_side(found: &FoundKey, change: Change, sink: &mut Sink<'_>) -> ControlFlow<()> {
    whole(&found.hive.hive, &found.key, &[], change, sink)
}

struct Comparison<'a> {
    old: &'a Hive,
    new: &'a Hive,
    security: bool,
}

/// Two keys of the same path.
struct Pair {
    path: Vec<u16>,
    depth: usize,
    old: Key,
    new: Key,
}

impl Comparison<'_> {
    fn run(&self, old: &Key, new: &Key, sink: &mut Sink<'_>) -> ControlFlow<()> {
        let (mut entered_old, mut entered_new) = (Entered::default(), Entered::default());
        let mut open = vec![Pair { path: Vec::new(), depth: 0, old: old.clone(), new: new.clone() }];
        while let Some(pair) = open.pop() {
            let entered = entered_old
                .enter(&pair.old, pair.depth, pair.path.len())
                .and_then(|()| entered_new.enter(&pair.new, pair.depth, pair.path.len()));
            if let Err(error) = entered {
                sink(Item::Problem(pair.path, error))?;
                continue;
            }
            self.own(&pair, sink)?;
            let old = keys(self.old, &pair.old, &pair.path, sink)?;
            let new = keys(self.new, &pair.new, &pair.path, sink)?;
            let mut below = Vec::new();
            for (old, new) in merged(old, new, |key| &key.name) {
                let name = old.as_ref().or(new.as_ref()).map(|key| key.name.clone()).unwrap_or_default();
                let path = joined(&pair.path, &name);
                match (old, new) {
                    (Some(old), Some(new)) => below.push(Pair { path, depth: pair.depth + 1, old, new }),
                    (Some(old), None) => whole(self.old, &old, &path, Change::Removed, sink)?,
                    (None, Some(new)) => whole(self.new, &new, &path, Change::Added, sink)?,
                    (None, None) => {}
                }
            }
            open.extend(below.into_iter().rev());
        }
        ControlFlow::Continue(())
    }

    /// What the keys have themselves.
    fn own(&self, pair: &Pair, sink: &mut Sink<'_>) -> ControlFlow<()> {
        let old = values(self.old, &pair.old, &pair.path, sink)?;
        let new = values(self.new, &pair.new, &pair.path, sink)?;
        let values: Vec<_> = merged(old, new, |value| &value.name)
            .into_iter()
            .filter(|(old, new)| match (old, new) {
                (Some(old), Some(new)) => old.data_type != new.data_type || old.data != new.data,
                _ => true,
            })
            .map(|(old, new)| ValueDifference { old, new })
            .collect();
        let mut security = None;
        if self.security {
            match (self.old.security(&pair.old), self.new.security(&pair.new)) {
                (Ok(old), Ok(new)) => security = (old != new).then_some(SecurityDifference { old, new }),
                (Err(error), _) | (_, Err(error)) => sink(Item::Problem(pair.path.clone(), error))?,
            }
        }
        if values.is_empty() && security.is_none() {
            return ControlFlow::Continue(());
        }
        let path = pair.path.clone();
        sink(Item::Difference(KeyDifference { path, change: Change::Changed, values, security }))
    }
}

/// A key with everything below it, that one side alone has.
fn whole(hive: &Hive, key: &Key, above: &[u16], change: Change, sink: &mut Sink<'_>) -> ControlFlow<()> {
    hive.walk(key, &mut |path, key| {
        let path = joined(above, path);
        let key = match key {
            Ok(key) => key,
            Err(error) => return sink(Item::Problem(path, error)),
        };
        let found = values(hive, key, &path, sink)?.into_iter().map(|value| match change {
            Change::Removed => ValueDifference { old: Some(value), new: None },
            _ => ValueDifference { old: None, new: Some(value) },
        });
        sink(Item::Difference(KeyDifference { path, change, values: found.collect(), security: None }))
    })
}

fn joined(above: &[u16], below: &[u16]) -> Vec<u16> {
    let separator: &[u16] = if above.is_empty() || below.is_empty() { &[] } else { &[0x5c] };
    [above, separator, below].concat()
}

fn keys(hive: &Hive, key: &Key, path: &[u16], sink: &mut Sink<'_>) -> ControlFlow<(), Vec<Key>> {
    let (mut keys, mut errors) = (Vec::new(), Vec::new());
    let listed = hive.each_subkey(key, &mut |key| match key {
        Ok(key) => keys.push(key),
        Err(error) if errors.len() < MAX_ERRORS => errors.push(error),
        Err(_) => {}
    });
    report(errors, listed, path, sink)?;
    ControlFlow::Continue(keys)
}

fn values(hive: &Hive, key: &Key, path: &[u16], sink: &mut Sink<'_>) -> ControlFlow<(), Vec<Value>> {
    let (mut values, mut errors) = (Vec::new(), Vec::new());
    let listed = hive.each_value(key, usize::MAX, &mut |value| match value {
        Ok(value) => values.push(value),
        Err(error) if errors.len() < MAX_ERRORS => errors.push(error),
        Err(_) => {}
    });
    report(errors, listed, path, sink)?;
    ControlFlow::Continue(values)
}

fn report(
    errors: Vec<crate::Error>,
    listed: Result<()>,
    path: &[u16],
    sink: &mut Sink<'_>,
) -> ControlFlow<()> {
    errors.into_iter().chain(listed.err()).try_for_each(|error| sink(Item::Problem(path.to_vec(), error)))
}

/// Both lists side by side, in the order of names; what has the same name stands together.
fn merged<T>(old: Vec<T>, new: Vec<T>, name: fn(&T) -> &Vec<u16>) -> Vec<(Option<T>, Option<T>)> {
    let sorted = |list: Vec<T>| {
        let mut list: Vec<_> = list.into_iter().map(|item| (fold(name(&item)), item)).collect();
        list.sort_by(|a, b| a.0.cmp(&b.0));
        list.into_iter().peekable()
    };
    let (mut old, mut new) = (sorted(old), sorted(new));
    let mut both = Vec::new();
    loop {
        let order = match (old.peek(), new.peek()) {
            (Some((old, _)), Some((new, _))) => old.cmp(new),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return both,
        };
        let old = if order.is_le() { old.next() } else { None };
        let new = if order.is_ge() { new.next() } else { None };
        both.push((old.map(|(_, item)| item), new.map(|(_, item)| item)));
    }
}
