//! `$LogFile`'s restart pages: whether the volume was unmounted with everything written back. The log itself is not
//! replayed.

use super::fixup;

/// What is read of the file: two restart pages.
pub(super) const RESTART_PAGES: usize = 2 * PAGE;

const PAGE: usize = 4096;
const NO_CLIENT: u16 = 0xffff;
const VOLUME_IS_CLEAN: u16 = 2;

/// True when the newer restart page says that a client (NTFS itself) has the log open. An empty or unreadable log says
/// nothing.
pub(super) fn is_unclean(start: &[u8]) -> bool {
    let pages = start.chunks_exact(PAGE).filter_map(restart_area);
    pages.max_by_key(|(lsn, _)| *lsn).is_some_and(|(_, unclean)| unclean)
}

/// The current LSN of a restart page, and whether the log is in use.
fn restart_area(page: &[u8]) -> Option<(u64, bool)> {
    let mut page = page.to_vec();
    if !page.starts_with(b"RSTR") || fixup::apply(&mut page, "$LogFile restart page", 0).is_err() {
        return None;
    }
    let u16_at = |at: usize| page.get(at..at + 2)?.first_chunk().copied().map(u16::from_le_bytes);
    let area = usize::from(u16_at(0x18)?);
    let lsn = u64::from_le_bytes(*page.get(area..area + 8)?.first_chunk()?);
    let (in_use, flags) = (u16_at(area + 12)?, u16_at(area + 14)?);
    Some((lsn, in_use != NO_CLIENT && flags & VOLUME_IS_CLEAN == 0))
}
