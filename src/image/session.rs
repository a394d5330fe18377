//! The image of a session: its volumes are read through the disk that is written.

use std::{sync::Arc, time::SystemTime};

use super::{Image, OpenOptions};
use crate::{Result, bytes::ByteSource, container::session::WritingSession, fs::Timestamp};

impl Image {
    /// The disk of a session with its partitions and volumes as they are now. Volumes keep what they read at opening: after writes
    /// to a volume's bytes it is opened anew.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn of_session(session: &WritingSession, options: &OpenOptions) -> Result<Self> {
        let disk: Arc<dyn ByteSource> = session.disk().clone();
        let time = Timestamp::from(SystemTime::now());
        let image = Self::assemble(session.container().clone(), disk, time, options)?;
        let origin = std::path::absolute(session.path()).ok().map(|path| (path, options.absolute()));
        Ok(Self { origin, ..image })
    }
}
