//! The boot sector (`$Boot`, sector 0, with a backup in the volume's last sector): the volume's geometry. Guards: every size
//! is a power of two within its legal bounds, and record numbers fit into the 34 bits that node numbers have.

use std::ops::RangeInclusive;

use zerocopy::{
    FromBytes, Immutable, KnownLayout, Unaligned,
    little_endian::{U16, U64},
};

use crate::{
    Error, Place, Result,
    bytes::{ByteSource, read_vec},
};

const OEM_ID: &[u8; 8] = b"NTFS    ";
const STRUCTURE: &str = "NTFS boot sector";

/// Windows formats with 512 to 4096; mkntfs also with 256.
const SECTOR_SIZES: RangeInclusive<u64> = 256..=4096;
/// Windows 10 and later create clusters of up to 2 MiB.
const MAX_CLUSTER_SIZE: u64 = 2 << 20;
/// 1 KiB and 4 KiB are in use; the bound limits the memory that a damaged size can cost.
const RECORD_SIZES: RangeInclusive<u64> = 512..=64 << 10;
/// Limit of Windows.
const MAX_CLUSTERS: u64 = 1 << 32;

/// On-disk layout; only the fields that a reader needs.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Raw {
    jump: [u8; 3],
    oem_id: [u8; 8],
    bytes_per_sector: U16,
    sectors_per_cluster: u8,
    unused: [u8; 26],
    total_sectors: U64,
    mft_lcn: U64,
    mft_mirror_lcn: U64,
    clusters_per_record: u8,
    reserved0: [u8; 3],
    clusters_per_index_block: u8,
    reserved1: [u8; 3],
    serial_number: U64,
}

/// The geometry of a volume, validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootSector {
    /// Bytes per sector.
    pub sector_size: u64,
    /// Bytes per cluster.
    pub cluster_size: u64,
    /// Number of clusters that the volume states.
    pub clusters: u64,
    /// Byte position of `$MFT`'s first record.
    pub mft: u64,
    /// Byte position of `$MFTMirr`.
    pub mft_mirror: u64,
    /// Bytes per file record.
    pub record_size: u64,
    /// Bytes per index block of directories.
    pub index_block_size: u64,
    /// Volume serial number.
    pub serial_number: u64,
}

/// True if a volume's first sector has the signature of NTFS.
pub fn detect(boot: &[u8]) -> bool {
    boot.get(3..11) == Some(OEM_ID)
}

/// True if the last bytes of a volume (a whole sector or more) contain the backup of an NTFS boot sector.
pub fn detect_backup(last_sector: &[u8]) -> bool {
    backups(last_sector.len()).any(|start| BootSector::parse(&last_sector[start..]).is_ok())
}

/// True if the last sector of a volume, of 512 or 4096 bytes, contains the backup of its boot sector.
pub(in super::super) fn has_backup(volume: &dyn ByteSource) -> bool {
    [512, 4096].into_iter().any(|sector| {
        let last = volume.size().checked_sub(sector).and_then(|at| read_vec(volume, at, 512).ok());
        last.is_some_and(|last| detect_backup(&last))
    })
}

/// Possible offsets of the backup in the last `len` bytes of a volume: they depend on the sector size, which is not known
/// yet.
pub(in super::super) fn backups(len: usize) -> impl Iterator<Item = usize> {
    [512_usize, 4096, 2048, 1024, 256].into_iter().filter_map(move |size| len.checked_sub(size))
}

/// True for two boot sectors that describe the same volume but for its number of sectors.
pub(in super::super) fn differ_in_size_alone(a: &[u8], b: &[u8]) -> bool {
    let raw = |sector| Raw::ref_from_prefix(sector).ok().map(|(raw, _): (&Raw, _)| raw);
    let (Some(a), Some(b)) = (raw(a), raw(b)) else { return false };
    let geometry = |raw: &Raw| {
        let sizes = [raw.sectors_per_cluster, raw.clusters_per_record, raw.clusters_per_index_block];
        (raw.bytes_per_sector, sizes, raw.mft_lcn, raw.mft_mirror_lcn, raw.serial_number)
    };
    geometry(a) == geometry(b)
}

