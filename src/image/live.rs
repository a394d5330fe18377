//! The capacity of a mounted image, which may grow below the mount while a guest writes to it: when the file has changed it
//! is opened again, so that the figures are those of this moment and not of the moment of the mount.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use super::{Image, OpenOptions};
use crate::{
    Result,
    bytes::{FileId, FileSource},
    capacity::{Capacity, Report},
    container,
    fs::Usage,
    volume::Placed,
};

/// `df` and desktops ask again and again: for them the image is opened anew at most so often.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// And not longer than this part of the time.
const MAX_SHARE: u32 = 10;

/// Answers for a mounted image.
pub(super) struct Live {
    /// As it was mounted: the volumes that are shown are these.
    mounted: Arc<Capacity>,
    volumes: Vec<(String, Placed)>,
    file: Option<Arc<FileSource>>,
    origin: Option<(PathBuf, OpenOptions)>,
    current: Mutex<Current>,
}

struct Current {
    capacity: Arc<Capacity>,
    /// The same volumes in the same places as those that are mounted.
    same_volumes: bool,
    stamp: Option<Stamp>,
    /// Why the file as it is now could not be opened; empty when it was.
    problem: String,
    not_before: Instant,
}

/// Changes when the file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    len: u64,
    allocated: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(file: &FileSource) -> Option<Self> {
        let metadata = file.file().metadata().ok()?;
        #[cfg(unix)]
        let allocated = std::os::unix::fs::MetadataExt::blocks(&metadata);
        #[cfg(not(unix))]
        let allocated = 0;
        Some(Self { len: metadata.len(), allocated, modified: metadata.modified().ok() })
    }
}

/// What was found at the last look.
struct Now {
    capacity: Arc<Capacity>,
    same_volumes: bool,
    problem: String,
}

impl Live {
    pub(super) fn new(image: &Image) -> Self {
        let file = image.container().files().first().and_then(Clone::clone);
        let capacity = Arc::new(image.capacity());
        Self {
            mounted: capacity.clone(),
            volumes: volumes(image),
            current: Mutex::new(Current {
                capacity,
                same_volumes: true,
                // What a session has not published is seen by opening its file anew.
                stamp: file.as_deref().filter(|_| !image.container().is_written()).and_then(Stamp::of),
                problem: String::new(),
                not_before: Instant::now(),
            }),
            file,
            origin: image.origin.clone(),
        }
    }

    /// The report of this moment.
    pub(super) fn report(&self) -> Result<Report> {
        let now = self.look(false);
        now.capacity.report_with(&now.problem)
    }

    /// As [`Capacity::disk_usage`].
    pub(super) fn disk_usage(&self) -> Result<Usage> {
        self.look(true).capacity.disk_usage()
    }

    /// As [`Capacity::volume_usage`], of the volumes that are mounted.
    pub(super) fn volume_usage(&self, index: usize) -> Result<Usage> {
        let now = self.look(true);
        match now.same_volumes {
            true => now.capacity.volume_usage(index),
            false => self.mounted.volume_usage(index),
        }
    }

    /// Opens the image again if its file has changed; `seldom`: not more often than now and then. No lock is held meanwhile.
    fn look(&self, seldom: bool) -> Now {
        let stamp = self.file.as_deref().and_then(Stamp::of);
        {
            let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            if current.stamp == stamp || seldom && Instant::now() < current.not_before {
                return current.now();
            }
        }
        let start = Instant::now();
        let opened = self.open_again();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match opened {
            Some(Ok(image)) => {
                current.capacity = Arc::new(image.capacity());
                current.same_volumes = volumes(&image) == self.volumes;
                current.problem = image.container().pending().join("; ");
            }
            Some(Err(error)) => {
                current.problem =
                    format!("the image has changed, and now: {error}; block figures are those of before");
            }
            // Removed, or another file has taken its name: what is mounted is the old one.
            None => {}
        }
        current.stamp = stamp;
        current.not_before = Instant::now() + (start.elapsed() * MAX_SHARE).max(MIN_INTERVAL);
        current.now()
    }

    /// `None`: what the name leads to now is not the file that is mounted.
    fn open_again(&self) -> Option<Result<Image>> {
        let (path, options) = self.origin.as_ref()?;
        let id: FileId = self.file.as_ref()?.id();
        container::open_file(path, &*options.container.host).ok().filter(|file| file.id() == id)?;
        Some(Image::open(path, options))
    }
}

impl Current {
    fn now(&self) -> Now {
        Now {
            capacity: self.capacity.clone(),
            same_volumes: self.same_volumes,
            problem: self.problem.clone(),
        }
    }
}

/// Names and places of the readable volumes.
fn volumes(image: &Image) -> Vec<(String, Placed)> {
    image.readable().map(|(volume, _)| (volume.name.clone(), volume.place(0))).collect()
}
