//! What each format does to write into an existing image: the contract between [`super::write::WritableDisk`], which every
//! user has, and the writers of the formats. Readers reach none of it.

mod changes;

use std::sync::Arc;

pub use changes::{Change, Changes};

use crate::{
    Error, Result,
    bytes::{Backing, Extent},
};

/// How an image is written.
#[derive(Clone, Default)]
pub struct WriteOptions {
    /// Where the data of a commit goes.
    pub commit: CommitMode,
    /// Most bytes of a VHDX log that are in use at a time; the whole log if `None`. A small one is emptied often.
    pub log_limit: Option<u64>,
    /// For what has no log (VHD, raw): the file beside the image that makes commits whole. Without it they are refused.
    pub redo: Option<Arc<dyn Backing>>,
    /// When what is written becomes visible to those who open the image.
    pub publish: Publish,
}

/// When what is written becomes visible to those who open the image later, and survives a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Publish {
    /// With each flush.
    #[default]
    Sync,
    /// At the end alone: until then the image is as it was, whatever happens; then all of it is there. A flush only hands the data to the
    /// host.
    Unmount,
}

/// The refusal of a session that is published at its end, on an image whose blocks have their places once and for all.
pub(super) fn fixed_at_end() -> Error {
    Error::unsupported(
        "publishing at the end alone needs an image that can have a block in another place: a raw or fixed image has not; write into an \
         overlay, or publish with each sync",
    )
}

/// Where the data of a commit goes before it is visible. Either way all of it becomes visible at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CommitMode {
    /// Into the log with the metadata, where it fits; else as [`Self::Switched`].
    #[default]
    Logged,
    /// Into fresh blocks, which replace the old ones: the log has nothing but pages of the block table and of bitmaps, as the
    /// letter of the specification has it.
    Switched,
}

/// A writer of one format. Offsets and lengths are whole sectors inside the disk, which the caller checks, and calls that
/// change something come one at a time.
///
/// After an error other than [`crate::Error::Invalid`], with which a request is refused before anything was done, only reads follow:
/// what the file holds then opens as after a power cut.
pub(super) trait ImageWriter: Send + Sync {
    /// The size that the guest sees, in bytes.
    fn size(&self) -> u64;

    /// Bytes per logical sector: what is written is old or new in units of this.
    fn sector_size(&self) -> u32;

    /// Fills `buf` with what the guest sees: every write so far, and the parent below.
    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<()>;

    /// How the bytes from `offset` on are stored, and how far.
    fn extent(&self, offset: u64) -> Result<Extent>;

    /// Writes without an order: until a flush each sector is old or new after a power cut.
    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Makes the range read as zeros, and gives back its space where the format can.
    fn discard(&mut self, offset: u64, len: u64) -> Result<()>;

    /// Makes all changes visible at once: after a power cut all of them are there or none. Earlier commits come first.
    fn commit(&mut self, changes: &Changes) -> Result<()>;

    /// The file that a flush syncs first; `None` where a flush syncs nothing.
    fn synced_file(&self) -> Option<&Arc<dyn Backing>>;

    /// Returns when everything so far survives a power cut.
    fn flush(&mut self) -> Result<()>;

    /// Flushes, and leaves the file as one that was closed properly.
    fn close(&mut self) -> Result<()>;
}
