//! What users run, on one image: open, information, walks with everything that a mount is asked, copies into memory,
//! deleted files, orphans, the map, the examination. Work is bounded by what the image stores.

use std::sync::Arc;

use super::walk::{Trust, touch, walk};
use crate::{
    Error,
    bytes::{
        ByteSource,
        testing::{Metered, Sparse},
    },
    container,
    image::{
        Image, OpenOptions,
        check::{CheckOptions, Verdict, check_chain},
    },
    json,
    map::Map,
};

/// Reads, for each step, of which the image's structures are the cause.
const MAX_READS: u64 = 20_000;
/// Bytes read for each byte stored, and for none: copies of structures, and bitmaps of the largest volumes.
const BYTES_PER_STORED: u64 = 64;
const BYTES_FOR_NONE: u64 = 32 << 20;

/// Bytes of memory for each byte stored, the image and its generator included, and for none: caches, and bitmaps of the
/// largest volumes.
const MEMORY_PER_STORED: u64 = 16;
const MEMORY_FOR_NONE: u64 = 64 << 20;

/// The most that was needed.
#[derive(Debug, Default, Clone, Copy)]
pub struct Work {
    /// The image could be opened.
    pub opened: bool,
    /// Bytes that the image stores.
    pub stored: u64,
    /// Reads of the step with the most.
    pub reads: u64,
    /// Bytes read in the step with the most.
    pub bytes: u64,
}

impl Work {
    /// Compares the most memory that a body held with what its image stores.
    ///
    /// # Panics
    /// When it is too much.
    pub fn allows_memory(&self, peak: usize) {
        let most = MEMORY_FOR_NONE + self.stored * MEMORY_PER_STORED;
        assert!(peak as u64 <= most, "{peak} bytes of memory for {} stored", self.stored);
    }
}

/// Options that show everything.
pub(super) fn options() -> OpenOptions {
    let container = container::OpenOptions { replay: true, ..container::OpenOptions::default() };
    let mut fs = crate::fs::Options::default();
    (fs.show_system, fs.list_deleted) = (true, true);
    OpenOptions { container, fs }
}

/// What is run on an image that was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The others, one after the other.
    All,
    Walk,
    Check,
    Survey,
}

/// Runs one step or all on an image. `sound`: nothing is wrong with it, so everything must succeed.
///
/// # Panics
/// When something is wrong with the library.
pub(super) fn image(image: Sparse, step: Step, sound: bool) -> Work {
    chain(vec![image], step, sound)
}

/// The same for a chain of images, top first.
pub(super) fn chain(images: Vec<Sparse>, step: Step, sound: bool) -> Work {
    let mut work = Work { stored: images.iter().map(Sparse::stored).sum(), ..Work::default() };
    let sources = images.into_iter().map(|image| Arc::new(image) as Arc<dyn ByteSource>);
    let sources: Vec<Arc<dyn ByteSource>> = sources.collect();
    let error =
        metered(&mut work, "reading", &sources, |sources| match Image::open_chain(sources, &options()) {
            Ok(image) => {
                if matches!(step, Step::All | Step::Walk) {
                    walk_image(&image, sound);
                }
                if matches!(step, Step::All | Step::Survey) {
                    survey(&image);
                }
                None
            }
            Err(error) => Some(error),
        });
    assert!(!sound || error.is_none(), "a sound image cannot be opened: {error:?}");
    work.opened = error.is_none();
    if matches!(step, Step::All | Step::Check) {
        check(&mut work, &sources, error.as_ref(), sound);
    }
    work
}

/// Compares the disk in sound image files with what was put into them.
///
/// # Panics
/// When they differ.
pub(super) fn same_disk(disk: &Sparse, images: Vec<Sparse>) {
    let sources = images.into_iter().map(|image| Arc::new(image) as Arc<dyn ByteSource>);
    let opened = container::open_chain(sources.collect(), &options().container);
    let found = opened.unwrap_or_else(|error| panic!("a sound chain cannot be opened: {error}")).disk;
    assert_eq!(found.size(), disk.size());
    let mut end = 0;
    for (at, bytes) in disk.pieces() {
        let mut read = vec![0xee; bytes.len()];
        found.read_exact_at(at, &mut read).expect("a sound chain is read");
        assert!(read == bytes, "other bytes at {at:#x}");
        // The hole in front of it, at both ends.
        for start in [end, at.saturating_sub(512).max(end)] {
            let mut read = [0xee; 512];
            let len = usize::try_from((at - start).min(512)).expect("small");
            found.read_exact_at(start, &mut read[..len]).expect("a sound chain is read");
            assert!(read[..len].iter().all(|byte| *byte == 0), "no zeros at {start:#x}");
        }
        end = at + bytes.len() as u64;
    }
}

/// The disk and everything in the tree.
fn walk_image(image: &Image, sound: bool) {
    let disk: Arc<dyn ByteSource> = image.disk().clone();
    touch(&disk);
    if let Ok(tree) = image.tree(None) {
        walk(&tree, if sound { Trust::Sound } else { Trust::Damaged });
    }
}

/// Information, capacity, the map.
fn survey(image: &Image) {
    assert!(!json::to_text(&image.info()).is_empty());
    let _ = image.capacity().report();
    if let Ok(map) = Map::of(image, 60) {
        let size = image.disk().size();
        assert_eq!(map.disk.cells().iter().map(|cell| cell.size()).sum::<u64>(), size);
        #[cfg(feature = "cli")]
        {
            let _ = map.to_text(crate::map::Style { width: 60, colour: false });
            assert!(!map.draw("now").to_svg().is_empty());
        }
    }
}

/// Runs one step within its budget.
fn metered<T>(
    work: &mut Work,
    step: &str,
    sources: &[Arc<dyn ByteSource>],
    run: impl FnOnce(Vec<Arc<dyn ByteSource>>) -> T,
) -> T {
    let bytes = BYTES_FOR_NONE + work.stored * BYTES_PER_STORED;
    let meter = |source: &Arc<dyn ByteSource>| Arc::new(Metered::new(source.clone(), MAX_READS, bytes));
    let meters: Vec<_> = sources.iter().map(meter).collect();
    let result = run(meters.iter().map(|meter| meter.clone() as Arc<dyn ByteSource>).collect());
    for metered in meters {
        let (reads, bytes) = (metered.reads(), metered.bytes());
        assert!(!metered.exhausted(), "{step}: {reads} reads, {bytes} bytes for {} stored", work.stored);
        (work.reads, work.bytes) = (work.reads.max(reads), work.bytes.max(bytes));
    }
    result
}

/// Examines the image. One that cannot be opened must not be reported as clean, and one that can be must be examined.
fn check(work: &mut Work, sources: &[Arc<dyn ByteSource>], error: Option<&Error>, sound: bool) {
    let options = CheckOptions { open: options(), partition: None, parents: true };
    let found = metered(work, "examining", sources, |sources| check_chain(sources, &options, &mut |_| {}));
    match (error, found) {
        (Some(error), Ok(found)) if matches!(error.cause(), Error::Corrupt(_)) => {
            assert_eq!(found.verdict, Verdict::Errors, "{error}, but no error is found");
        }
        (None, Err(error)) => panic!("can be opened, but not examined: {error}"),
        (None, Ok(found)) => {
            assert!(!sound || found.verdict == Verdict::Clean, "{found:?}");
            assert!(!json::to_text(&found).is_empty());
        }
        _ => {}
    }
}
