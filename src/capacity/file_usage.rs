//! Which parts of an image file its block table refers to. Guards: a place that several blocks claim (a crafted table)
//! counts once; what nothing refers to is counted as unused. Memory: a bit for each MiB of a VHDX, 4 bytes for each block of a VHD.

use std::ops::Range;

use super::backing::{MAX_DAMAGED, end_of_block};
use crate::{
    Error, Result,
    container::{Layer, Place, Structures},
    host::HostMap,
};

/// Bits of the map, 32 MiB: a file of 256 TiB, four times the largest VHDX.
const MAX_UNITS: u64 = 1 << 28;
/// Stretches of the disk that are remembered as claimed twice; behind so many the rest of the disk counts as such.
const MAX_ALIASES: usize = 1 << 16;
/// From this alignment on a bit for each unit is cheap.
const BITMAP_UNIT: u64 = 1 << 20;

/// How the bytes of an image file are used.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FileUsage {
    /// Stretches of the disk whose place in the file another block has; ascending.
    pub(super) aliases: Vec<Range<u64>>,
    /// Groups of blocks that have what [`crate::container::Growth::group`] adds.
    pub(super) groups: Vec<bool>,
    /// Of those: what the host file lacks.
    pub(super) group_holes: u64,
    /// Bytes of the file that neither blocks nor structures use.
    pub(super) unused: u64,
    /// What of it occupies space on the host.
    pub(super) unused_on_host: u64,
}

impl FileUsage {
    /// Reads every entry of the block table of `layer`.
    pub(super) fn survey(layer: &dyn Layer, host: Option<&HostMap>) -> Result<Self> {
        let mut file_usage = Self::default();
        let structures = layer.structures();
        if structures.reserved.is_empty() {
            return Ok(file_usage);
        }
        let end = layer.source().size().saturating_sub(structures.trailer);
        let mut claims = Claims::new(layer, &structures, end)?;
        file_usage.survey_groups(layer, &mut claims, host)?;
        each_block(layer, &mut |offset, position, len| {
            file_usage.claim(layer, &mut claims, offset, position, len);
        })?;
        let mut reserved = structures.reserved;
        reserved.retain(|range| !range.is_empty());
        reserved.sort_unstable_by_key(|range| range.start);
        let mut before = 0;
        claims.each(&mut |used| {
            file_usage.add_unused(before..used.start.min(end), &reserved, host);
            before = before.max(used.end);
        });
        file_usage.add_unused(before..end, &reserved, host);
        Ok(file_usage)
    }

    fn survey_groups(
        &mut self,
        layer: &dyn Layer,
        claims: &mut Claims,
        host: Option<&HostMap>,
    ) -> Result<()> {
        let growth = layer.growth();
        let Some((blocks, bytes)) = growth.group else { return Ok(()) };
        let span = blocks.saturating_mul(growth.block_size).max(1);
        for group in 0..layer.virtual_size().div_ceil(span) {
            let place = match layer.group_place(group) {
                // The damage is reported by the blocks of the group.
                Err(Error::Corrupt(_)) => None,
                other => other?,
            };
            self.groups.push(place.is_some());
            if let Some(place) = place {
                let range = place..place.saturating_add(bytes);
                claims.claim(range.clone());
                self.group_holes += host.map_or(0, |host| bytes.saturating_sub(host.occupied(range)));
            }
        }
        Ok(())
    }

    /// A stretch of blocks that lie one behind the other in the file.
    fn claim(&mut self, layer: &dyn Layer, claims: &mut Claims, offset: u64, position: u64, len: u64) {
        if claims.claim(position..position + len) {
            return;
        }
        let mut at = offset;
        while at < offset + len {
            let end = end_of_block(layer, at).min(offset + len);
            let place = position + (at - offset);
            if !claims.claim(place..place + (end - at)) {
                self.add_alias(at..end, layer.virtual_size());
            }
            at = end;
        }
    }

    fn add_alias(&mut self, range: Range<u64>, size: u64) {
        let full = self.aliases.len() >= MAX_ALIASES;
        match self.aliases.last_mut() {
            Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
            _ if full => self.aliases.push(range.start..size),
            _ => self.aliases.push(range),
        }
    }

    /// `gap`: what no block uses; `reserved`: ascending.
    fn add_unused(&mut self, gap: Range<u64>, reserved: &[Range<u64>], host: Option<&HostMap>) {
        let mut start = gap.start;
        let ends = reserved.iter().map(|range| (range.start, range.end));
        for (stop, next) in ends.chain([(gap.end, gap.end)]) {
            let stop = stop.min(gap.end);
            if start < stop {
                self.unused += stop - start;
                self.unused_on_host += host.map_or(stop - start, |host| host.occupied(start..stop));
            }
            start = start.max(next);
        }
    }
}

/// Calls `sink` with offset, place and length of each stretch of blocks in the file.
fn each_block(layer: &dyn Layer, sink: &mut dyn FnMut(u64, u64, u64)) -> Result<()> {
    let (mut offset, mut damaged) = (0, 0);
    // What lies behind that much damage counts as damaged, too.
    while offset < layer.virtual_size() && damaged < MAX_DAMAGED {
        offset = match layer.allocation(offset) {
            Ok(segment) => {
                let len = segment.len.max(1);
                if let Place::File(position) = segment.place {
                    sink(offset, position, len);
                }
                offset + len
            }
            Err(Error::Corrupt(_)) => {
                damaged += 1;
                end_of_block(layer, offset)
            }
            Err(error) => return Err(error),
        };
    }
    Ok(())
}

