//! What lies below an overlay must stay as it is: each file is locked, and looked at again at every checkpoint, as not every program
//! respects locks.

use std::{sync::Arc, time::SystemTime};

use crate::{
    Result,
    bytes::{ByteSource, FileSource},
    container::{
        image::{Identity, Image},
        locks::{self, Lock, Use},
    },
};

/// The files below the overlay.
pub(super) struct Parents(Vec<Watched>);

struct Watched {
    file: Arc<FileSource>,
    stamp: Stamp,
    _lock: Lock,
}

/// Changes when the file does.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
    identity: Option<Identity>,
}

impl Stamp {
    fn of(file: &FileSource) -> Result<Self> {
        let metadata = file
            .file()
            .metadata()
            .map_err(|error| crate::Error::io(file.path().display().to_string(), error))?;
        // A device has the times of its node, which no write changes.
        let (len, modified) = match metadata.is_file() {
            true => (metadata.len(), metadata.modified().ok()),
            false => (file.size(), None),
        };
        Ok(Self { len, modified, identity: Identity::read(file)? })
    }
}

impl Parents {
    /// Locks the files of these images against writers.
    ///
    /// # Errors
    /// When one of them is being written.
    pub(super) fn hold(images: &[Image]) -> Result<Self> {
        let files = images.iter().flat_map(|image| image.file.iter().chain(&image.pieces));
        let watched = files.map(|file| {
            let lock = locks::hold(file, Use::Read)?;
            Ok(Watched { file: file.clone(), stamp: Stamp::of(file)?, _lock: lock })
        });
        Ok(Self(watched.collect::<Result<_>>()?))
    }

    /// Why the overlay does not fit what lies below it any more; `None` while nothing has changed.
    pub(super) fn changed(&self) -> Option<String> {
        self.0.iter().find_map(|watched| {
            let path = watched.file.path().display();
            let what = match Stamp::of(&watched.file) {
                Err(error) => return Some(format!("{error}, below the overlay")),
                Ok(now) if now == watched.stamp => return None,
                Ok(now) if now.identity != watched.stamp.identity => "its identity is another one",
                Ok(now) if now.len != watched.stamp.len => "its length is another one",
                Ok(_) => "it was written",
            };
            Some(format!(
                "{path} has changed below the overlay ({what}). What was published before stays; it fits the old content of that file alone"
            ))
        })
    }
}
