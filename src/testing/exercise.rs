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
        check::{CheckOptions, Verdict, check_source},
    },
    json,
    map::Map,
};

/// Reads, for each step, of which the image's structures are the cause.
const MAX_READS: u64 = 20_000;
/// Bytes read for each byte stored, and for none: copies of structures, and bitmaps of the largest volumes.
const BYTES_PER_STORED: u64 = 64;
const BYTES_FOR_NONE: u64 = 32 << 20;

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
    let mut work = Work { stored: image.stored(), ..Work::default() };
    let source: Arc<dyn ByteSource> = Arc::new(image);
    let error =
        metered(&mut work, "reading", &source, |source| match Image::open_source(source, &options()) {
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
        check(&mut work, &source, error.as_ref(), sound);
    }
    work
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
    source: &Arc<dyn ByteSource>,
    run: impl FnOnce(Arc<dyn ByteSource>) -> T,
) -> T {
    let bytes = BYTES_FOR_NONE + work.stored * BYTES_PER_STORED;
    let metered = Arc::new(Metered::new(source.clone(), MAX_READS, bytes));
    let result = run(metered.clone());
    let (reads, bytes) = (metered.reads(), metered.bytes());
    assert!(!metered.exhausted(), "{step}: {reads} reads, {bytes} bytes for {} stored", work.stored);
    (work.reads, work.bytes) = (work.reads.max(reads), work.bytes.max(bytes));
    result
}

/// Examines the image. One that cannot be opened must not be reported as clean, and one that can be must be examined.
fn check(work: &mut Work, source: &Arc<dyn ByteSource>, error: Option<&Error>, sound: bool) {
    let options = CheckOptions { open: options(), partition: None, parents: true };
    let found = metered(work, "examining", source, |source| check_source(source, &options, &mut |_| {}));
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
