//! Random writes, discards, commits, flushes and reopenings beside a plain buffer. `VHDMOUNT_WRITES=N` does N times as much.

use super::*;
use crate::{bytes::MemorySource, container::redo};

/// Operations on each disk in an ordinary run.
const ORDINARY: u64 = 50;

struct Random(u64);

impl Random {
    fn below(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below
    }
}

/// A disk, and what it holds.
struct Pair {
    name: String,
    file: Arc<MemoryFile>,
    parent: Option<Arc<dyn ByteSource>>,
    options: WriteOptions,
    disk: Option<WritableDisk>,
    plain: Vec<u8>,
    random: Random,
}

impl Pair {
    fn new(name: &str, plan: &Plan, options: &WriteOptions) -> Self {
        let size = plan.virtual_size;
        // A parent that is smaller than its child.
        let parent_bytes = pattern(size * 3 / 4, 99);
        let is_child = plan.kind == Kind::Differencing;
        let parent: Option<Arc<dyn ByteSource>> =
            is_child.then(|| Arc::new(MemorySource(parent_bytes.clone())) as Arc<dyn ByteSource>);
        let mut plain = if is_child { parent_bytes } else { Vec::new() };
        plain.resize(usize::try_from(size).unwrap(), 0);
        let mut pair = Self {
            name: name.to_owned(),
            file: Arc::new(MemoryFile::new(made(plan, &[]))),
            parent,
            options: WriteOptions { redo: Some(Arc::new(MemoryFile::default())), ..options.clone() },
            disk: None,
            plain,
            random: Random(name.bytes().fold(1469, |sum: u64, byte| sum.wrapping_mul(31) + u64::from(byte))),
        };
        pair.open();
        pair
    }

    fn open(&mut self) {
        self.disk = None;
        self.disk = Some(
            WritableDisk::open(self.file.clone(), self.parent.clone().map(Below::unverified), &self.options)
                .unwrap(),
        );
    }

    fn disk(&self) -> &WritableDisk {
        self.disk.as_ref().unwrap()
    }

    /// A range, in whole sectors mostly.
    fn range(&mut self, most: u64) -> (u64, usize) {
        let size = self.plain.len() as u64;
        let unit = [1, 512, 4096, 4096][usize::try_from(self.random.below(4)).unwrap()];
        let most = [4096, 40_000, most][usize::try_from(self.random.below(3)).unwrap()].min(most);
        // Some places are hot.
        let around = if self.random.below(2) == 0 { size } else { size.min(200_000) };
        let at = self.random.below(around) / unit * unit;
        let len = (self.random.below(most) / unit + 1) * unit;
        (at, usize::try_from(len.min(size - at)).unwrap())
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        match self.random.below(8) {
            0 => vec![0; len],
            _ => pattern(len as u64, self.random.below(u64::MAX)),
        }
    }

    fn step(&mut self, most: u64) {
        match self.random.below(20) {
            0..10 => {
                let (at, len) = self.range(most);
                let bytes = self.bytes(len);
                self.disk().write_all_at(at, &bytes).unwrap();
                let at = usize::try_from(at).unwrap();
                self.plain[at..at + len].copy_from_slice(&bytes);
            }
            10..12 => {
                let (at, len) = self.range(most * 4);
                self.disk().discard(at, len as u64).unwrap();
                let at = usize::try_from(at).unwrap();
                self.plain[at..at + len].fill(0);
            }
            12..15 => self.transaction(most),
            15..17 => self.disk().flush().unwrap(),
            17 => self.reopen(),
            _ => self.compare_part(most),
        }
    }

    fn transaction(&mut self, most: u64) {
        let disk = self.disk.take().unwrap();
        let mut transaction = disk.begin();
        let mut plain = self.plain.clone();
        for _ in 0..self.random.below(6) {
            let (at, len) = self.range(most / 4 + 1);
            let from = usize::try_from(at).unwrap();
            if self.random.below(5) == 0 {
                transaction.discard(at, len as u64).unwrap();
                plain[from..from + len].fill(0);
            } else {
                let bytes = self.bytes(len);
                transaction.write(at, &bytes).unwrap();
                plain[from..from + len].copy_from_slice(&bytes);
            }
        }
        if self.random.below(4) > 0 {
            let (at, len) = self.range(most);
            let mut bytes = vec![0; len];
            transaction.read_exact_at(at, &mut bytes).unwrap();
            let at = usize::try_from(at).unwrap();
            assert!(bytes == plain[at..at + len], "{}: inside a transaction", self.name);
            transaction.commit().unwrap();
            self.plain = plain;
        }
        self.disk = Some(disk);
    }

