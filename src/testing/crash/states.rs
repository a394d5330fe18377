//! The states that a power cut can leave: what was flushed, and of the rest some writes, whole or torn.

use super::recording::Event;
use crate::bytes::testing::Sparse;

/// Subsets, pairs and random ones, of what is not flushed when a flush begins.
const SUBSETS: u64 = 12;
const PAIRS: u64 = 24;
/// Sizes of the sectors at which writes are torn.
const UNITS: [u64; 2] = [512, 4096];

/// The files as a power cut left them.
pub struct State {
    /// The files of the recording, in order.
    pub files: Vec<Sparse>,
    /// Events before the cut.
    pub cut: usize,
}

/// A state to be made: where the cut is, and what of that which was not flushed by then arrived.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    pub(super) cut: usize,
    pub(super) arrived: Arrived,
}

/// Indices count the events that are not flushed at the cut.
#[derive(Debug, Clone, Copy)]
pub(super) enum Arrived {
    All,
    Nothing,
    Without(usize),
    Only(usize),
    WithoutPair(usize, usize),
    /// A random half, or an eighth, or seven eighths.
    Some(u64),
    /// One write lost random sectors of this size.
    Torn(usize, u64, u64),
    /// One write lost everything from this byte of the file on.
    Cut(usize, u64),
}

/// Events by index, those of each file that no flush covers at the moment.
#[derive(Default)]
struct Pending(Vec<usize>);

impl Pending {
    fn step(&mut self, events: &[Event], at: usize) {
        match &events[at] {
            Event::Flush { file } => self.0.retain(|index| events[*index].file() != *file),
            _ => self.0.push(at),
        }
    }
}

impl Event {
    pub(super) fn file(&self) -> usize {
        match self {
            Self::Write { file, .. } | Self::SetLen { file, .. } | Self::Flush { file } => *file,
        }
    }
}

/// A number that is the same for the same two numbers (splitmix64).
pub(super) fn mix(seed: u64, number: u64) -> u64 {
    let mut z = seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Every state of a recording that is to be made, in the order of their cuts.
pub(super) fn choices(events: &[Event], seed: u64) -> Vec<Choice> {
    let mut choices = Vec::new();
    let mut pending = Pending::default();
    for cut in 0..=events.len() {
        if cut > 0 {
            pending.step(events, cut - 1);
        }
        let count = pending.0.len();
        let mut add = |arrived| choices.push(Choice { cut, arrived });
        add(Arrived::All);
        let Some(last) = count.checked_sub(1) else { continue };
        let random = |number: u64| mix(seed ^ cut as u64, number);
        let below = |number: u64| usize::try_from(random(number) % count as u64).expect("below a usize");
        let tears = |index: usize| tears(&events[pending.0[index]], index, random(index as u64));
        tears(last).into_iter().for_each(&mut add);
        add(Arrived::Some(random(1 << 20)));
        if cut < events.len() && !matches!(events[cut], Event::Flush { .. }) {
            continue;
        }
        // The most that is ever pending here: what is tried now covers the cuts before.
        add(Arrived::Nothing);
        for index in 0..count {
            add(Arrived::Without(index));
            add(Arrived::Only(index));
            tears(index).into_iter().for_each(&mut add);
        }
        for number in 0..PAIRS.min((count * count) as u64 / 4) {
            add(Arrived::WithoutPair(below(1000 + number), below(2000 + number)));
        }
        for number in 0..SUBSETS.min(count as u64) {
            add(Arrived::Some(random(3000 + number)));
        }
    }
    choices
}

/// How a write may be torn; nothing for what is no larger than a sector.
fn tears(event: &Event, index: usize, random: u64) -> Vec<Arrived> {
    let Event::Write { offset, bytes, .. } = event else { return Vec::new() };
    let mut tears = Vec::new();
    for unit in UNITS {
        let (first, last) = (offset / unit, (offset + bytes.len() as u64 - 1) / unit);
        if first < last {
            tears.push(Arrived::Cut(index, (first + 1 + random % (last - first)) * unit));
            tears.push(Arrived::Torn(index, unit, random));
        }
    }
    tears
}

/// Makes states from choices whose cuts ascend.
pub(super) struct Maker<'a> {
    events: &'a [Event],
    cut: usize,
    pending: Pending,
    flushed: Vec<Sparse>,
    /// With everything that is pending.
    now: Vec<Sparse>,
}

