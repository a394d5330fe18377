//! Hive bins: the chain of headers that a hive consists of. Guards: a bin is as long as it says, a multiple of 4096 bytes, and stands
//! where it says; a walk reads one header for each 4096 bytes at most.

use std::ops::Range;

use zerocopy::FromBytes;

use super::format::{self, HiveBin};
use crate::{Error, Place, Result, bytes::ByteSource};

/// The header of the bin at `offset` of the hive bins.
///
/// # Errors
/// [`Error::Corrupt`] when there is none.
pub(super) fn header(source: &dyn ByteSource, offset: u32) -> Result<HiveBin> {
    let place = format::BASE_BLOCK + u64::from(offset);
    let bad = |problem: &'static str| Error::corrupt("hive bin", Place::Byte(place), problem);
    if source.size() < place + format::BIN_HEADER {
        return Err(bad("beyond the end of the hive"));
    }
    let mut bytes = [0; size_of::<HiveBin>()];
    source.read_exact_at(place, &mut bytes)?;
    let bin = HiveBin::read_from_bytes(&bytes).map_err(|_| bad("too short"))?;
    if bin.signature != *b"hbin" {
        return Err(bad("no hive bin"));
    }
    let size = bin.size.get();
    if bin.offset.get() != offset || size == 0 || !size.is_multiple_of(format::BIN_UNIT) {
        return Err(bad("another place or size than it has"));
    }
    Ok(bin)
}

/// The end of the hive bins that follow each other from the beginning on, in at most `limit` bytes.
pub(super) fn end(source: &dyn ByteSource, limit: u64) -> u64 {
    let mut offset = 0_u32;
    while u64::from(offset) < limit
        && let Ok(bin) = header(source, offset)
        && let Some(next) = offset.checked_add(bin.size.get())
    {
        offset = next;
    }
    limit.min(offset.into())
}

/// The first invalid bin among those that `pages` have changed; the others are not judged.
pub(super) fn first_invalid(
    source: &dyn ByteSource,
    size: u32,
    pages: &[(u32, Range<usize>)],
) -> Result<Option<u32>> {
    let changed = |from: u32, to: u32| {
        pages.iter().any(|(start, range)| {
            let end = u64::from(*start).saturating_add(range.len() as u64);
            *start < to && u64::from(from) < end
        })
    };
    let mut offset = 0_u32;
    while offset < size {
        let step = match header(source, offset) {
            Ok(bin) => bin.size.get(),
            Err(error @ Error::Io { .. }) => return Err(error),
            Err(_) if changed(offset, offset.saturating_add(format::BIN_UNIT)) => return Ok(Some(offset)),
            // Damage that the log has nothing to do with; where the next bin begins is not known.
            Err(_) => return Ok(None),
        };
        offset = offset.saturating_add(step);
    }
    Ok(None)
}
