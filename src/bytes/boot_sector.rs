//! Detects whether a first sector is the boot sector of a filesystem. It ends with 0x55AA like a master boot record, so only
//! its beginning distinguishes the two. Validation is left to the filesystem's reader.

/// OEM names at byte 3 of the formats that have their own.
const NAMES: [&[u8; 8]; 5] = [b"NTFS    ", b"EXFAT   ", b"-FVE-FS-", b"ReFS\0\0\0\0", b"HPFS    "];

/// True when `sector` looks like the first one of an NTFS, exFAT, ReFS, BitLocker, HPFS or FAT volume.
pub(crate) fn is_filesystem(sector: &[u8]) -> bool {
    has_own_name(sector) || is_fat(sector)
}

/// True when the OEM name is that of a format which is not FAT.
pub(crate) fn has_own_name(sector: &[u8]) -> bool {
    sector.get(3..11).is_some_and(|name| NAMES.iter().any(|known| name == *known))
}

/// Bytes per sector, if `sector` is a boot sector that states them.
pub(crate) fn bytes_per_sector(sector: &[u8]) -> Option<u32> {
    let ntfs = sector.get(3..11).is_some_and(|name| name == b"NTFS    ");
    (ntfs || is_fat(sector)).then(|| u16_at(sector, 11).map(u32::from)).flatten()
}

/// True for a BIOS parameter block in which every field of few legal values has one that FAT allows.
fn is_fat(sector: &[u8]) -> bool {
    let Some(jump) = sector.first() else { return false };
    let (Some(bytes), Some([per_cluster, ..])) = (u16_at(sector, 11), sector.get(13..32)) else {
        return false;
    };
    let [fats, media] = [sector[16], sector[21]];
    let sectors = u32::from(u16_at(sector, 19).unwrap_or(0)) | u32_at(sector, 32).unwrap_or(0);
    // 0x69: the jump of some DOS floppies.
    matches!(jump, 0xe9 | 0xeb | 0x69)
        && bytes.is_power_of_two()
        && (512..=4096).contains(&bytes)
        && per_cluster.is_power_of_two()
        && u16_at(sector, 14).is_some_and(|reserved| reserved > 0)
        && matches!(fats, 1 | 2)
        && (media == 0xf0 || media >= 0xf8)
        && sectors > 0
}

fn u16_at(sector: &[u8], at: usize) -> Option<u16> {
    sector.get(at..at + 2).and_then(|b| b.try_into().ok()).map(u16::from_le_bytes)
}

fn u32_at(sector: &[u8], at: usize) -> Option<u32> {
    sector.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes)
}
