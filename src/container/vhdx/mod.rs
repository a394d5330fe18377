//! Virtual Hard Disk v2 (MS-VHDX): fixed, dynamic and differencing.
//!
//! Opening reads the headers, replays a dirty log into memory, then reads the region table and the metadata. The block
//! table and the sector bitmaps are paged in on demand.

mod bat;
mod bitmap;
pub(super) mod check;
pub(super) mod create;
mod format;
mod header;
mod log;
mod metadata;
mod parent;
mod region;
#[cfg(test)]
mod tests;
pub(super) mod write;

use std::sync::Arc;

use self::{
    bat::{Bat, Block, Fault},
    bitmap::Bitmaps,
    header::Header,
    metadata::Metadata,
    region::Regions,
};
use super::{Format, Growth, Kind, Layer, LayerInfo, Place, Segment, Structures};
use crate::{
    Error, Result,
    bytes::{ByteSource, read_vec},
    error,
    guid::Guid,
};

pub use parent::ParentLocator;

/// How to open an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenOptions {
    /// Replay a dirty log (in memory; the file is never written). Without replay the disk is read as the file stores it,
    /// which may be inconsistent.
    pub replay: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { replay: true }
    }
}

/// One VHDX file.
pub struct Vhdx {
    source: Arc<dyn ByteSource>,
    bat: Bat,
    bitmaps: Bitmaps,
    virtual_size: u64,
    growth: Growth,
    structures: Structures,
    data_write_guid: Guid,
    parent: Option<ParentLocator>,
    info: LayerInfo,
}

/// True when a file begins with the VHDX signature.
pub fn detect(head: &[u8]) -> bool {
    head.starts_with(format::FILE_SIGNATURE)
}

/// The DataWriteGuid in a file's current header.
///
/// # Errors
/// When neither header is valid, or the source cannot be read.
pub fn data_write_guid(source: &dyn ByteSource) -> Result<Guid> {
    Ok(Header::read_current(source, &mut Vec::new())?.data_write_guid)
}

/// True when the file has lost its signature, but has a valid header, which signature and checksum identify.
pub fn detect_damaged(source: &dyn ByteSource) -> bool {
    Header::read_current(source, &mut Vec::new()).is_ok()
}

/// Finds the remains of a VHDX without headers: the offset of the metadata region, which usually begins 1 or 2 MiB after
/// the header section.
pub fn find_remains(source: &dyn ByteSource) -> Option<u64> {
    const SEARCHED: u64 = 64;
    (1..=SEARCHED).map(|mib| mib * format::MIB).find(|offset| {
        read_vec(source, *offset, format::METADATA_SIGNATURE.len())
            .is_ok_and(|bytes| bytes == *format::METADATA_SIGNATURE)
    })
}

