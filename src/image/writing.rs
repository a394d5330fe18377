//! An image that is written while it is mounted: through raw views of the disk and of its partitions. What was written is seen by the
//! volumes when they are opened anew, which is done for those that a writer may have changed, and for no others.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Content, Context, Image, OpenOptions, Opened, Probe, introduce, probe_in};
use crate::{
    Error, Result,
    container::{
        session::{SessionFiles, SessionOptions, WritingSession},
        write::WritableDisk,
    },
    partition,
    tree::Tree,
    volume::MAX_VOLUMES,
};

/// An image that is mounted writable.
pub struct WritableImage {
    disk: Arc<WritableDisk>,
    path: PathBuf,
    /// `None` once it is closed.
    session: Mutex<Option<WritingSession>>,
    options: OpenOptions,
    only: Option<u32>,
    image: Mutex<Arc<Image>>,
}

/// A stretch of the disk that the mount shows: as the raw view `NAME.raw`, and, but for the whole disk, as the directory `NAME` of its
/// files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// `disk`, `p1`
    pub name: String,
    /// Its bytes of the disk. Of a volume that lies in several stretches the whole disk.
    pub range: Range<u64>,
    /// The raw view has the bytes of this range one for one, and can be written.
    pub is_writable: bool,
}

/// What became of the volumes after a part of the disk was written.
pub struct Reopened {
    /// The mount as it is now.
    pub tree: Tree,
    /// The volumes that were opened anew, whether they can be read or not.
    pub volumes: Vec<String>,
    /// The partition table is no longer the one that the mount shows.
    pub has_other_table: bool,
}

impl WritableImage {
    /// Opens the chain whose files are open already. `only`: the partition that is shown as the root.
    ///
    /// # Errors
    /// As [`WritingSession::open`] and [`Image::open`].
    pub fn open(
        files: SessionFiles,
        options: &OpenOptions,
        write: &SessionOptions,
        only: Option<u32>,
    ) -> Result<Self> {
        let session = WritingSession::open(files, &options.container, write)?;
        let image = Image::of_session(&session, options)?;
        Ok(Self {
            disk: session.disk().clone(),
            path: session.path().to_owned(),
            session: Mutex::new(Some(session)),
            options: options.clone(),
            only,
            image: Mutex::new(Arc::new(image)),
        })
    }

    /// The disk: reads see every write.
    pub fn disk(&self) -> &Arc<WritableDisk> {
        &self.disk
    }

    /// The file that is written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The image as its volumes were opened last.
    pub fn image(&self) -> Arc<Image> {
        self.current().clone()
    }

    /// The tree that is mounted.
    ///
    /// # Errors
    /// As [`Image::tree`].
    pub fn tree(&self) -> Result<Tree> {
        self.image().tree(self.only)
    }

    /// The parts of the disk that the mount shows, the whole disk first.
    pub fn shown(&self) -> Vec<Shown> {
        let image = self.image();
        let whole = Shown { name: "disk".into(), range: 0..image.bytes().size(), is_writable: true };
        let pieces = image.opened.table.partitions.len();
        let volumes = image.opened.volumes.iter().enumerate().map(|(index, content)| Shown {
            name: content.volume.name.clone(),
            range: if index < pieces { image.opened.range_of(index) } else { whole.range.clone() },
            is_writable: index < pieces,
        });
        std::iter::once(whole.clone()).chain(volumes).collect()
    }

    /// Opens the volumes anew that have bytes of `written`. The partitions stay those of the mount: which volumes a new table has is
    /// seen by the next one.
    ///
    /// # Errors
    /// When the only volume that is shown cannot be read any more.
    pub fn reopen(&self, written: &Range<u64>) -> Result<Reopened> {
        let (image, volumes) = self.image().opened_anew(written, &self.options);
        let has_other_table = image.has_other_table();
        let image = Arc::new(image);
        *self.current() = image.clone();
        let tree = match image.tree(self.only) {
            Err(error) if self.only.is_some() => {
                log::warn!("{error}; the raw views stay");
                image.tree(None)?
            }
            tree => tree?,
        };
        Ok(Reopened { tree, volumes, has_other_table })
    }

    /// As [`WritingSession::checkpoint`]; nothing once it is closed.
    ///
    /// # Errors
    /// As [`WritingSession::checkpoint`].
    pub fn checkpoint(&self) -> Result<()> {
        match &*self.session() {
            Some(session) => session.checkpoint(),
            None => Err(Error::invalid("the image was closed")),
        }
    }

    /// Publishes what was written, and closes the files; reads go on.
    ///
    /// # Errors
    /// As [`WritingSession::close`].
    pub fn close(&self) -> Result<()> {
        let session = self.session().take();
        session.map_or(Ok(()), WritingSession::close)
    }

    fn session(&self) -> MutexGuard<'_, Option<WritingSession>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> MutexGuard<'_, Arc<Image>> {
        self.image.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Opened {
    /// The bytes of the disk that a partition has.
    fn range_of(&self, partition: usize) -> Range<u64> {
        let (start, volume) = (self.table.partitions[partition].start, &self.volumes[partition].volume);
        start..start.saturating_add(volume.bytes.size())
    }

    /// A number that no volume has, and none had lately.
    fn next_number(&self, last: u64) -> u64 {
        let count = MAX_VOLUMES as u64;
        let free = |number: &u64| self.volumes.iter().all(|content| content.number != *number);
        // With as many volumes as there are numbers each keeps its own.
        (0..count).map(|step| (last + step) % count + 1).find(free).unwrap_or(last)
    }
}

impl Image {
    /// The same disk and partitions; the volumes that have bytes of `written` are opened anew. Returns their names as well.
    fn opened_anew(&self, written: &Range<u64>, options: &OpenOptions) -> (Self, Vec<String>) {
        let (old, mut names) = (&self.opened, Vec::new());
        let context = Context { volumes: old.table.partitions.len(), ..Context::default() };
        let mut last_number = old.last_number;
        let volumes = old.volumes.iter().enumerate().map(|(index, content)| {
            let is_piece = index < old.table.partitions.len();
            let range = if is_piece { old.range_of(index) } else { 0..u64::MAX };
            if range.start >= written.end || written.start >= range.end {
                return content.clone();
            }
            names.push(content.volume.name.clone());
            last_number = old.next_number(last_number);
            let probe = probe_in(&content.volume.bytes, &options.fs, &context)
                .unwrap_or_else(|error| Probe::Damaged { name: "unreadable", error });
            Arc::new(Content { volume: content.volume.clone(), probe, number: last_number })
        });
        let volumes: Vec<_> = volumes.collect();
        introduce(&context, &volumes);
        let opened = Opened {
            container: old.container.clone(),
            bytes: old.bytes.clone(),
            table: old.table.clone(),
            volumes,
            last_number,
        };
        let image = Self {
            opened: Arc::new(opened),
            list_deleted: self.list_deleted,
            time: self.time,
            host: self.host.clone(),
            origin: self.origin.clone(),
        };
        (image, names)
    }

    /// True when the disk's table now names other partitions than those of this image.
    fn has_other_table(&self) -> bool {
        let places = |table: &partition::Table| -> Vec<_> {
            table.partitions.iter().map(|part| (part.number, part.start, part.size)).collect()
        };
        let sector_size = self.opened.container.logical_sector_size();
        partition::scan(&self.opened.bytes, sector_size)
            .is_ok_and(|now| places(&now) != places(&self.opened.table))
    }
}

#[cfg(test)]
mod tests;
