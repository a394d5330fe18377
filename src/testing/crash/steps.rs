//! Seeded workloads: what is done to a disk, the same for the same seed.

use std::ops::Range;

use super::states::mix;

/// Something that is done to a disk, in sectors of 512 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Writes.
    Write(Range<u64>),
    /// Writes ranges that follow each other, all at once; those with `true` are zeros.
    Pieces(Vec<(Range<u64>, bool)>),
    /// Discards.
    Discard(Range<u64>),
    /// Commits a transaction: ranges that do not overlap, and whether each is discarded.
    Commit(Vec<(Range<u64>, bool)>),
    /// Flushes.
    Flush,
    /// Closes and opens again.
    Reopen,
}

/// The disk that the steps are for.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Sectors of the disk.
    pub sectors: u64,
    /// Sectors of a block; all of the disk where there are none.
    pub block: u64,
    /// Sectors of 512 bytes in a logical one.
    pub unit: u64,
    /// Most sectors that a step writes.
    pub most: u64,
    /// Whether there are transactions.
    pub commits: bool,
}

/// Steps on few places of a disk, so that they meet: edges of blocks, and blocks that are discarded while others take their places.
pub fn steps(seed: u64, count: usize, shape: &Shape) -> Vec<Step> {
    let mut random = Random(seed, 0);
    let mut steps = Vec::new();
    while steps.len() < count {
        match random.below(16) {
            0..6 => steps.push(Step::Write(range(&mut random, shape))),
            6 => steps.push(Step::Discard(range(&mut random, shape))),
            7 => exchange(&mut random, shape, &mut steps),
            8..12 if shape.commits => steps.push(Step::Commit(transaction(&mut random, shape))),
            8..11 => steps.push(Step::Write(range(&mut random, shape))),
            14 => {
                // The end of the file may be free then.
                steps.push(Step::Discard(block(&mut random, shape)));
                steps.push(Step::Reopen);
            }
            15 => steps.push(Step::Reopen),
            _ => steps.push(Step::Flush),
        }
    }
    steps.truncate(count);
    steps
}

/// Two blocks are discarded, and written in the other order: the places of each may now be the other's.
fn exchange(random: &mut Random, shape: &Shape, steps: &mut Vec<Step>) {
    let (one, other) = (block(random, shape), block(random, shape));
    let start = |block: &Range<u64>| block.start..(block.start + shape.unit).min(block.end);
    // Both are there, and the host knows it.
    steps.extend([Step::Write(start(&one)), Step::Write(start(&other)), Step::Flush]);
    steps.extend([Step::Discard(one.clone()), Step::Discard(other.clone())]);
    steps.extend([Step::Write(start(&other)), Step::Write(start(&one)), Step::Flush]);
}

fn transaction(random: &mut Random, shape: &Shape) -> Vec<(Range<u64>, bool)> {
    let mut changes: Vec<(Range<u64>, bool)> = Vec::new();
    for _ in 0..=random.below(5) {
        let discard = random.below(5) == 0;
        let range = if random.below(8) == 0 && discard { block(random, shape) } else { range(random, shape) };
        if changes.iter().all(|(other, _)| range.end <= other.start || other.end <= range.start) {
            changes.push((range, discard));
        }
    }
    changes
}

/// Sectors near the edge of a block, or at its beginning.
fn range(random: &mut Random, shape: &Shape) -> Range<u64> {
    let blocks = shape.sectors.div_ceil(shape.block);
    let unit = shape.unit;
    let len = (random.below(shape.most / unit) + 1) * unit;
    let near = random.below(16) * unit;
    let edge = random.below(blocks) * shape.block;
    let start = if random.below(2) == 0 { edge + near } else { edge.saturating_sub(near) };
    let start = start.min(shape.sectors - unit);
    start..(start + len).min(shape.sectors)
}

fn block(random: &mut Random, shape: &Shape) -> Range<u64> {
    let number = random.below(shape.sectors.div_ceil(shape.block));
    number * shape.block..((number + 1) * shape.block).min(shape.sectors)
}

struct Random(u64, u64);

impl Random {
    fn below(&mut self, below: u64) -> u64 {
        self.1 += 1;
        mix(self.0, self.1) % below.max(1)
    }
}
