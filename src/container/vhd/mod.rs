//! Virtual Hard Disk ("Virtual Hard Disk Image Format Specification" 1.0): fixed, dynamic, differencing.
//!
//! Practice differs from the specification in two places:
//!
//! **Sector bitmaps.** In a differencing disk a clear bit means that the sector is read from the parent. In a dynamic
//! disk the specification defines a clear bit as a sector that was never written; Windows and QEMU ignore the bitmap
//! there and return the block's content, 7-Zip returns zeros. This reader follows Windows: all written data is in the
//! block, a writer that leaves bits clear has zeros there, and honouring the bitmap would turn data into zeros.
//!
//! **Size.** Windows, Hyper-V and libvhdi use Current Size. Virtual PC and old QEMU use cylinders, heads and sectors
//! instead, which give at most the same size: the remainder stays readable. The geometry is used only where those
//! programs wrote one *larger* than Current Size and the file has room for it; otherwise the disk's end would be cut off.

mod bat;
mod blocks;
pub(super) mod check;
pub(super) mod create;
mod footer;
mod format;
mod header;
mod parent;
#[cfg(test)]
mod tests;
pub(super) mod write;

pub use parent::ParentLocators;
use std::sync::Arc;

use self::{
    bat::Bat,
    blocks::{BITMAP_BUDGET, Blocks},
    footer::{LocatedFooter, Trust},
    format::{HEADER_SIZE, SECTOR},
    header::Header,
};

use super::{Format, Growth, Kind, Layer, LayerInfo, Place, Segment, Structures};

use crate::{
    Error, Result,
    bytes::{ByteSource, boot_sector, read_vec},
    cache::Cache,
    error,
    guid::Guid,
};

/// Largest disk accepted. The format ends at 2040 GiB for dynamic disks; fixed ones beyond that exist. The limit is
/// VHDX's: a larger size is damage, and sums of offsets stay far from overflow.
const MAX_VIRTUAL_SIZE: u64 = 64 << 40;

/// An open VHD.
pub struct Vhd {
    source: Arc<dyn ByteSource>,
    info: LayerInfo,
    unique_id: Guid,
    virtual_size: u64,
    parent: Option<ParentLocators>,
    layout: Layout,
}

enum Layout {
    Fixed { data_end: u64 },
    Blocks(Blocks),
}

/// True when the file ends with a VHD footer or begins with its copy, checksum included.
pub fn detect(source: &dyn ByteSource) -> bool {
    footer::locate(source, Trust::Checksum).is_some()
}

/// As [`detect`], for a footer whose checksum is wrong but whose fields agree with the rest of the file.
pub fn detect_damaged(source: &dyn ByteSource) -> bool {
    footer::locate(source, Trust::Plausible).is_some()
}

/// The unique id in a file's footer; `None` for a file that is no VHD.
pub fn unique_id(source: &dyn ByteSource) -> Option<Guid> {
    let found = footer::locate(source, Trust::Checksum).or_else(|| footer::locate(source, Trust::Plausible));
    found.map(|found| found.footer.unique_id)
}

/// Opens a VHD; `path` is used for messages and [`LayerInfo::path`].
///
/// # Errors
/// When neither the footer nor its copy is usable, or the dynamic disk header is not.
pub fn open(file: Arc<dyn ByteSource>, path: &str) -> Result<Vhd> {
    let found = footer::locate(&*file, Trust::Checksum).or_else(|| footer::locate(&*file, Trust::Plausible));
    let found = found.ok_or_else(|| {
        let problem = "neither here nor at byte 0 (its copy) is a usable footer";
        Error::corrupt("VHD footer", error::Place::Byte(file.size().saturating_sub(SECTOR)), problem)
    })?;
    if found.footer.current_size > MAX_VIRTUAL_SIZE {
        let problem = format!("a Current Size of {} bytes", found.footer.current_size);
        return Err(Error::corrupt("VHD footer", error::Place::Byte(found.data_end), problem));
    }
    match found.footer.kind {
        Kind::Fixed => Ok(Vhd::fixed(file, path, found)),
        Kind::Dynamic | Kind::Differencing => Vhd::blocks(file, path, found),
    }
}

/// The consequence of a fixed disk whose footer states more than the file holds and which has no partition table.
const CUT_OUT: &str =
    "as in a partition that was copied out of a fixed VHD up to the file's end; nothing is missing then";

fn short(stated: u64, data_end: u64) -> String {
    format!("the footer states {stated} bytes, before it lie {data_end} without a partition table")
}

/// True when the first sector is a partition table and no boot sector of a volume: it has a signature, at least one
/// partition, and only valid boot flags.
fn begins_with_table(source: &dyn ByteSource) -> bool {
    let Ok(sector) = read_vec(source, 0, 512) else { return true };
    let entries = || sector[446..510].chunks_exact(16);
    sector[510..] == [0x55, 0xaa]
        && !boot_sector::is_filesystem(&sector)
        && entries().any(|entry| entry[4] != 0)
        && entries().all(|entry| entry[0] & 0x7f == 0)
}

impl Vhd {
    fn fixed(source: Arc<dyn ByteSource>, path: &str, mut found: LocatedFooter) -> Self {
        let data_end = found.data_end;
        let stated = virtual_size(&mut found, data_end);
        let cut_out = stated > data_end && !begins_with_table(&*source);
        let virtual_size = if cut_out { data_end } else { stated };
        if cut_out {
            found.problems.push(format!("{} ({CUT_OUT})", short(stated, data_end)));
        } else if virtual_size > data_end {
            let missing = virtual_size - data_end;
            found
                .problems
                .push(format!("the file is cut off: the last {missing} bytes of the disk are missing"));
        }
        let layout = Layout::Fixed { data_end };
        Self {
            info: info(path, &found, source.size(), virtual_size, 0, None),
            unique_id: found.footer.unique_id,
            source,
            virtual_size,
            parent: None,
            layout,
        }
    }