    fn reopen(&mut self) {
        match self.random.below(3) {
            0 => self.disk.take().unwrap().close().unwrap(),
            1 => self.disk().flush().unwrap(),
            // What was not flushed may be lost; what was is there.
            _ => {
                self.disk().flush().unwrap();
                let (at, len) = self.range(20_000);
                let bytes = pattern(len as u64, 5);
                self.disk().write_all_at(at, &bytes).unwrap();
                let mut now = vec![0; len];
                self.disk().read_exact_at(at, &mut now).unwrap();
                let at = usize::try_from(at).unwrap();
                self.plain[at..at + len].copy_from_slice(&bytes);
                self.disk().flush().unwrap();
            }
        }
        self.compare_all();
        self.open();
    }

    fn compare_part(&mut self, most: u64) {
        let (at, len) = self.range(most);
        let mut bytes = vec![0xee; len];
        self.disk().read_exact_at(at, &mut bytes).unwrap();
        let from = usize::try_from(at).unwrap();
        if let Some(wrong) = (0..len).find(|index| bytes[*index] != self.plain[from + index]) {
            panic!("{}: byte {:#x} is {:#x}", self.name, at + wrong as u64, bytes[wrong]);
        }
    }

    /// As others read the file, after a flush.
    fn compare_all(&self) {
        let mut content: Arc<dyn ByteSource> = Arc::new(self.file.content());
        if let Some(redo) = &self.options.redo
            && let Some(over) = redo::laid_over(content.clone(), &**redo).unwrap()
        {
            content = over;
        }
        assert_eq!(problems_of(&content), [""; 0], "{}", self.name);
        let disk = read_source(content, self.parent.as_ref());
        let bytes = read_vec(&*disk, 0, self.plain.len()).unwrap();
        if let Some(wrong) = (0..bytes.len()).find(|index| bytes[*index] != self.plain[*index]) {
            panic!("{}: byte {wrong:#x} is {:#x} for others", self.name, bytes[wrong]);
        }
    }
}

fn operations() -> u64 {
    std::env::var("VHDMOUNT_WRITES").map_or(1, |times| times.parse::<u64>().expect("a number")) * ORDINARY
}

pub(super) fn compare(name: &str, plan: &Plan, options: &WriteOptions, most: u64) {
    let mut pair = Pair::new(name, plan, options);
    for _ in 0..operations() {
        pair.step(most);
    }
    pair.disk().flush().unwrap();
    pair.compare_all();
    pair.disk.take().unwrap().close().unwrap();
    pair.compare_all();
    let source = pair.file.content();
    let opened = open_source(Arc::new(source), &OpenOptions { force_parent: true, ..OpenOptions::default() });
    let log = opened.unwrap().infos().next().unwrap().log;
    assert!(matches!(log, None | Some(container::LogState::Clean)), "{name}");
}

pub(super) fn ways() -> Vec<(&'static str, WriteOptions)> {
    let small = Some(128 << 10);
    vec![
        ("logged", WriteOptions::default()),
        ("logged, small log", WriteOptions { log_limit: small, ..WriteOptions::default() }),
        ("switched", WriteOptions { commit: CommitMode::Switched, ..WriteOptions::default() }),
        (
            "switched, small log",
            WriteOptions { commit: CommitMode::Switched, log_limit: small, ..WriteOptions::default() },
        ),
    ]
}

#[test]
fn dynamic_disks_hold_what_was_written() {
    for (way, options) in ways() {
        for (size, block) in [(5 * MIB + 512, MIB), (9 * MIB, 2 * MIB), (512, MIB), (40 * MIB, 32 * MIB)] {
            compare(&format!("dynamic {size} {block} {way}"), &dynamic(size, block), &options, 300_000);
        }
        let plan = Plan { logical_sector_size: 4096, ..dynamic(6 * MIB + 4096, MIB) };
        compare(&format!("dynamic 4096 {way}"), &plan, &options, 300_000);
    }
}

#[test]
fn fixed_disks_hold_what_was_written() {
    for (way, options) in ways() {
        let plan = Plan { kind: Kind::Fixed, ..dynamic(5 * MIB + 1024, MIB) };
        compare(&format!("fixed {way}"), &plan, &options, 300_000);
    }
}

#[test]
fn children_hold_what_was_written_and_their_parents() {
    for (way, options) in ways() {
        for (size, block) in [(5 * MIB + 512, MIB), (9 * MIB, 2 * MIB), (1024, MIB)] {
            compare(&format!("child {size} {block} {way}"), &child(size, block), &options, 300_000);
        }
        let plan = Plan { logical_sector_size: 4096, ..child(6 * MIB + 4096, MIB) };
        compare(&format!("child 4096 {way}"), &plan, &options, 300_000);
    }
}

#[test]
fn large_blocks_hold_what_was_written() {
    for (way, options) in ways() {
        compare(&format!("dynamic 256 {way}"), &dynamic(20 * MIB, 256 * MIB), &options, 100_000);
        compare(&format!("child 256 {way}"), &child(20 * MIB, 256 * MIB), &options, 100_000);
    }
}
