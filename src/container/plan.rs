//! What a new image is to be, whether its format can be that, and what a format says of the places in it.

use std::ops::Range;

use crate::{
    Error, Result,
    container::{Format, Kind, fingerprint::RawParent},
    guid::Guid,
    size::human,
};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// Block size of both formats where nothing else is asked for: what Windows uses for VHD, and for a VHDX with a parent. A larger
/// one makes a thin disk thicker.
const BLOCK: u64 = 2 * MIB;
/// MS-VHDX 2.6.2.2
const MAX_VHDX: u64 = 64 << 40;
/// The largest VHD that Windows attaches.
const MAX_VHD: u64 = 2040 * GIB;

/// A new image.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The file format.
    pub format: Format,
    /// Differencing if and only if there is a parent. A raw image is always fixed.
    pub kind: Kind,
    /// The size that the guest sees, in bytes.
    pub virtual_size: u64,
    /// Bytes of a block; ignored where there are none.
    pub block_size: u64,
    /// Bytes per logical sector: 512, or 4096 (VHDX).
    pub logical_sector_size: u32,
    /// Bytes per physical sector (VHDX): 512 or 4096.
    pub physical_sector_size: u32,
    /// Identity of the disk (VHDX: virtual disk id; VHD: unique id).
    pub disk_id: Guid,
    /// Identity of the content (VHDX: DataWriteGuid), and what else in the file needs to differ from every other file.
    pub data_id: Guid,
    /// When it is made: seconds since 2000-01-01 UTC.
    pub time: u32,
    /// The parent of a differencing image.
    pub parent: Option<NewParent>,
    /// The parent is a raw image (VHDX): what takes the place of its identity.
    pub raw_parent: Option<RawParent>,
    /// Bytes of a VHDX's log, whole MiB.
    pub log_length: u64,
}

/// The parent of a new differencing image, as the child names it.
#[derive(Debug, Clone)]
pub struct NewParent {
    /// VHDX: the parent's DataWriteGuid; VHD: its unique id.
    pub identity: Guid,
    /// Its path from the child's folder on, in the form of Windows: `.\base.vhdx`.
    pub relative_path: Option<String>,
    /// Its full path on Windows: `C:\disks\base.vhdx`.
    pub absolute_path: Option<String>,
    /// Its modification time in seconds since 2000-01-01 UTC; VHD alone.
    pub time: u32,
}

impl Plan {
    /// A dynamic image with the format's usual sizes and a new identity.
    pub fn new(format: Format, virtual_size: u64, time: u32) -> Self {
        Self {
            format,
            kind: if format == Format::Raw { Kind::Fixed } else { Kind::Dynamic },
            virtual_size,
            block_size: BLOCK,
            logical_sector_size: 512,
            physical_sector_size: if format == Format::Vhdx { 4096 } else { 512 },
            disk_id: Guid::random(),
            data_id: Guid::random(),
            time,
            parent: None,
            raw_parent: None,
            log_length: MIB,
        }
    }

    /// # Errors
    /// [`Error::Invalid`] for what the format cannot be.
    pub(super) fn validate(&self) -> Result<()> {
        let (size, sector) = (self.virtual_size, u64::from(self.logical_sector_size));
        let invalid = |text: String| Err(Error::invalid(text));
        if size == 0 {
            return invalid("a disk of 0 bytes".into());
        }
        let (name, most, blocks) = match self.format {
            Format::Raw => return Ok(()),
            Format::Vhdx => ("VHDX", MAX_VHDX, MIB..=256 * MIB),
            Format::Vhd => ("VHD", MAX_VHD, 64 * KIB..=256 * MIB),
        };
        if size > most {
            return invalid(format!("{size} bytes: a {name} has at most {} ({most} bytes)", human(most)));
        }
        let sectors: &[u64] = if self.format == Format::Vhdx { &[512, 4096] } else { &[512] };
        if !sectors.contains(&sector) {
            let known: Vec<_> = sectors.iter().map(u64::to_string).collect();
            return invalid(format!(
                "sectors of {sector} bytes: a {name} has sectors of {}",
                known.join(" or ")
            ));
        }
        if !size.is_multiple_of(sector) {
            return invalid(format!("{size} bytes are not a multiple of the sector size, {sector} bytes"));
        }
        if self.format == Format::Vhdx && ![512, 4096].contains(&self.physical_sector_size) {
            return invalid(format!("physical sectors of {} bytes", self.physical_sector_size));
        }
        let has_blocks = self.format == Format::Vhdx || self.kind != Kind::Fixed;
        if has_blocks && !(blocks.contains(&self.block_size) && self.block_size.is_power_of_two()) {
            return invalid(format!(
                "blocks of {} bytes: a {name} has blocks of {} to {}, a power of two",
                self.block_size,
                human(*blocks.start()),
                human(*blocks.end())
            ));
        }
        if self.format == Format::Vhd && has_blocks {
            // The table has the numbers of sectors in 32 bits.
            let blocks = size.div_ceil(self.block_size);
            let most = blocks * (self.block_size + self.block_size / 4096 + 4096) + MIB;
            if most / 512 >= u32::MAX.into() {
                return invalid(format!(
                    "{} in blocks of {}: more than 2 TiB of file, beyond which a VHD cannot point; take larger blocks",
                    human(size),
                    human(self.block_size)
                ));
            }
        }
        if !(MIB..=256 * MIB).contains(&self.log_length) || !self.log_length.is_multiple_of(MIB) {
            return invalid(format!("a log of {} bytes", self.log_length));
        }
        if self.raw_parent.is_some() && self.format != Format::Vhdx {
            return invalid("only a VHDX can name a raw image as its parent".into());
        }
        match (self.kind == Kind::Differencing, &self.parent) {
            (true, Some(parent)) if parent.relative_path.is_none() && parent.absolute_path.is_none() => {
                invalid("a differencing image needs a path to its parent".into())
            }
            (true, Some(_)) | (false, None) => Ok(()),
            (true, None) => invalid("a differencing image needs a parent".into()),
            (false, Some(_)) => invalid("only a differencing image has a parent".into()),
        }
    }
}

/// Where the blocks of a new image go, and its structures.
pub(super) trait Blocks: Send {
    /// Virtual bytes of a block.
    fn block_size(&self) -> u64;

    /// Bytes from the beginning of one block's payload to that of the next.
    fn stride(&self) -> u64;

    /// The offset of the first block's payload in the file.
    fn first(&self) -> u64;

    /// The end of the structures in front of the blocks, when there are none yet.
    fn end_without_blocks(&self) -> u64;

    /// What lies directly in front of each block's payload.
    fn head(&self) -> &[u8];

    /// The entry of a block whose payload is at `at` in the file: its offset in the file, and its bytes.
    fn entry(&self, block: u64, at: u64) -> (u64, Vec<u8>);

    /// The range of the block table in the file, and the byte of which it consists before any block has an entry.
    fn table(&self) -> (Range<u64>, u8);

    /// Everything else, with its offset. `end` is the end of the last block.
    fn structures(&self, end: u64) -> Vec<(u64, Vec<u8>)>;

    /// The length of the file whose last block ends at `end`.
    fn file_size(&self, end: u64) -> u64;
}