    fn blocks(source: Arc<dyn ByteSource>, path: &str, mut found: LocatedFooter) -> Result<Self> {
        let header_at = found.footer.data_offset;
        let bytes = read_vec(&*source, header_at, HEADER_SIZE).map_err(|e| match e {
            Error::Invalid(_) => Error::corrupt(
                "VHD dynamic disk header",
                error::Place::Byte(header_at),
                "lies beyond the end of the file",
            ),
            other => other,
        })?;
        let header = Header::parse(&bytes, header_at)?;
        if !header.checksum_matches {
            found.problems.push("the dynamic disk header's checksum is wrong".to_owned());
        }
        let mapped = u64::from(header.max_table_entries) * header.block_size;
        let virtual_size = virtual_size(&mut found, mapped);
        let needed = virtual_size.div_ceil(header.block_size);
        if mapped < virtual_size {
            let lost = virtual_size - mapped;
            found.problems.push(format!("the block allocation table is too short for the last {lost} bytes"));
        }
        let differencing = found.footer.kind == Kind::Differencing;
        let parent = differencing.then(|| ParentLocators::read(&*source, &header));
        if let Some(parent) = &parent {
            found.problems.extend(parent.problems.iter().cloned());
        }
        Ok(Self {
            info: info(path, &found, source.size(), virtual_size, header.block_size, parent.as_ref()),
            unique_id: found.footer.unique_id,
            source,
            virtual_size,
            parent,
            layout: Layout::Blocks(Blocks {
                bat: Bat::new(header.table_offset, needed.min(header.max_table_entries.into()))?,
                block_size: header.block_size,
                bitmap_size: header.bitmap_size(),
                header_at,
                bitmaps: differencing.then(|| Cache::new(BITMAP_BUDGET)),
            }),
        })
    }

    /// The disk's unique id, to which a child's linkage refers.
    pub fn unique_id(&self) -> Guid {
        self.unique_id
    }

    /// The linkage of a differencing disk to its parent.
    pub fn parent(&self) -> Option<&ParentLocators> {
        self.parent.as_ref()
    }

    fn check(&self, offset: u64) -> Result<u64> {
        match self.virtual_size.checked_sub(offset) {
            None | Some(0) => Err(Error::invalid(format!("{offset:#x} lies beyond the end of the disk"))),
            Some(rest) => Ok(rest),
        }
    }

    /// Resolves an offset for [`Layer::resolve`] and [`Layer::allocation`].
    fn segment(&self, offset: u64, with_bitmaps: bool) -> Result<Segment> {
        let rest = self.check(offset)?;
        match &self.layout {
            Layout::Fixed { data_end } => match data_end.checked_sub(offset) {
                None | Some(0) => Err(Error::corrupt(
                    "VHD data",
                    error::Place::Byte(offset),
                    "lies beyond the end of the file, which is cut off",
                )),
                Some(stored) => Ok(Segment { place: Place::File(offset), len: stored.min(rest) }),
            },
            Layout::Blocks(blocks) => {
                let segment = blocks.segment(&self.source, offset, rest, with_bitmaps)?;
                Ok(Segment { len: segment.len.min(rest), ..segment })
            }
        }
    }
}

/// The disk's size by the rule in the module header. `room`: bytes that the file or its table can describe.
fn virtual_size(found: &mut LocatedFooter, room: u64) -> u64 {
    let footer = &found.footer;
    if !footer.counts_in_geometry
        || footer.geometry_size <= footer.current_size
        || footer.geometry_size > room
    {
        return footer.current_size;
    }
    let (geometry, current) = (footer.geometry_size, footer.current_size);
    found.problems.push(format!(
        "the geometry ({geometry} bytes) is larger than Current Size ({current}): the geometry is used"
    ));
    geometry
}

fn info(
    path: &str,
    found: &LocatedFooter,
    file_size: u64,
    virtual_size: u64,
    block_size: u64,
    parent: Option<&ParentLocators>,
) -> LayerInfo {
    let footer = &found.footer;
    LayerInfo {
        path: path.to_owned(),
        format: Format::Vhd,
        kind: footer.kind,
        version: footer.version.clone(),
        creator: footer.creator.clone(),
        file_size,
        virtual_size,
        block_size,
        logical_sector_size: 512,
        physical_sector_size: 512,
        disk_id: Some(footer.unique_id),
        data_id: Some(footer.unique_id),
        parent_id: parent.map(|parent| parent.parent_unique_id),
        parent_paths: parent.map(ParentLocators::paths).unwrap_or_default(),
        log: None,
        problems: found.problems.clone(),
    }
}

impl Layer for Vhd {
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
        match &self.layout {
            Layout::Fixed { .. } => Growth { block_size: 1, block_cost: 1, group: None },
            Layout::Blocks(blocks) => Growth {
                block_size: blocks.block_size,
                block_cost: blocks.bitmap_size + blocks.block_size,
                group: None,
            },
        }
    }

    fn structures(&self) -> Structures {
        match &self.layout {
            Layout::Fixed { .. } => Structures::default(),
            Layout::Blocks(blocks) => blocks.structures(),
        }
    }

    fn info(&self) -> &LayerInfo {
        &self.info
    }
}
