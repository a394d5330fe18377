//! The boot sector with its BIOS parameter block: the layout of the volume. Validated once; the rest of the reader trusts
//! [`Geometry`], whose sums cannot overflow (at most 2^32 sectors of at most 4096 bytes).

use zerocopy::FromBytes;

use super::format::{BootSector, ExtendedBoot, Fat32Fields};
use crate::{Error, Place, Result, bytes::boot_sector, fs::FsKind};

/// Bytes of the volume that [`Geometry::parse`] needs.
pub(super) const BOOT_SECTOR_SIZE: usize = 512;

/// Sector number of FAT32's backup boot sector, where Windows looks for it.
pub(super) const BACKUP_BOOT_SECTOR: u64 = 6;

/// Valid sector sizes.
pub(super) const SECTOR_SIZES: [u16; 4] = [512, 1024, 2048, 4096];

/// Maximum cluster counts: above them cluster numbers would collide with the reserved table values.
const MAX_CLUSTERS_FAT12: u64 = 4084;
const MAX_CLUSTERS_FAT16: u64 = 65_524;
const MAX_CLUSTERS_FAT32: u64 = 0x0fff_fff5;

/// Table width, which distinguishes the three formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    Fat12,
    Fat16,
    Fat32,
}

impl Width {
    pub(super) fn bits(self) -> u64 {
        match self {
            Self::Fat12 => 12,
            Self::Fat16 => 16,
            Self::Fat32 => 32,
        }
    }

    pub(super) fn kind(self) -> FsKind {
        match self {
            Self::Fat12 => FsKind::Fat12,
            Self::Fat16 => FsKind::Fat16,
            Self::Fat32 => FsKind::Fat32,
        }
    }
}

/// Location of the root directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    /// FAT12/16: a region of its own.
    Region { offset: u64, len: u64 },
    /// FAT32: a cluster chain, as for any directory.
    Chain { first_cluster: u32 },
}

/// A validated boot sector. Offsets and lengths are in bytes of the volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Geometry {
    pub(super) width: Width,
    pub(super) sector_size: u32,
    pub(super) cluster_size: u32,
    /// Number of data clusters; their numbers start at 2.
    pub(super) clusters: u32,
    pub(super) fat_offset: u64,
    pub(super) fat_len: u64,
    pub(super) fats: u8,
    /// FAT32 without mirroring: the index of the only table that is kept current.
    pub(super) active_fat: Option<u8>,
    pub(super) root: Root,
    pub(super) data_offset: u64,
    pub(super) size: u64,
    pub(super) media: u8,
    pub(super) serial: Option<u32>,
    pub(super) label: Option<[u8; 11]>,
    pub(super) dirty: bool,
    /// What the boot sector and the flags of the last user say; what the tables and the size say is reported by its cause.
    pub(super) problems: Vec<String>,
}

/// True for signatures of other formats on a sector that could pass for a FAT boot sector.
pub(super) fn is_foreign(sector: &[u8]) -> bool {
    // BitLocker To Go: a FAT32 volume whose only files contain the encrypted volume.
    const BITLOCKER_TO_GO: [u8; 16] =
        [0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a, 0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0, 0x01];
    boot_sector::has_own_name(sector) || sector.get(424..440) == Some(&BITLOCKER_TO_GO)
}

