//! `$LogFile`'s restart pages: they show whether everything was written back when the volume was last in use. The log itself
//! is not replayed.
//!
//! The page with the higher LSN counts. Version 1.1 means that Windows unmounted the volume; since Windows 8 a mounted
//! volume has 2.0, and so has one that a fast start or a hibernation keeps mounted.

use crate::fs::{Journal, ntfs::fixup};

/// Bytes of the file that are read: both restart pages, of the largest size.
pub(in super::super) const RESTART_PAGES: usize = 128 << 10;

/// Maximum size of a page, and so the largest offset of the second one.
const MAX_PAGE: usize = 64 << 10;
const MIN_PAGE: usize = 512;
const NO_CLIENT: u16 = 0xffff;
const VOLUME_IS_CLEAN: u16 = 2;

/// The journal's state according to the start of the file.
pub(in super::super) fn state(start: &[u8]) -> Journal {
    if start.iter().all(|byte| *byte == 0xff) {
        return Journal::Empty;
    }
    let places = std::iter::successors(Some(MIN_PAGE), |at| Some(at * 2)).take_while(|at| *at <= MAX_PAGE);
    let pages = std::iter::once(0).chain(places).filter_map(|at| restart_page(start.get(at..)?, at));
    pages.max_by_key(|(lsn, _)| *lsn).map_or(Journal::Damaged, |(_, state)| state)
}

/// The LSN and state of the restart page at byte `at`.
fn restart_page(bytes: &[u8], at: usize) -> Option<(u64, Journal)> {
    let by_chkdsk = bytes.starts_with(b"CHKD");
    if !by_chkdsk && !bytes.starts_with(b"RSTR") {
        return None;
    }
    let size = usize::try_from(u32::from_le_bytes(*bytes.get(0x10..0x14)?.first_chunk()?)).ok()?;
    let is_size = size.is_power_of_two() && (MIN_PAGE..=MAX_PAGE).contains(&size);
    if !is_size || at != 0 && at != size {
        return None;
    }
    let mut page = bytes.get(..size)?.to_vec();
    fixup::apply(&mut page, "$LogFile restart page", None).ok()?;
    let u16_at = |at: usize| page.get(at..at + 2)?.first_chunk().copied().map(u16::from_le_bytes);
    let u64_at = |at: usize| page.get(at..at + 8)?.first_chunk().copied().map(u64::from_le_bytes);
    let (area, minor, major) = (usize::from(u16_at(0x18)?), u16_at(0x1a)?, u16_at(0x1c)?);
    let lsn = if by_chkdsk { u64_at(8)? } else { u64_at(area)? };
    let (in_use, flags) = (u16_at(area + 12)?, u16_at(area + 14)?);
    let state = match (major, minor) {
        (2, 0) => Journal::InUse,
        (1, _) if in_use == NO_CLIENT || flags & VOLUME_IS_CLEAN != 0 => Journal::Clean,
        (1, _) => Journal::Unclean,
        _ => return None,
    };
    Some((lsn, state))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(lsn: u64, version: (u8, u8), in_use: u16, flags: u8) -> Vec<u8> {
        let mut page = vec![0; 4096];
        page[..8].copy_from_slice(b"RSTR\x1e\0\x09\0");
        page[0x11] = 0x10;
        page[0x18] = 0x30;
        (page[0x1a], page[0x1c]) = (version.1, version.0);
        page[0x30..0x38].copy_from_slice(&lsn.to_le_bytes());
        page[0x3c..0x3e].copy_from_slice(&in_use.to_le_bytes());
        page[0x3e] = flags;
        page
    }

    #[test]
    fn newer_page_counts() {
        let closed = page(10, (1, 1), NO_CLIENT, 0);
        let open = page(11, (1, 1), 0, 0);
        let clean = page(12, (1, 1), 0, 2);
        let mounted = page(13, (2, 0), 0, 2);
        for (pages, expected) in [
            ([&closed, &closed], Journal::Clean),
            ([&closed, &open], Journal::Unclean),
            ([&open, &closed], Journal::Unclean),
            ([&open, &clean], Journal::Clean),
            ([&clean, &mounted], Journal::InUse),
            ([&mounted, &closed], Journal::InUse),
        ] {
            assert_eq!(state(&[&pages[0][..], &pages[1][..]].concat()), expected);
        }
    }

    #[test]
    fn pages_that_are_torn_or_of_another_version_do_not_count() {
        let (old, mut torn) = (page(10, (1, 1), NO_CLIENT, 0), page(20, (1, 1), 0, 0));
        torn[510] ^= 1;
        assert_eq!(state(&[&old[..], &torn[..]].concat()), Journal::Clean);
        assert_eq!(state(&torn), Journal::Damaged);
        assert_eq!(state(&page(1, (3, 0), 0, 0)), Journal::Damaged);
        assert_eq!(state(&[]), Journal::Empty);
        assert_eq!(state(&[0xff; 8192]), Journal::Empty);
        assert_eq!(state(&[0; 8192]), Journal::Damaged);
        // After chkdsk its own LSN counts.
        let mut checked = page(0, (1, 1), NO_CLIENT, 0);
        checked[..4].copy_from_slice(b"CHKD");
        checked[8] = 30;
        let open = page(20, (1, 1), 0, 0);
        assert_eq!(state(&[&checked[..], &open[..]].concat()), Journal::Clean);
    }
}