/// The parts of the file that were claimed so far.
enum Claims {
    /// A bit for each unit, where blocks begin at large round offsets (VHDX).
    Bits { unit: u64, words: Vec<u64> },
    /// Blocks of one size that begin anywhere (VHD): where they do in units, ascending, and which are claimed.
    Starts { unit: u64, head: u64, cost: u64, starts: Vec<u32>, claimed: Vec<bool> },
}

impl Claims {
    fn new(layer: &dyn Layer, structures: &Structures, end: u64) -> Result<Self> {
        let unit = structures.alignment.max(1);
        if unit >= BITMAP_UNIT {
            let words = (end.div_ceil(unit)).min(MAX_UNITS).div_ceil(64);
            let words = usize::try_from(words).expect("at most MAX_UNITS / 64");
            return Ok(Self::Bits { unit, words: vec![0; words] });
        }
        let head = structures.block_head;
        let mut starts = Vec::new();
        each_block(layer, &mut |_, position, _| {
            // A VHD's sector numbers have 32 bits.
            starts.extend(u32::try_from(position.saturating_sub(head) / unit).ok());
        })?;
        starts.sort_unstable();
        starts.dedup();
        let claimed = vec![false; starts.len()];
        Ok(Self::Starts { unit, head, cost: layer.growth().block_cost, starts, claimed })
    }

    /// Takes `range` of the file, or nothing of it when a part of it is taken already.
    fn claim(&mut self, range: Range<u64>) -> bool {
        match self {
            Self::Bits { unit, words } => {
                let (first, last) = (range.start / *unit, range.end.div_ceil(*unit));
                if last > words.len() as u64 * 64 {
                    return false;
                }
                let free = masks(first..last).all(|(index, mask)| words[index] & mask == 0);
                if free {
                    masks(first..last).for_each(|(index, mask)| words[index] |= mask);
                }
                free
            }
            Self::Starts { unit, head, cost, starts, claimed } => {
                let start = range.start.saturating_sub(*head) / *unit;
                let found = u32::try_from(start).ok().and_then(|start| starts.binary_search(&start).ok());
                let Some(index) = found else { return false };
                let overlaps = index > 0 && (start - u64::from(starts[index - 1])) * *unit < *cost;
                !overlaps && !std::mem::replace(&mut claimed[index], true)
            }
        }
    }

    /// Calls `sink` with what is claimed, ascending.
    fn each(&self, sink: &mut dyn FnMut(Range<u64>)) {
        match self {
            Self::Bits { unit, words } => {
                for (index, word) in words.iter().enumerate() {
                    let mut bit = 0;
                    while bit < 64 {
                        let rest = word >> bit;
                        if rest == 0 {
                            break;
                        }
                        let first = bit + rest.trailing_zeros();
                        let last = first + (word >> first).trailing_ones();
                        let at = |bit: u32| (index as u64 * 64 + u64::from(bit)) * unit;
                        sink(at(first)..at(last));
                        bit = last;
                    }
                }
            }
            Self::Starts { unit, cost, starts, .. } => {
                for start in starts {
                    let start = u64::from(*start) * unit;
                    sink(start..start + cost);
                }
            }
        }
    }
}

/// The words that `bits` touch, each with its part of them. The caller knows that the words exist.
fn masks(bits: Range<u64>) -> impl Iterator<Item = (usize, u64)> {
    (bits.start / 64..bits.end.div_ceil(64)).map(move |word| {
        let (from, to) = (bits.start.max(word * 64), bits.end.min(word * 64 + 64));
        let mask = u64::MAX >> (64 - (to - from)) << (from - word * 64);
        (usize::try_from(word).expect("below the number of words"), mask)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_claimed_once_and_listed_in_order() {
        let mut claims = Claims::Bits { unit: 1, words: vec![0; 4] };
        assert!(claims.claim(60..130) && claims.claim(0..1) && claims.claim(255..256));
        assert!(!claims.claim(129..131) && !claims.claim(0..256) && !claims.claim(250..257));
        assert!(claims.claim(130..131));
        let mut claimed = Vec::new();
        claims.each(&mut |range| claimed.push(range));
        let joined = claimed.iter().fold(Vec::<Range<u64>>::new(), |mut all, range| {
            match all.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => all.push(range.clone()),
            }
            all
        });
        assert_eq!(joined, [0..1, 60..131, 255..256]);
    }

    #[test]
    fn blocks_that_begin_anywhere_may_not_overlap() {
        let starts = vec![2, 7, 9, 20];
        let claimed = vec![false; 4];
        let mut claims = Claims::Starts { unit: 512, head: 512, cost: 5 * 512, starts, claimed };
        let mut claim = |sector: u64| claims.claim((sector + 1) * 512..(sector + 5) * 512);
        assert!(claim(2) && claim(7) && claim(20));
        assert!(!claim(9), "begins inside the one at 7");
        assert!(!claim(2), "twice");
        assert!(!claim(3), "unknown");
    }

    #[test]
    fn what_is_neither_block_nor_structure_is_unused() {
        let mut file_usage = FileUsage::default();
        file_usage.add_unused(0..100, &[0..10, 20..30, 90..120], None);
        assert_eq!((file_usage.unused, file_usage.unused_on_host), (70, 70));
        file_usage.add_unused(5..8, &[0..10, 10..10], None);
        assert_eq!(file_usage.unused, 70);
        file_usage.add_unused(200..210, &[0..10, 10..10], Some(&HostMap::default()));
        assert_eq!((file_usage.unused, file_usage.unused_on_host), (80, 70));
    }
}