impl Geometry {
    /// Parses the boot sector, the first [`BOOT_SECTOR_SIZE`] bytes of a volume. Neither the jump nor the 55AA signature is
    /// required: volumes of Atari and of some cameras have neither, and the parameter block is distinctive enough.
    pub(super) fn parse(sector: &[u8]) -> Result<Self> {
        let bad = |problem: String| Error::corrupt("FAT boot sector", Place::Byte(0), problem);
        if is_foreign(sector) {
            return Err(bad("it belongs to another filesystem".into()));
        }
        let (boot, _) = BootSector::read_from_prefix(sector).map_err(|_| bad("cut short".into()))?;
        let sector_size = boot.byts_per_sec.get();
        if !SECTOR_SIZES.contains(&sector_size) {
            return Err(bad(format!("{sector_size} bytes per sector")));
        }
        if !boot.sec_per_clus.is_power_of_two() {
            return Err(bad(format!("{} sectors per cluster", boot.sec_per_clus)));
        }
        if boot.media != 0xf0 && boot.media < 0xf8 {
            return Err(bad(format!("media descriptor {:#04x}", boot.media)));
        }
        let (fats, reserved) = (boot.num_fats, u64::from(boot.rsvd_sec_cnt.get()));
        if fats == 0 || reserved == 0 {
            return Err(bad(format!("{fats} tables after {reserved} reserved sectors")));
        }
        let (fat32, _) = Fat32Fields::read_from_prefix(&boot.rest).expect("28 of 54 bytes");
        // As in every driver: a 16-bit table size of 0 means the FAT32 layout, however few clusters there are.
        let is_fat32 = boot.fat_sz_16.get() == 0;
        let fat_sectors = if is_fat32 { fat32.fat_sz_32.get() } else { boot.fat_sz_16.get().into() };
        let total = match boot.tot_sec_16.get() {
            0 => u64::from(boot.tot_sec_32.get()),
            total => total.into(),
        };
        if fat_sectors == 0 || total == 0 {
            return Err(bad(format!("{fat_sectors} sectors per table, {total} in all")));
        }
        let bytes = u64::from(sector_size);
        let root_sector = reserved + u64::from(fats) * u64::from(fat_sectors);
        let root_len = u64::from(boot.root_ent_cnt.get()) * 32;
        let data_sector = root_sector + root_len.div_ceil(bytes);
        let Some(data_sectors) = total.checked_sub(data_sector) else {
            return Err(bad(format!("data would begin at sector {data_sector} of {total}")));
        };
        let claimed = data_sectors / u64::from(boot.sec_per_clus);
        let (width, max) = match claimed {
            _ if is_fat32 => (Width::Fat32, MAX_CLUSTERS_FAT32),
            0..=MAX_CLUSTERS_FAT12 => (Width::Fat12, MAX_CLUSTERS_FAT12),
            _ => (Width::Fat16, MAX_CLUSTERS_FAT16),
        };
        let fat_len = u64::from(fat_sectors) * bytes;
        let covered = (fat_len * 8 / width.bits()).saturating_sub(2);
        let mut problems = Vec::new();
        if claimed == 0 || claimed > max || covered == 0 {
            return Err(bad(format!("{claimed} clusters, {covered} in the table ({})", width.kind())));
        }
        if covered < claimed {
            problems.push(format!("table too small: it covers {covered} of {claimed} clusters"));
        }
        let clusters = u32::try_from(claimed.min(covered)).expect("at most MAX_CLUSTERS_FAT32");
        let (root, active_fat) = if is_fat32 {
            let first_cluster = fat32.root_clus.get();
            if first_cluster < 2 || first_cluster - 2 >= clusters {
                return Err(bad(format!("root directory at cluster {first_cluster} of {clusters}")));
            }
            (Root::Chain { first_cluster }, active_fat(fat32.ext_flags.get(), fats, &mut problems))
        } else {
            (Root::Region { offset: root_sector * bytes, len: root_len }, None)
        };
        let extended = if is_fat32 { &boot.rest[size_of::<Fat32Fields>()..] } else { &boot.rest[..] };
        let (extended, _) = ExtendedBoot::read_from_prefix(extended).expect("26 of 54 or 26 bytes");
        let has_label = extended.boot_sig == 0x29;
        let has_serial = has_label || extended.boot_sig == 0x28;
        Ok(Self {
            width,
            sector_size: sector_size.into(),
            cluster_size: u32::from(sector_size) * u32::from(boot.sec_per_clus),
            clusters,
            fat_offset: reserved * bytes,
            fat_len,
            fats,
            active_fat,
            root,
            data_offset: data_sector * bytes,
            size: total * bytes,
            media: boot.media,
            serial: has_serial.then(|| extended.vol_id.get()),
            label: has_label.then_some(extended.vol_lab),
            dirty: has_serial && extended.reserved1 & 1 != 0,
            problems,
        })
    }

    /// True for a valid data cluster number.
    pub(super) fn is_data_cluster(&self, cluster: u32) -> bool {
        cluster >= 2 && cluster - 2 < self.clusters
    }

    /// Byte position of a data cluster.
    pub(super) fn cluster_offset(&self, cluster: u32) -> u64 {
        self.data_offset + u64::from(cluster.saturating_sub(2)) * u64::from(self.cluster_size)
    }

    /// The data cluster that contains a byte position; 0 if none.
    pub(super) fn cluster_at(&self, position: u64) -> u32 {
        let index = position.checked_sub(self.data_offset).map(|from| from / u64::from(self.cluster_size));
        index
            .and_then(|index| u32::try_from(index + 2).ok())
            .filter(|at| self.is_data_cluster(*at))
            .unwrap_or(0)
    }
}

/// Parses `BPB_ExtFlags`: bit 7 means that only the table in the low four bits is written.
fn active_fat(ext_flags: u16, fats: u8, problems: &mut Vec<String>) -> Option<u8> {
    if ext_flags & 0x80 == 0 {
        return None;
    }
    let active = ext_flags.to_le_bytes()[0] & 0x0f;
    if active >= fats {
        problems.push(format!("active table {active} of {fats}: the first is used"));
        return None;
    }
    Some(active)
}