impl<'a> Maker<'a> {
    pub(super) fn new(initial: Vec<Sparse>, events: &'a [Event]) -> Self {
        Self { events, cut: 0, pending: Pending::default(), flushed: initial.clone(), now: initial }
    }

    pub(super) fn make(&mut self, choice: Choice) -> State {
        while self.cut < choice.cut {
            let event = &self.events[self.cut];
            apply(&mut self.now, event, |_| true);
            self.pending.step(self.events, self.cut);
            if let Event::Flush { file } = event {
                self.flushed[*file] = self.now[*file].clone();
            }
            self.cut += 1;
        }
        let files = match choice.arrived {
            Arrived::All => self.now.clone(),
            arrived => {
                let mut files = self.flushed.clone();
                for (index, at) in self.pending.0.iter().enumerate() {
                    apply(&mut files, &self.events[*at], |at| arrives(arrived, index, at));
                }
                files
            }
        };
        State { files, cut: choice.cut }
    }

    /// The choice in words. It is the last one that was made.
    pub(super) fn describe(&self, choice: Choice) -> String {
        let event = |index: usize| {
            let at = self.pending.0[index];
            match &self.events[at] {
                Event::Write { file, offset, bytes } => {
                    format!("event {at} (file {file}: {} bytes at {offset:#x})", bytes.len())
                }
                Event::SetLen { file, len } => format!("event {at} (file {file}: length {len})"),
                Event::Flush { .. } => unreachable!("a flush is never pending"),
            }
        };
        let arrived = match choice.arrived {
            Arrived::All => "everything arrived".to_owned(),
            Arrived::Nothing => "nothing that was not flushed arrived".to_owned(),
            Arrived::Without(index) => format!("all but {}", event(index)),
            Arrived::Only(index) => format!("of what was not flushed only {}", event(index)),
            Arrived::WithoutPair(one, other) => format!("all but {} and {}", event(one), event(other)),
            Arrived::Some(_) => {
                let here = (0..self.pending.0.len()).filter(|index| arrives(choice.arrived, *index, 0));
                format!("of what was not flushed only {}", here.map(event).collect::<Vec<_>>().join(", "))
            }
            Arrived::Torn(index, unit, _) => {
                format!("sectors of {unit} bytes of {} are missing", event(index))
            }
            Arrived::Cut(index, at) => format!("{} ends at {at:#x}", event(index)),
        };
        format!("cut after {} of {} events; {arrived}", choice.cut, self.events.len())
    }
}

/// Whether a pending event arrived, for a write in the sector at byte `at` of the file.
fn arrives(arrived: Arrived, index: usize, at: u64) -> bool {
    match arrived {
        Arrived::All => true,
        Arrived::Nothing => false,
        Arrived::Without(without) => index != without,
        Arrived::Only(only) => index == only,
        Arrived::WithoutPair(one, other) => index != one && index != other,
        Arrived::Some(seed) => {
            mix(seed, index as u64) % 8 < [1, 4, 7][usize::try_from(seed % 3).expect("below 3")]
        }
        Arrived::Torn(torn, unit, seed) => index != torn || mix(seed, at / unit).is_multiple_of(2),
        Arrived::Cut(torn, end) => index != torn || at < end,
    }
}

/// Applies an event, as far as the sectors of a write arrive.
fn apply(files: &mut [Sparse], event: &Event, arrives: impl Fn(u64) -> bool) {
    match event {
        Event::Flush { .. } => {}
        Event::SetLen { file, len } => {
            if arrives(0) {
                files[*file].truncate(*len);
            }
        }
        Event::Write { file, offset, bytes } => {
            let (mut at, mut rest) = (*offset, &bytes[..]);
            while !rest.is_empty() {
                let len = usize::try_from(512 - at % 512).expect("at most 512").min(rest.len());
                let (piece, behind) = rest.split_at(len);
                if arrives(at) {
                    files[*file].write(at, piece);
                }
                (at, rest) = (at + len as u64, behind);
            }
        }
    }
}
