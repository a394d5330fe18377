//! Containers: what turns the bytes of image files into one virtual disk.
//!
//! A format *resolves* a virtual offset to a place ([`Layer::resolve`]); [`Disk`] does the I/O for a whole chain.

mod chain;
pub mod check;
pub mod create;
pub mod detect;
mod disk;
mod findings;
mod fingerprint;
mod flat;
mod host_file;
mod image;
mod locks;
mod log_state;
mod open;
mod opened;
mod options;
pub mod parent_path;
mod pending;
mod plan;
pub mod raw;
pub mod redo;
mod refusal;
pub mod session;
mod split;
pub mod vhd;
pub mod vhdx;
pub mod write;
mod writer;

use std::{ops::Range, sync::Arc};

pub use chain::{names, parent_folders, similar_name};
pub use disk::Disk;
pub use fingerprint::{Fingerprint, RawParent};
pub use host_file::open_file;
pub use log_state::LogState;
pub use open::{describe, describe_alone, open, open_chain, open_source};
pub use opened::Container;
pub use options::OpenOptions;
pub use plan::{NewParent, Plan};
use serde::Serialize;

use crate::{Result, bytes::ByteSource, guid::Guid};

/// One image file of a chain: a map from offsets of the virtual disk to places in the file.
pub trait Layer: Send + Sync {
    /// The size that the guest sees, in bytes.
    fn virtual_size(&self) -> u64;

    /// The bytes that [`Place::File`] means: the file, with a replayed log over it.
    fn source(&self) -> &Arc<dyn ByteSource>;

    /// Where the bytes from `offset` on lie, and for how long: at least 1 byte, as long as cheaply known.
    /// Must not panic for any offset below [`Self::virtual_size`]; offsets beyond are [`crate::Error::Invalid`].
    ///
    /// # Errors
    /// When the block table or a sector bitmap is damaged there or cannot be read.
    fn resolve(&self, offset: u64) -> Result<Segment>;

    /// As [`Self::resolve`], but of allocation alone: [`Place::File`] for every block that the file holds, whatever
    /// its sector bitmap says, else [`Place::Zero`] or [`Place::Parent`].
    ///
    /// # Errors
    /// As [`Self::resolve`].
    fn allocation(&self, offset: u64) -> Result<Segment>;

    /// What growing by one block costs.
    fn growth(&self) -> Growth;

    /// Where the format's own structures lie in the file; nothing for a format without any.
    fn structures(&self) -> Structures {
        Structures::default()
    }

    /// The place in the file of what [`Growth::group`] adds to a group of blocks, if the group has it already.
    ///
    /// # Errors
    /// When the table is damaged there or cannot be read.
    fn group_place(&self, _group: u64) -> Result<Option<u64>> {
        Ok(None)
    }

    /// What `info` shows.
    fn info(&self) -> &LayerInfo;
}

/// Where a stretch of the virtual disk lies, seen from one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In this layer's [`Layer::source`], from this byte offset on.
    File(u64),
    /// Reads as zeros.
    Zero,
    /// In the parent; beyond the parent's end that means zeros. Where the parent is missing it is an error.
    Parent,
}

/// A stretch in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Where.
    pub place: Place,
    /// Bytes, at least 1, never beyond the virtual disk's end.
    pub len: u64,
}

/// The host bytes that an unallocated block needs when the guest writes to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Growth {
    /// Virtual bytes in a block; where nothing grows but holes (raw, fixed VHD) the unit is irrelevant: 1.
    pub block_size: u64,
    /// Bytes of the file that a new block takes: the payload and what the format adds to each block.
    pub block_cost: u64,
    /// Where the format adds something for a group of blocks (VHDX: a sector-bitmap block per chunk of a differencing
    /// disk): blocks per group and bytes.
    pub group: Option<(u64, u64)>,
}

/// The format's own parts of an image file, as far as its growth touches them: in a sparse file they may be holes, too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Structures {
    /// Everything that is not blocks: headers, log, metadata, block table. Empty where the format has no blocks.
    pub reserved: Vec<Range<u64>>,
    /// The block table, as far as it is used.
    pub table: Range<u64>,
    /// What a new block writes to the table.
    pub table_entry: u64,
    /// The log that a writer goes around in.
    pub log: Range<u64>,
    /// What a new block writes to the log.
    pub log_entry: u64,
    /// Blocks begin at multiples of this.
    pub alignment: u64,
    /// What lies in front of each block's payload and belongs to it (VHD's sector bitmap).
    pub block_head: u64,
    /// What follows the last block at the end of the file (VHD's footer).
    pub trailer: u64,
}

/// The file format of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// No container: the bytes are the disk.
    Raw,
    /// Virtual Hard Disk 1.0.
    Vhd,
    /// Virtual Hard Disk v2 (MS-VHDX).
    Vhdx,
}

/// How a layer stores the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Every byte has its place.
    Fixed,
    /// Blocks are allocated as they are written.
    Dynamic,
    /// Only what differs from the parent.
    Differencing,
}

/// What `info` shows of a layer; what a format lacks is empty or `None`. Sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerInfo {
    /// The image file; empty for a source without a path.
    pub path: String,
    /// File format.
    pub format: Format,
    /// Fixed, dynamic or differencing.
    pub kind: Kind,
    /// The format's version (`1.0`, `1`).
    pub version: String,
    /// What wrote it (`Microsoft Windows 10.0.19041.1`, `qemu`).
    pub creator: String,
    /// Length of the image file.
    pub file_size: u64,
    /// The size that the guest sees.
    pub virtual_size: u64,
    /// Allocation unit; 0 for fixed and raw.
    pub block_size: u64,
    /// Bytes per logical sector, 0 when the format does not say (raw).
    pub logical_sector_size: u32,
    /// Bytes per physical sector, 0 when the format does not say.
    pub physical_sector_size: u32,
    /// Identity of the virtual disk (VHDX: virtual disk id; VHD: unique id).
    pub disk_id: Option<Guid>,
    /// Identity of the content, which a child's linkage names (VHDX: DataWriteGuid; VHD: unique id).
    pub data_id: Option<Guid>,
    /// The linkage to the parent: the identity expected of it.
    pub parent_id: Option<Guid>,
    /// Where the image says that its parent is, in its own words.
    pub parent_paths: Vec<String>,
    /// The log; `None` where the format has none.
    pub log: Option<LogState>,
    /// What was found damaged or odd, and how it was got around.
    pub problems: Vec<String>,
}