/// Opens an image; `path` becomes [`LayerInfo::path`].
///
/// # Errors
/// [`Error::Corrupt`] when a structure is damaged on which the whole disk depends, or the log cannot be replayed;
/// [`Error::Unsupported`] for unknown versions, and for unknown regions or metadata that are required.
pub fn open(file: Arc<dyn ByteSource>, path: &str, options: &OpenOptions) -> Result<Vhdx> {
    let file_size = file.size();
    if file_size < format::HEADER_SECTION {
        let problem = "the file ends inside the header section of 1 MiB: truncated";
        return Err(Error::corrupt("VHDX file", error::Place::Byte(file_size), problem));
    }
    let mut problems = Vec::new();
    let identifier = read_vec(&*file, 0, size_of::<format::FileTypeIdentifier>());
    // The identifier holds nothing that reading needs; the headers, which have checksums, decide whether this is a VHDX.
    let creator = identifier.and_then(|bytes| header::parse_identifier(&bytes)).unwrap_or_else(|error| {
        problems.push(format!("{error}: opened by its headers; other programs refuse the file"));
        String::new()
    });
    let header = Header::read_current(&*file, &mut problems)?;
    let log::Outcome { source, log, .. } = log::apply(file, &header, options.replay)?;

    let regions = Regions::read(&*source, &header.log_range(), &mut problems)?;
    let metadata = Metadata::read(&*source, &regions.metadata, &mut problems)?;
    let geometry = metadata.geometry();
    let bat = Bat::new(
        source.clone(),
        geometry,
        regions.bat.clone(),
        regions.metadata.clone(),
        header.log_range(),
    )?;
    if bat.is_truncated() {
        problems.push("the file ends inside the block table: truncated".into());
    }

    let kind = match (&metadata.parent, metadata.leave_block_allocated) {
        (Some(_), _) => Kind::Differencing,
        (None, true) => Kind::Fixed,
        (None, false) => Kind::Dynamic,
    };
    let block_size = if kind == Kind::Fixed { 0 } else { metadata.block_size };
    let growth = Growth {
        // A fixed disk has blocks as well, and a writer may have left some of them unallocated.
        block_size: metadata.block_size,
        block_cost: metadata.block_size,
        group: (kind == Kind::Differencing).then(|| (geometry.chunk_ratio(), format::BITMAP_BLOCK)),
    };
    let structures = Structures {
        reserved: vec![0..format::HEADER_SECTION, header.log_range(), regions.bat, regions.metadata],
        table: bat.range(),
        table_entry: size_of::<format::BatEntry>() as u64,
        log: header.log_range(),
        log_entry: format::LOG_ENTRY_OF_ONE_SECTOR,
        alignment: format::BAT_UNIT,
        block_head: 0,
        trailer: 0,
    };
    let info = LayerInfo {
        path: path.to_owned(),
        format: Format::Vhdx,
        kind,
        version: header.version.to_string(),
        creator,
        file_size,
        virtual_size: metadata.virtual_disk_size,
        block_size,
        logical_sector_size: metadata.logical_sector_size,
        physical_sector_size: metadata.physical_sector_size,
        disk_id: metadata.virtual_disk_id,
        data_id: Some(header.data_write_guid),
        parent_id: metadata
            .parent
            .as_ref()
            .filter(|parent| parent.raw.is_none())
            .map(|parent| parent.parent_linkage),
        parent_paths: metadata.parent.as_ref().map(ParentLocator::paths).unwrap_or_default(),
        log: Some(log),
        problems,
    };
    Ok(Vhdx {
        bitmaps: Bitmaps::new(source.clone(), metadata.logical_sector_size, metadata.virtual_disk_size),
        source,
        bat,
        virtual_size: metadata.virtual_disk_size,
        growth,
        structures,
        data_write_guid: header.data_write_guid,
        parent: metadata.parent,
        info,
    })
}

impl Vhdx {
    /// Identifies the content: a child refers to its parent by it, and it changes whenever the parent is written.
    pub fn data_write_guid(&self) -> Guid {
        self.data_write_guid
    }

    /// The parent locator of a differencing disk.
    pub fn parent(&self) -> Option<&ParentLocator> {
        self.parent.as_ref()
    }

    /// Resolves an offset. `bitmaps`: look up the sectors of partially present blocks.
    fn segment(&self, offset: u64, bitmaps: bool) -> Result<Segment> {
        if offset >= self.virtual_size {
            let size = self.virtual_size;
            return Err(Error::invalid(format!("{offset:#x} lies beyond the end of the disk ({size:#x})")));
        }
        let located = self.bat.locate(offset)?;
        let len = located.len;
        match located.block {
            Block::Zero => Ok(Segment { place: Place::Zero, len }),
            Block::Parent => Ok(Segment { place: Place::Parent, len }),
            Block::Full(start) => self.in_file(offset, start, located.within, len),
            Block::Partial(start) if bitmaps => {
                let (present, len) = self.bitmaps.lookup(&self.bat, offset, len)?;
                if present {
                    self.in_file(offset, start, located.within, len)
                } else {
                    Ok(Segment { place: Place::Parent, len })
                }
            }
            Block::Partial(start) => self.in_file(offset, start, located.within, len),
            Block::Bad(fault) => Err(self.bat.error(offset, fault)),
        }
    }

    /// The segment at `start + within`, cut off at the end of the file.
    fn in_file(&self, offset: u64, start: u64, within: u64, len: u64) -> Result<Segment> {
        let place = start.saturating_add(within);
        match self.source.size().saturating_sub(place) {
            0 => Err(self.bat.error(offset, Fault::Truncated)),
            rest => Ok(Segment { place: Place::File(place), len: len.min(rest) }),
        }
    }
}

impl Layer for Vhdx {
    fn virtual_size(&self) -> u64 {
        self.virtual_size
    }

    fn source(&self) -> &Arc<dyn ByteSource> {
        &self.source
    }

    fn resolve(&self, offset: u64) -> Result<Segment> {
        self.segment(offset, true)
    }

    fn allocation(&self, offset: u64) -> Result<Segment> {
        self.segment(offset, false)
    }

    fn growth(&self) -> Growth {
        self.growth
    }

    fn structures(&self) -> Structures {
        self.structures.clone()
    }

    fn group_place(&self, group: u64) -> Result<Option<u64>> {
        self.bat.present_bitmap(group)
    }

    fn info(&self) -> &LayerInfo {
        &self.info
    }
}
