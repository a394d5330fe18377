//! What one transaction changes: stretches of bytes or zeros that do not overlap.

use std::collections::BTreeMap;

/// A new content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// These bytes.
    Bytes(Vec<u8>),
    /// So many bytes of zeros, whose space may be given back.
    Discard(u64),
}

impl Change {
    /// Bytes of the disk that it covers.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Discard(len) => *len,
        }
    }

    /// True when it covers nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The part `from..to`.
    fn slice(&self, from: u64, to: u64) -> Self {
        let index = |at: u64| usize::try_from(at).expect("inside a buffer in memory");
        match self {
            Self::Bytes(bytes) => Self::Bytes(bytes[index(from)..index(to)].into()),
            Self::Discard(_) => Self::Discard(to - from),
        }
    }
}

/// Changes by their offset, none empty; later ones replace what they overlap of earlier ones.
#[derive(Debug, Clone, Default)]
pub struct Changes(BTreeMap<u64, Change>);

impl Changes {
    /// Adds a change. The caller checks that it ends below 2^64.
    pub fn insert(&mut self, offset: u64, change: Change) {
        let end = offset + change.len();
        if end == offset {
            return;
        }
        let first = self.0.range(..offset).next_back().map(|(start, _)| *start);
        let covered: Vec<u64> =
            first.into_iter().chain(self.0.range(offset..end).map(|(start, _)| *start)).collect();
        for start in covered {
            let old = self.0.remove(&start).expect("a key that was just listed");
            let old_end = start + old.len();
            if start < offset {
                self.0.insert(start, old.slice(0, offset.min(old_end) - start));
            }
            if old_end > end {
                self.0.insert(end.max(start), old.slice(end.max(start) - start, old_end - start));
            }
        }
        self.0.insert(offset, change);
    }

    /// The changes in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Change)> {
        self.0.iter().map(|(offset, change)| (*offset, change))
    }

    /// True when nothing changes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Replaces what changes of the bytes from `offset` on.
    pub fn apply(&self, offset: u64, buf: &mut [u8]) {
        let end = offset + buf.len() as u64;
        let first = self.0.range(..=offset).next_back().map_or(offset, |(start, _)| *start);
        for (start, change) in self.0.range(first..end) {
            let (from, to) = ((*start).max(offset), (start + change.len()).min(end));
            if from >= to {
                continue;
            }
            let index = |at: u64| usize::try_from(at).expect("inside a buffer in memory");
            let target = &mut buf[index(from - offset)..index(to - offset)];
            match change {
                Change::Bytes(bytes) => {
                    target.copy_from_slice(&bytes[index(from - start)..index(to - start)])
                }
                Change::Discard(_) => target.fill(0),
            }
        }
    }

    /// The sectors that changes cover in part: those that need what is there already.
    pub(in crate::container) fn partial_sectors(&self, sector_size: u64) -> Vec<u64> {
        let ends = self.0.iter().flat_map(|(start, change)| [*start, start + change.len()]);
        let mut sectors: Vec<u64> =
            ends.filter(|at| at % sector_size != 0).map(|at| at / sector_size * sector_size).collect();
        sectors.dedup();
        sectors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_changes_replace_earlier_ones() {
        let mut changes = Changes::default();
        let mut plain = vec![0xee_u8; 1000];
        let mut seed = 1_u32;
        let mut random = |below: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) % below
        };
        for round in 0..400_u32 {
            let (at, len) = (random(900) as usize, random(100) as usize);
            if round % 3 == 0 {
                changes.insert(at as u64, Change::Discard(len as u64));
                plain[at..at + len].fill(0);
            } else {
                let bytes = vec![round.to_le_bytes()[0] | 1; len];
                changes.insert(at as u64, Change::Bytes(bytes.clone()));
                plain[at..at + len].copy_from_slice(&bytes);
            }
            let mut got = vec![0xee; 1000];
            changes.apply(0, &mut got);
            assert!(got == plain, "round {round}");
            let mut part = vec![0xee; 77];
            changes.apply(at as u64, &mut part);
            let to = (at + 77).min(1000);
            assert!(part[..to - at] == plain[at..to], "round {round}");
        }
    }

    #[test]
    fn sectors_covered_in_part_are_found_once() {
        let mut changes = Changes::default();
        changes.insert(10, Change::Bytes(vec![1; 20]));
        changes.insert(512, Change::Bytes(vec![1; 512]));
        changes.insert(2000, Change::Discard(1000));
        assert_eq!(changes.partial_sectors(512), [0, 1536, 2560]);
    }
}
