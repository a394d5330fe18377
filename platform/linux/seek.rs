//! SEEK_DATA and SEEK_HOLE, from the extents of a source.

use vhdmount::{
    Result,
    bytes::{ByteSource, ExtentKind},
};

/// Extents examined per seek. A file of alternating tiny extents would keep a worker busy for hours; stopping early is
/// always correct, because a hole may be reported as data: it reads as zeros.
const MAX_EXTENTS: usize = 1 << 16;

/// The offset of the next data at or after `offset`; `None` when only a hole follows.
pub(super) fn next_data(source: &dyn ByteSource, offset: u64) -> Result<Option<u64>> {
    let size = source.size();
    let mut at = offset;
    for _ in 0..MAX_EXTENTS {
        if at >= size {
            return Ok(None);
        }
        let extent = source.extent_at(at)?;
        if extent.kind == ExtentKind::Data || extent.len == 0 {
            return Ok(Some(at));
        }
        at = at.saturating_add(extent.len);
    }
    Ok((at < size).then_some(at))
}

/// The offset of the next hole at or after `offset`; the end of the file counts as one. `None` past the end.
pub(super) fn next_hole(source: &dyn ByteSource, offset: u64) -> Result<Option<u64>> {
    let size = source.size();
    if offset >= size {
        return Ok(None);
    }
    let mut at = offset;
    for _ in 0..MAX_EXTENTS {
        if at >= size {
            break;
        }
        let extent = source.extent_at(at)?;
        if extent.len == 0 {
            break;
        }
        if extent.kind == ExtentKind::Hole {
            return Ok(Some(at));
        }
        at = at.saturating_add(extent.len);
    }
    Ok(Some(size))
}

#[cfg(test)]
mod tests {
    use vhdmount::bytes::{Extent, check_range};

    use super::*;

    /// A source of extents of equal length, alternating between hole and data.
    struct Striped {
        stripe: u64,
        size: u64,
    }

    impl ByteSource for Striped {
        fn size(&self) -> u64 {
            self.size
        }

        fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
            check_range(self.size, offset, buf.len())?;
            buf.fill(0);
            Ok(())
        }

        fn extent_at(&self, offset: u64) -> Result<Extent> {
            let kind =
                if (offset / self.stripe).is_multiple_of(2) { ExtentKind::Hole } else { ExtentKind::Data };
            let len = (self.stripe - offset % self.stripe).min(self.size.saturating_sub(offset));
            Ok(Extent { kind, len })
        }
    }

    #[test]
    fn seeks_find_the_next_boundary() {
        let source = Striped { stripe: 10, size: 45 };
        assert_eq!(next_data(&source, 0).unwrap(), Some(10));
        assert_eq!(next_data(&source, 13).unwrap(), Some(13));
        assert_eq!(next_data(&source, 41).unwrap(), None);
        assert_eq!(next_hole(&source, 0).unwrap(), Some(0));
        assert_eq!(next_hole(&source, 31).unwrap(), Some(40));
        assert_eq!(next_hole(&source, 45).unwrap(), None);
        assert_eq!(next_data(&source, 45).unwrap(), None);
    }

    #[test]
    fn the_end_of_the_file_is_a_hole() {
        let source = Striped { stripe: 10, size: 40 };
        assert_eq!(next_hole(&source, 35).unwrap(), Some(40));
    }

    #[test]
    fn seeks_give_up_on_endless_fragmentation() {
        struct OneByteHoles;
        impl ByteSource for OneByteHoles {
            fn size(&self) -> u64 {
                1 << 60
            }
            fn read_exact_at(&self, _: u64, _: &mut [u8]) -> Result<()> {
                Ok(())
            }
            fn extent_at(&self, _: u64) -> Result<Extent> {
                Ok(Extent { kind: ExtentKind::Hole, len: 1 })
            }
        }
        assert_eq!(next_data(&OneByteHoles, 5).unwrap(), Some(5 + MAX_EXTENTS as u64));
    }
}
