//! What costs as much as is stored, and not as much as the disk could hold; and sessions that change much of a disk at once.

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use super::*;

const TIB: u64 = 1 << 40;

/// A file that counts what is asked of it.
struct Counted {
    file: MemoryFile,
    operations: AtomicU64,
}

impl Counted {
    fn new(content: Sparse) -> Arc<Self> {
        Arc::new(Self { file: MemoryFile::new(content), operations: AtomicU64::new(0) })
    }

    fn count(&self) -> &MemoryFile {
        self.operations.fetch_add(1, Relaxed);
        &self.file
    }
}

impl ByteSource for Counted {
    fn size(&self) -> u64 {
        self.file.size()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.count().read_exact_at(offset, buf)
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.count().extent_at(offset)
    }
}

impl ByteSink for Counted {
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.count().write_all_at(offset, bytes)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.count().set_len(len)
    }

    fn reserve(&self, range: Range<u64>) -> Result<()> {
        self.count().reserve(range)
    }

    fn flush(&self) -> Result<()> {
        self.count().flush()
    }
}

impl Backing for Counted {
    fn punch_hole(&self, range: Range<u64>) -> Result<()> {
        self.count().punch_hole(range)
    }

    fn release(&self, range: Range<u64>) -> Result<()> {
        self.count().release(range)
    }
}

#[test]
fn discarding_64_tib_costs_what_is_stored() {
    for (publish, is_child) in
        [(Publish::Sync, false), (Publish::Sync, true), (Publish::Unmount, false), (Publish::Unmount, true)]
    {
        let mut below = Sparse::new(64 * TIB);
        below.write(9 * TIB, &pattern(512, 1));
        let below: Arc<dyn ByteSource> = Arc::new(below);
        let plan = if is_child { child(64 * TIB, 2 * MIB) } else { dynamic(64 * TIB, 2 * MIB) };
        let places = [0, 5 * TIB + 512, 64 * TIB - 4096];
        let file = Counted::new(made(&plan, &[]));
        let parent = is_child.then(|| Below::unverified(below.clone()));
        let options = WriteOptions { publish, ..WriteOptions::default() };
        let open = || WritableDisk::open(file.clone(), parent.clone(), &options).unwrap();
        let disk = open();
        for place in places {
            disk.write_all_at(place, &pattern(4096, place)).unwrap();
        }
        disk.close().unwrap();
        let disk = open();
        let before = file.operations.load(Relaxed);
        disk.discard(0, 64 * TIB).unwrap();
        let operations = file.operations.load(Relaxed) - before;
        assert!(operations < 100, "{publish:?} {is_child}: {operations}");
        for place in places.into_iter().chain([9 * TIB]) {
            assert_eq!(read_vec(&disk, place, 512).unwrap(), [0; 512]);
        }
        disk.close().unwrap();
        let read = read_only(file.file.content(), is_child.then_some(&below));
        assert!(places.into_iter().chain([9 * TIB]).all(|at| read_vec(&*read, at, 512).unwrap() == [0; 512]));
        // In one step as well.
        let disk = open();
        let mut transaction = disk.begin();
        transaction.discard(0, 64 * TIB).unwrap();
        transaction.commit().unwrap();
        disk.close().unwrap();
        assert!(file.operations.load(Relaxed) - before < 400);
    }
}

#[test]
fn what_a_discard_frees_inside_the_file_goes_back_to_the_host() {
    for publish in [Publish::Sync, Publish::Unmount] {
        let file = Arc::new(MemoryFile::new(made(&dynamic(64 * MIB, MIB), &[])));
        let options = WriteOptions { publish, ..WriteOptions::default() };
        let open = || WritableDisk::open(file.clone(), None, &options).unwrap();
        let disk = open();
        for block in 0..8 {
            disk.write_all_at(block * MIB, &pattern(MIB, block + 1)).unwrap();
        }
        disk.close().unwrap();
        let stored = |file: &MemoryFile| -> u64 {
            file.content()
                .pieces()
                .map(|(_, bytes)| bytes.iter().filter(|byte| **byte != 0).count() as u64)
                .sum()
        };
        let (len, before) = (file.size(), stored(&file));
        let disk = open();
        disk.discard(MIB, 6 * MIB).unwrap();
        disk.close().unwrap();
        // The last block keeps the length.
        assert_eq!(file.size(), len);
        assert!(stored(&file) < before - 5 * MIB, "{} of {before}", stored(&file));
        assert_eq!(
            read_vec(&*read_only(file.content(), None), 7 * MIB, 512).unwrap(),
            pattern(MIB, 8)[..512]
        );
    }
}

