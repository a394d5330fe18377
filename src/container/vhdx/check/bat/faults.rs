//! Describes the faults of entries. Neighbours with the same fault become one finding: a file that was cut off has
//! thousands of them.

use super::{super::super::bat::Geometry, Owner};
use crate::{
    check::{Finding, FindingSink, Severity},
    container::findings::span,
};

pub(super) const SHARED: &str = "at most one of them has its own data, the others show what is not theirs; restore the disk from a \
                                 backup, or check the files with a program that knows their checksums";

/// A fault of an entry, with the file offset or other values that describe it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    ReservedState(u64),
    ReservedBits(u64),
    PartialWithoutParent,
    OnStructures(u64),
    BeyondEnd(u64),
    CutOff(u64),
    Short(u64),
    BehindDisk,
    BitmapState(u64),
    BitmapWithoutParent,
    /// First and last block that need it.
    NoBitmap(u64, u64),
    /// The other owner, and the shared file offset.
    Shared(Owner, u64),
}

/// Most faults reported one by one; a table of 64 million bad entries should be checked in seconds.
const MAX_REPORTED: u64 = 10_000;

/// Reports faults, with neighbours merged.
pub(super) struct Runs<'r> {
    report: &'r mut dyn FindingSink,
    geometry: Geometry,
    pending: Option<Run>,
    reported: u64,
    /// Number of entries whose faults are only counted.
    withheld: u64,
}

struct Run {
    first: Owner,
    last: u64,
    fault: Fault,
}

impl<'r> Runs<'r> {
    pub(super) fn new(report: &'r mut dyn FindingSink, geometry: Geometry) -> Self {
        Self { report, geometry, pending: None, reported: 0, withheld: 0 }
    }

    pub(super) fn progress(&mut self, step: &str, done: u64, total: u64) {
        self.report.progress(step, done, total);
    }

    /// Reports a finding that does not concern an entry.
    pub(super) fn finding(&mut self, finding: Finding) {
        self.flush();
        self.report.finding(finding);
    }

    /// Adds a fault of an entry; entries must ascend.
    pub(super) fn add(&mut self, owner: Owner, fault: Fault) {
        if let Some(run) = &mut self.pending
            && run.fault.is_like(fault)
            && owner.follows(run)
        {
            run.last += 1;
            return;
        }
        self.flush();
        self.pending = Some(Run { first: owner, last: owner.number(), fault });
    }

    /// Reports the pending run.
    pub(super) fn flush(&mut self) {
        let Some(run) = self.pending.take() else { return };
        self.reported += 1;
        if self.reported > MAX_REPORTED {
            self.withheld += run.last - run.first.number() + 1;
            return;
        }
        let (severity, problem, meaning) = run.fault.describe();
        let structure = run.structure();
        let problem = match run.affected(&self.geometry) {
            Some(affected) => format!("{problem} ({affected})"),
            None => problem,
        };
        self.report.finding(Finding::new(severity, structure, problem, meaning));
    }
}

impl Runs<'_> {
    /// Reports the pending run and the number of faults that were only counted.
    pub(super) fn finish(&mut self) {
        self.flush();
        if self.withheld > 0 {
            let problem = format!("{} more entries are damaged", self.withheld);
            let meaning = "a table with so much damage was overwritten; restore the disk from a backup";
            self.report.finding(Finding::error("VHDX BAT", problem, meaning));
        }
    }
}

impl Owner {
    fn number(self) -> u64 {
        match self {
            Self::Block(number) | Self::Bitmap(number) => number,
        }
    }

    fn follows(self, run: &Run) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&run.first) && self.number() == run.last + 1
    }

    fn name(self) -> String {
        match self {
            Self::Block(number) => format!("block {number}"),
            Self::Bitmap(chunk) => format!("sector bitmap {chunk}"),
        }
    }
}

impl Run {
    fn structure(&self) -> String {
        match (self.first, self.last) {
            (first, last) if last == first.number() => format!("VHDX BAT entry of {}", first.name()),
            (Owner::Block(first), last) => format!("VHDX BAT entries of blocks {first} to {last}"),
            (Owner::Bitmap(first), last) => format!("VHDX BAT entries of sector bitmaps {first} to {last}"),
        }
    }

    /// The bytes of the disk that the fault affects.
    fn affected(&self, geometry: &Geometry) -> Option<String> {
        let blocks = match (self.first, self.fault) {
            (_, Fault::BehindDisk | Fault::ReservedBits(_) | Fault::BitmapWithoutParent) => return None,
            (_, Fault::NoBitmap(first, last)) => first..last + 1,
            (Owner::Block(first), _) => first..self.last + 1,
            (Owner::Bitmap(first), _) => {
                first * geometry.chunk_ratio()..(self.last + 1) * geometry.chunk_ratio()
            }
        };
        let byte = |block: u64| block.saturating_mul(geometry.block_size).min(geometry.virtual_size);
        Some(span(byte(blocks.start)..byte(blocks.end)))
    }
}

impl Fault {
    /// True when two neighbours differ only in their places.
    fn is_like(self, other: Self) -> bool {
        match (self, other) {
            (Self::ReservedState(one), Self::ReservedState(other))
            | (Self::ReservedBits(one), Self::ReservedBits(other))
            | (Self::BitmapState(one), Self::BitmapState(other)) => one == other,
            (Self::Shared(one, _), Self::Shared(other, _)) => one == other,
            (Self::NoBitmap(..), _) => false,
            (one, other) => std::mem::discriminant(&one) == std::mem::discriminant(&other),
        }
    }

    fn describe(self) -> (Severity, String, &'static str) {
        use Severity::{Error, Note, Warning};
        match self {
            Self::ReservedState(state) => {
                (Error, format!("state {state}, which no version defines"), "the block cannot be read")
            }
            Self::ReservedBits(bits) => (
                Warning,
                format!("reserved bits are set ({bits:#x})"),
                "they are ignored; some program wrote what it should not",
            ),
            Self::PartialWithoutParent => (
                Error,
                "partially present, in a disk that has no parent".into(),
                "the block cannot be read: where its other sectors are is not known",
            ),
            Self::OnStructures(at) => (
                Error,
                format!("at byte {at:#x} of the file, where its own structures are"),
                "the block cannot be read: its place is lost",
            ),
            Self::BeyondEnd(at) => (
                Error,
                format!("at byte {at:#x}, beyond the end of the file"),
                "the file was cut off or the entry is damaged: what the guest wrote there is lost",
            ),
            Self::CutOff(at) => (
                Error,
                format!("at byte {at:#x}; the file ends inside"),
                "the file was cut off: the rest of what the guest wrote there is lost",
            ),
            Self::Short(at) => (
                Note,
                format!("at byte {at:#x}; the file ends inside, behind the last byte of the disk"),
                "nothing is missing that the disk has",
            ),
            Self::BehindDisk => {
                (Warning, "not zero, though the disk ends before it".into(), "nothing reads it")
            }
            Self::BitmapState(state) => (
                Error,
                format!("state {state}, which no version defines"),
                "the partially present blocks of this chunk cannot be read",
            ),
            Self::BitmapWithoutParent => {
                (Warning, "not empty, in a disk that has no parent".into(), "nothing reads it")
            }
            Self::NoBitmap(first, last) => (
                Error,
                format!(
                    "not there, though block {first}{} needs it",
                    if last > first { " and others" } else { "" }
                ),
                "which sectors are the parent's is not known: the partially present blocks cannot be read",
            ),
            Self::Shared(other, at) => {
                (Error, format!("claims byte {at:#x} of the file, which is that of {}", other.name()), SHARED)
            }
        }
    }
}
