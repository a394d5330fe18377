//! Seeded damage: copies of an image with bytes changed in its structures are opened, walked and read within bounds that
//! are counted, not timed: bytes of memory, reads and bytes of the image.

mod checksum;
mod meter;

use std::{
    ops::{ControlFlow, Range},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use vhdmount::{
    Error,
    bytes::{ByteSource, MemorySource, Overlay, Window},
    container,
    fs::{FileSystem, NodeId, NodeKind, Streams, Xattrs, deleted, orphans, probe::Probe},
    image::{
        Image, OpenOptions,
        check::{CheckOptions, Verdict, check_source},
    },
    map::{Map, Style},
    tree::Namespace,
};

use super::conformance::{Limits, Walked, visit};
pub(crate) use meter::peak_of;
pub(crate) use vhdmount::bytes::testing::Metered;

/// Most memory that an image may take, in bytes.
const MAX_MEMORY: usize = 512 << 20;
/// Most reads for opening, walking and reading a damaged copy: a hundred times those of the undamaged image. A walk ends
/// at `LIMITS` and `MAX_READ`, so more means a loop in the library.
const MAX_READS: u64 = 30_000;
const MAX_BYTES: u64 = 512 << 20;
const LIMITS: Limits = Limits { entries: 1_000, depth: 40 };
/// Bytes read of each file: damage in its run list shows at the ends and in the middle.
const MAX_READ: usize = 32 << 10;

/// A generator with the same sequence on every machine (xorshift64*).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = bound as u64;
        usize::try_from((self.next() >> 16) % bound).expect("below a usize")
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// An image to damage, and the places of its structures.
pub(crate) struct Victim {
    image: Arc<MemorySource>,
    /// Sectors with a structure known by its signature.
    structures: Vec<usize>,
    /// Sectors that are neither empty nor filled with one byte.
    sectors: Vec<usize>,
}

const SECTOR: usize = 512;

impl Victim {
    pub(crate) fn new(image: Vec<u8>) -> Self {
        let (mut structures, mut sectors) = (Vec::new(), Vec::new());
        for (index, sector) in image.chunks(SECTOR).enumerate() {
            if sector.iter().all(|byte| *byte == sector[0]) {
                continue;
            }
            sectors.push(index * SECTOR);
            const SIGNATURES: [&[u8]; 13] = [
                b"FILE",
                b"INDX",
                b"RCRD",
                b"vhdxfile",
                b"head",
                b"regi",
                b"metadata",
                b"loge",
                b"conectix",
                b"cxsparse",
                b"EFI PART",
                b"\xeb\x52\x90NTFS",
                b"RRaA",
            ];
            let boot = sector.ends_with(&[0x55, 0xaa]);
            if boot || SIGNATURES.iter().any(|signature| sector.starts_with(signature)) {
                // A record's second sector belongs to it.
                structures.extend([index * SECTOR, ((index + 1) * SECTOR).min(image.len() - 1)]);
            }
        }
        assert!(!sectors.is_empty(), "an empty image");
        Self { image: Arc::new(MemorySource(image)), structures, sectors }
    }

    fn bytes(&self) -> &[u8] {
        &self.image.0
    }

    /// A copy with `changes` places changed, and a description of the changes for the message.
    fn mutated(&self, random: &mut Random, changes: usize) -> (Overlay, String) {
        let mut patches: Vec<(usize, Vec<u8>)> = Vec::new();
        for _ in 0..changes {
            let sector = match (random.below(2), &self.structures[..]) {
                (0, structures @ [_, ..]) => random.pick(structures),
                _ => random.pick(&self.sectors),
            };
            // Headers lie at the start of a structure.
            let within = if random.below(2) == 0 { 96 } else { SECTOR };
            let at = (sector + random.below(within)).min(self.bytes().len() - 1);
            patches.push((at, self.change(random, at)));
        }
        let mut copy = Overlay::new(self.image.clone(), self.image.size());
        patches.iter().for_each(|(at, bytes)| copy.put(*at as u64, bytes));
        // Half of the copies get valid checksums, so that damage reaches the fields that checksums protect.
        if random.below(2) == 0 {
            for (at, bytes) in patches.clone() {
                patches.extend(checksum::repair(self.bytes(), at, &bytes, &copy));
            }
            patches.iter().for_each(|(at, bytes)| copy.put(*at as u64, bytes));
        }
        let text = patches.iter().map(|(at, bytes)| format!("{at:#x}={bytes:02x?}"));
        (copy, text.collect::<Vec<_>>().join(" "))
    }

    /// New bytes for the place, of kinds that parsers often handle wrongly.
    fn change(&self, random: &mut Random, at: usize) -> Vec<u8> {
        let old = &self.bytes()[at..];
        let width = random.pick(&[1, 1, 2, 4, 8]).min(old.len());
        let old = &old[..width];
        match random.below(6) {
            0 => old
                .iter()
                .enumerate()
                .map(|(i, b)| if i == 0 { b ^ (1 << random.below(8)) } else { *b })
                .collect(),
            1 => (0..width).map(|_| random.byte()).collect(),
            2 => vec![random.pick(&[0x00, 0xff]); width],
            // 1, the largest signed number and the smallest, little- and big-endian.
            3 => (0..width).map(|i| u8::from(i == 0)).collect(),
            4 => (0..width).map(|i| if i == width - 1 { random.pick(&[0x7f, 0x80]) } else { 0xff }).collect(),
            // Bytes that are valid elsewhere: a signature, a pointer, a length.
            _ => {
                let from = random.pick(&self.sectors) + at % SECTOR;
                let from = from.min(self.bytes().len() - width);
                self.bytes()[from..from + width].to_vec()
            }
        }
    }
}

/// The greatest consumption over all damaged copies.
#[derive(Debug, Default)]
pub(crate) struct Worst {
    pub(crate) copies: usize,
    /// Number of copies that could be opened.
    pub(crate) opened: usize,
    pub(crate) memory: usize,
    pub(crate) reads: u64,
    pub(crate) bytes: u64,
}

/// Opens damaged copies with `changes` places changed in total.
pub(crate) fn mutate(name: &str, image: Vec<u8>, changes: usize) -> Worst {
    let victim = Victim::new(image);
    let mut worst = Worst::default();
    let (mut done, mut case) = (0, 0);
    while done < changes {
        case += 1;
        let mut random = Random::new(case);
        let now = random.pick(&[1, 2, 4, 8]).min(changes - done);
        done += now;
        let (copy, what) = victim.mutated(&mut random, now);
        examine(Arc::new(copy), &format!("{name}, case {case}: {what}"), &mut worst);
    }
    worst
}

/// Opens the image truncated at `places` places.
pub(crate) fn truncate(name: &str, image: Vec<u8>, places: u64) -> Worst {
    let whole: Arc<dyn ByteSource> = Arc::new(MemorySource(image));
    let mut random = Random::new(0x7275_6e63);
    let mut worst = Worst::default();
    for place in 0..places {
        // Evenly spread, each moved by a random distance.
        let size = (whole.size() / places * place) + random.next() % (whole.size() / places).max(1);
        let cut = Arc::new(Window::new(whole.clone(), 0, size));
        examine(cut, &format!("{name} cut at {size:#x}"), &mut worst);
    }
    worst
}

/// Opens and reads a damaged image. Fails the test, with the case, on a panic or when a bound is exceeded.
fn examine(image: Arc<dyn ByteSource>, case: &str, worst: &mut Worst) {
    check(image.clone(), case);
    let metered = Arc::new(Metered::new(image, MAX_READS, MAX_BYTES));
    let source: Arc<dyn ByteSource> = metered.clone();
    let (opened, peak) = peak_of(|| catch_unwind(AssertUnwindSafe(|| exercise(source))));
    let Ok(opened) = opened else { panic!("panic on {case}") };
    assert!(!metered.exhausted(), "{} reads, {} bytes of {case}", metered.reads(), metered.bytes());
    assert!(peak <= MAX_MEMORY, "{peak} bytes of memory for {case}");
    worst.copies += 1;
    worst.opened += usize::from(opened);
    worst.memory = worst.memory.max(peak);
    worst.reads = worst.reads.max(metered.reads());
    worst.bytes = worst.bytes.max(metered.bytes());
}

/// Checks a damaged image within the same bounds. An image that cannot be opened must not be reported clean.
fn check(image: Arc<dyn ByteSource>, case: &str) {
    let metered = Arc::new(Metered::new(image.clone(), MAX_READS, MAX_BYTES));
    let source: Arc<dyn ByteSource> = metered.clone();
    let options = CheckOptions { open: OpenOptions::default(), partition: None, parents: true };
    let examined = || {
        check_source(source, &options, &mut |_| {})
            .map(|found| (found.verdict, found.areas[0].findings.len()))
    };
    let (examined, peak) = peak_of(|| catch_unwind(AssertUnwindSafe(examined)));
    let Ok(examined) = examined else { panic!("panic while examining {case}") };
    assert!(
        !metered.exhausted(),
        "examining: {} reads, {} bytes of {case}",
        metered.reads(),
        metered.bytes()
    );
    assert!(peak <= MAX_MEMORY, "examining: {peak} bytes of memory for {case}");
    let opened = Image::open_source(image, &options.open);
    match (opened, examined) {
        (Err(error), Ok((verdict, _))) if matches!(error.cause(), Error::Corrupt(_)) => {
            assert_eq!(verdict, Verdict::Errors, "{error}, but no error is found in {case}");
        }
        (Ok(image), Ok((_, found))) => {
            let healed = image.container().infos().flat_map(|info| info.problems.clone()).next();
            let silent = healed.filter(|_| found == 0);
            assert!(silent.is_none(), "{silent:?} is healed, but nothing is found in {case}");
        }
        (Ok(_), Err(error)) => panic!("can be opened, but not examined: {error}: {case}"),
        (Err(_), _) => {}
    }
}

/// Sends every request that a mount may receive, within limits. Errors are fine.
fn exercise(source: Arc<dyn ByteSource>) -> bool {
    let container = container::OpenOptions { replay: true, ..container::OpenOptions::default() };
    let mut fs = vhdmount::fs::Options::default();
    fs.show_system = true;
    let options = OpenOptions { container, fs };
    let Ok(image) = Image::open_source(source, &options) else { return false };
    let disk: Arc<dyn ByteSource> = image.disk().clone();
    touch(&*disk);
    for (partition, probe) in image.partitions() {
        touch(&partition.window(&disk));
        if let Probe::Readable(fs) = probe {
            exercise_volume(&**fs);
            exercise_volume(&deleted::View::new(fs.clone()));
            exercise_volume(&orphans::View::new(fs.clone()));
        }
    }
    let _ = (vhdmount::json::to_text(&image.info()), image.capacity().report());
    let style = Style { width: 80, colour: true };
    let _ = Map::of(&image, style.columns()).map(|map| (map.to_text(style), map.draw("").to_svg()));
    // The tree resolves links, which a volume by itself does not.
    if let Ok(tree) = image.tree(None) {
        visit(&tree, LIMITS, &mut |Walked { node, .. }, _| {
            if tree.stat(node).is_ok_and(|stat| stat.kind == NodeKind::Symlink) {
                let _ = tree.read_link_text(node);
            }
        });
    }
    true
}

fn exercise_volume(fs: &dyn FileSystem) {
    let _ = fs.volume();
    let _ = fs.space().usage();
    let mut ranges: Vec<Range<u64>> = Vec::new();
    let _ = fs.space().free_ranges(&mut |range| {
        ranges.push(range);
        if ranges.len() < 1_000 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    let mut nodes = vec![(fs.root(), fs.root(), String::new())];
    visit(fs, LIMITS, &mut |Walked { node, parent, path, .. }, _| nodes.push((node, parent, path)));
    for (node, parent, path) in nodes {
        let name = path.rsplit('/').next().unwrap_or_default();
        if let Some(name) = vhdmount::fs::NameBuf::from_text(name.as_bytes()) {
            let _ = fs.lookup(parent, name.as_name());
        }
        exercise_node(fs, node);
        for stream in fs.streams().list_streams(node).unwrap_or_default().iter().take(8) {
            if let Ok(Some(stream)) = fs.streams().lookup_stream(node, stream.name.as_name()) {
                exercise_node(fs, stream);
            }
        }
    }
}

fn exercise_node(fs: &dyn FileSystem, node: NodeId) {
    let kind = fs.stat(node).map(|stat| stat.kind);
    let _ = fs.parent(node);
    for name in fs.xattrs().xattr_names(node).unwrap_or_default().iter().take(32) {
        let _ = fs.xattrs().xattr(node, name);
    }
    match kind {
        Ok(NodeKind::Symlink) => drop(fs.read_link(node).map(|target| target.to_text())),
        Ok(NodeKind::File) => {
            if let Ok(content) = fs.open(node) {
                touch(&*content);
            }
        }
        _ => {}
    }
}

/// Reads the two ends and the middle, and queries their extents.
fn touch(source: &dyn ByteSource) {
    let size = source.size();
    let mut buf = vec![0; usize::try_from(size).unwrap_or(MAX_READ).min(MAX_READ)];
    let last = size - buf.len() as u64;
    for at in [0, last / 2, last] {
        let _ = source.read_exact_at(at, &mut buf);
        let _ = source.extent_at(at);
    }
    let mut at = 0;
    for _ in 0..64 {
        match source.extent_at(at) {
            Ok(extent) if extent.len > 0 => at = at.saturating_add(extent.len),
            _ => break,
        }
    }
}