/// Touches the disk in so many pages of the block table, and closes it; returns how many went well.
fn touch(
    file: &Arc<MemoryFile>,
    plan: &Plan,
    pages: u64,
    parent: Option<&Arc<dyn ByteSource>>,
) -> (u64, Result<()>) {
    let options = WriteOptions { publish: Publish::Unmount, ..WriteOptions::default() };
    let disk = WritableDisk::open(file.clone(), parent.cloned().map(Below::unverified), &options).unwrap();
    // A page has 512 entries.
    let step = plan.block_size * 512;
    let mut written = 0;
    let outcome = (0..pages).try_for_each(|page| {
        disk.write_all_at(page * step, &pattern(512, page + 1))?;
        written += 1;
        Ok(())
    });
    disk.close().unwrap();
    (written, outcome)
}

#[test]
fn session_that_publishes_at_its_end_switches_as_many_pages_as_the_log_takes() {
    // qemu reads 126 pages from one entry.
    let plan = dynamic(TIB, MIB);
    let file = Arc::new(MemoryFile::new(made(&plan, &[])));
    let (written, outcome) = touch(&file, &plan, 200, None);
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::Invalid(_)) && error.to_string().contains("126 pages"), "{error}");
    let read = read_only(file.content(), None);
    let holds = |page: u64| read_vec(&*read, page * 512 * MIB, 512).unwrap() == pattern(512, page + 1);
    assert!((120..=126).contains(&written), "{written}");
    assert!((0..written).all(holds) && !holds(written), "what was accepted is there");
    assert!(problems_of(&(Arc::new(file.content()) as Arc<dyn ByteSource>)).is_empty());

    // A child's log takes more, in an entry whose descriptors fill several sectors.
    let parent: Arc<dyn ByteSource> = Arc::new(Sparse::new(TIB));
    let plan = Plan { log_length: 4 * MIB, ..child(TIB, MIB) };
    let file = Arc::new(MemoryFile::new(made(&plan, &[])));
    assert_eq!(touch(&file, &plan, 400, Some(&parent)).0, 400);
    let read = read_only(file.content(), Some(&parent));
    assert!((0..400).all(|page| read_vec(&*read, page * 512 * MIB, 512).unwrap() == pattern(512, page + 1)));
    let log = file.content();
    let header = read_vec(&log, MIB + 4096, 64).unwrap();
    let descriptors = u32::from_le_bytes(header[24..28].try_into().unwrap());
    assert!(&header[..4] == b"loge" && descriptors >= 400, "one entry: {descriptors}");
    assert!(problems_of(&(Arc::new(log) as Arc<dyn ByteSource>)).is_empty());
}

#[test]
fn session_that_publishes_at_its_end_equals_a_plain_buffer() {
    for plan in [
        dynamic(12 * MIB, MIB),
        child(12 * MIB, MIB),
        Plan { kind: Kind::Dynamic, ..Plan::new(Format::Vhd, 12 * MIB, 0) },
    ] {
        let parent: Option<Arc<dyn ByteSource>> = (plan.kind == Kind::Differencing)
            .then(|| Arc::new(crate::bytes::MemorySource(pattern(9 * MIB, 77))) as Arc<dyn ByteSource>);
        let file = Arc::new(MemoryFile::new(made(&plan, &[])));
        let redo: Arc<dyn Backing> = Arc::new(MemoryFile::default());
        let mut plain = parent.as_ref().map_or_else(Vec::new, |_| pattern(9 * MIB, 77));
        plain.resize(usize::try_from(12 * MIB).unwrap(), 0);
        let mut state = 5_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        for _ in 0..6 {
            let options = WriteOptions {
                publish: Publish::Unmount,
                redo: Some(redo.clone()),
                ..WriteOptions::default()
            };
            let below = parent.clone().map(Below::unverified);
            let disk = WritableDisk::open(file.clone(), below, &options).unwrap();
            for step in 0..60 {
                let len = if random(4) == 0 { random(3 * MIB) } else { random(20_000) } + 1;
                let at = random(12 * MIB - len);
                let range = usize::try_from(at).unwrap()..usize::try_from(at + len).unwrap();
                if random(4) == 0 {
                    disk.discard(at, len).unwrap();
                    plain[range].fill(0);
                } else {
                    let bytes = pattern(len, step);
                    disk.write_all_at(at, &bytes).unwrap();
                    plain[range].copy_from_slice(&bytes);
                }
                if random(8) == 0 {
                    disk.flush().unwrap();
                    assert!(read_vec(&disk, 0, plain.len()).unwrap() == plain);
                }
            }
            disk.close().unwrap();
            let read = read_only(file.content(), parent.as_ref());
            assert!(read_vec(&*read, 0, plain.len()).unwrap() == plain);
            assert!(problems_of(&(Arc::new(file.content()) as Arc<dyn ByteSource>)).is_empty());
        }
    }
}
