//! The backup of the boot sector, in the sector after the volume's last one. Guards: it replaces a valid boot sector only
//! where the two differ in the size alone, and the position of the backup decides.

use super::boot::{self, BootSector};
use crate::bytes::{ByteSource, read_vec};

/// The backup, if it proves that the boot sector `first` states too few sectors: the backup is where its own size places it,
/// there is none where `first` places it, and otherwise both describe the same volume.
pub(in super::super) fn contradicting_backup(volume: &dyn ByteSource, first: &[u8]) -> Option<BootSector> {
    BootSector::parse(first).ok()?;
    let stated = BootSector::stated_end(first)?;
    let backup = backup_sectors(volume).find_map(|(at, sector)| {
        let backup = BootSector::parse(&sector).ok()?;
        let confirmed = BootSector::stated_end(&sector) == Some(at) && stated < at;
        (confirmed && boot::differ_in_size_alone(first, &sector)).then_some(backup)
    })?;
    let own = read_vec(volume, stated, 512).ok();
    let has_own = own.is_some_and(|sector| sector.get(..0x50) == first.get(..0x50));
    (!has_own).then_some(backup)
}

/// The sectors at the volume's end that may be the backup, with their byte positions.
pub(in super::super) fn backup_sectors(volume: &dyn ByteSource) -> impl Iterator<Item = (u64, Vec<u8>)> {
    let len = volume.size().min(4096);
    let start = volume.size() - len;
    let tail = usize::try_from(len).ok().and_then(|n| read_vec(volume, start, n).ok()).unwrap_or_default();
    boot::backups(tail.len()).map(move |at| (start + at as u64, tail[at..].to_vec()))
}