impl BootSector {
    /// Parses and validates a boot sector or its backup.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for invalid geometry.
    pub fn parse(sector: &[u8]) -> Result<Self> {
        let corrupt = |offset: u64, problem: String| Error::corrupt(STRUCTURE, Place::Byte(offset), problem);
        let (raw, _) = Raw::ref_from_prefix(sector).map_err(|_| corrupt(0, "too short".into()))?;
        if raw.oem_id != *OEM_ID {
            return Err(corrupt(3, "the OEM ID is not NTFS".into()));
        }
        let sector_size = u64::from(raw.bytes_per_sector.get());
        if !sector_size.is_power_of_two() || !SECTOR_SIZES.contains(&sector_size) {
            return Err(corrupt(0x0b, format!("{sector_size} bytes per sector")));
        }
        // Above 128 this is -log2: clusters of more than 128 sectors.
        let sectors_per_cluster = match raw.sectors_per_cluster {
            count @ 0..=128 => u64::from(count),
            log => 1_u64.checked_shl(u32::from(log.wrapping_neg())).unwrap_or(0),
        };
        let cluster_size = sectors_per_cluster.saturating_mul(sector_size);
        if !cluster_size.is_power_of_two() || cluster_size > MAX_CLUSTER_SIZE {
            return Err(corrupt(0x0d, format!("{} sectors per cluster", raw.sectors_per_cluster)));
        }
        let clusters = raw.total_sectors.get() / sectors_per_cluster;
        if !(1..=MAX_CLUSTERS).contains(&clusters) {
            return Err(corrupt(0x28, format!("{} sectors in the volume", raw.total_sectors)));
        }
        let position = |offset, lcn: u64, what| match lcn {
            1.. if lcn < clusters => Ok(lcn * cluster_size),
            _ => Err(corrupt(offset, format!("{what} at cluster {lcn:#x} of {clusters:#x}"))),
        };
        let size_of = |offset, clusters_per: u8, what| {
            // From 128 on this is -log2 of the size in bytes; below, a number of clusters.
            let size = match clusters_per {
                count @ 0..=127 => u64::from(count) * cluster_size,
                log => 1_u64.checked_shl(u32::from(log.wrapping_neg())).unwrap_or(0),
            };
            match size.is_power_of_two() && RECORD_SIZES.contains(&size) {
                true => Ok(size),
                false => Err(corrupt(offset, format!("{what} of {size} bytes"))),
            }
        };
        let mft = position(0x30, raw.mft_lcn.get(), "$MFT");
        let mft_mirror = position(0x38, raw.mft_mirror_lcn.get(), "$MFTMirr");
        Ok(Self {
            sector_size,
            cluster_size,
            clusters,
            // One valid position is enough to find the records; the other one then reads as damaged.
            mft: mft.or_else(|e| mft_mirror.as_ref().map(|p| *p).map_err(|_| e))?,
            mft_mirror: mft_mirror.unwrap_or(u64::MAX),
            record_size: size_of(0x40, raw.clusters_per_record, "file records")?,
            index_block_size: size_of(0x44, raw.clusters_per_index_block, "index blocks")?,
            serial_number: raw.serial_number.get(),
        })
    }

    /// Byte position of the end of the sectors that a boot sector states: the position of its backup.
    pub(in super::super) fn stated_end(sector: &[u8]) -> Option<u64> {
        let (raw, _) = Raw::ref_from_prefix(sector).ok()?;
        raw.total_sectors.get().checked_mul(raw.bytes_per_sector.get().into())
    }

    /// Bytes covered by the clusters.
    pub fn size(&self) -> u64 {
        self.clusters * self.cluster_size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sector() -> Vec<u8> {
        let mut sector = vec![0; 512];
        sector[3..11].copy_from_slice(OEM_ID);
        sector[0x0b..0x0d].copy_from_slice(&512_u16.to_le_bytes());
        sector[0x0d] = 8;
        sector[0x28..0x30].copy_from_slice(&0xfff_u64.to_le_bytes());
        sector[0x30] = 4;
        sector[0x38] = 2;
        sector[0x40] = 0xf6;
        sector[0x44] = 1;
        sector
    }

    #[test]
    fn sizes_are_counts_or_negative_logarithms() {
        let boot = BootSector::parse(&sector()).unwrap();
        assert_eq!((boot.cluster_size, boot.record_size, boot.index_block_size), (4096, 1024, 4096));
        assert_eq!((boot.mft, boot.mft_mirror, boot.clusters), (0x4000, 0x2000, 511));
        let mut large = sector();
        large[0x0d] = 0xf4;
        large[0x28..0x30].copy_from_slice(&(1_u64 << 20).to_le_bytes());
        large[0x44] = 0xf4;
        let boot = BootSector::parse(&large).unwrap();
        assert_eq!((boot.cluster_size, boot.index_block_size), (2 << 20, 4096));
    }

    #[test]
    fn illegal_geometry_is_refused() {
        for (offset, value) in
            [(3, 0), (0x0b, 1), (0x0c, 0x20), (0x0d, 0), (0x0d, 3), (0x0d, 0xf3), (0x0d, 0x81), (0x40, 0)]
        {
            let mut bad = sector();
            bad[offset] = value;
            assert!(BootSector::parse(&bad).is_err(), "{offset:#x}: {value:#x}");
        }
        for (offset, value) in [(0x28, 0), (0x28, u64::MAX), (0x40, 0x80), (0x44, 0x7f)] {
            let mut bad = sector();
            bad[offset..offset + 8].copy_from_slice(&u64::to_le_bytes(value));
            assert!(BootSector::parse(&bad).is_err(), "{offset:#x}: {value:#x}");
        }
        assert!(BootSector::parse(&sector()[..70]).is_err());
    }

    #[test]
    fn backup_is_found_at_any_sector_size() {
        let mut tail = vec![0; 3584];
        tail.splice(0..0, sector());
        assert!(detect_backup(&tail) && detect_backup(&sector()) && !detect_backup(&tail[1..]));
        assert!(!detect_backup(&[]));
    }
}
