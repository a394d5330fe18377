//! A hive: its base block, its logs, and the way to its keys.

use std::sync::Arc;

use super::{Replay, base_block::Base, bins, cells::Cells, format, logs};
use crate::{
    Error, Place, Result,
    bytes::{ByteSource, read_vec},
};

/// A hive.
pub struct Hive {
    pub(super) cells: Cells,
    pub(super) root: u32,
    pub(super) minor: u32,
    last_written: u64,
    replay: Replay,
}

impl Hive {
    /// Opens a hive without logs. A hive whose last write was not finished is read as it is: see [`Self::replay`].
    ///
    /// # Errors
    /// As [`Self::open_with_logs`].
    pub fn open(source: Arc<dyn ByteSource>) -> Result<Self> {
        Self::open_with_logs(source, &[])
    }

    /// Opens a hive. If its last write was not finished, `logs` (`.LOG`, `.LOG1` and `.LOG2`, in this order) are applied in memory; what
    /// became of that, [`Self::replay`] says. An empty log is no log.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the base block (and that of the logs) or the first hive bin is invalid; [`Error::Unsupported`] for
    /// versions that no Windows writes.
    pub fn open_with_logs(source: Arc<dyn ByteSource>, logs: &[Arc<dyn ByteSource>]) -> Result<Self> {
        let len = source.size().min(format::BASE_BLOCK);
        let block = read_vec(&*source, 0, usize::try_from(len).expect("at most 4096"))?;
        let own = Base::parse(&block);
        let stored = logs.iter().fold(source.size(), |sum, log| sum.saturating_add(log.size()));
        let dirty = own.as_ref().map_or(true, Base::is_dirty);
        let (source, base, replay) = match dirty {
            false => (source, own?, Replay::NotNeeded),
            true => match logs::apply(&source, own.as_ref().ok(), logs) {
                Ok(replayed) => (replayed.source, replayed.base, replayed.replay),
                Err(reason) => (source, own?, Replay::Impossible { reason }),
            },
        };
        base.check_version()?;
        let there = source.size().saturating_sub(format::BASE_BLOCK);
        let first =
            if there >= format::BIN_HEADER { read_vec(&*source, format::BASE_BLOCK, 4)? } else { vec![] };
        if first != b"hbin" {
            return Err(Error::corrupt("registry hive", Place::Byte(format::BASE_BLOCK), "no hive bin"));
        }
        let size = match base.intact {
            true => base.bins.into(),
            // The size may be what is damaged: the bins themselves say how far they go.
            false => bins::end(&*source, there).max(base.bins.into()),
        };
        Ok(Self {
            cells: Cells::new(source, there.min(size), base.minor, stored),
            root: base.root,
            minor: base.minor,
            last_written: base.last_written,
            replay,
        })
    }

    /// What became of the logs.
    pub fn replay(&self) -> &Replay {
        &self.replay
    }

    /// The last write was not finished, and no log completes it: the hive is read as it is.
    pub fn is_dirty(&self) -> bool {
        matches!(self.replay, Replay::Impossible { .. })
    }

    /// When the hive was written last, as FILETIME.
    pub fn last_written(&self) -> u64 {
        self.last_written
    }

    /// The hive as a file, with its logs applied.
    pub fn bytes(&self) -> &Arc<dyn ByteSource> {
        &self.cells.source
    }
}
