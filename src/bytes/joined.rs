//! Several sources concatenated into one: the segments of a split image.

use std::sync::Arc;

use super::{ByteSource, Extent, ExtentKind, InFile, check_range};
use crate::{Error, Result};

/// The bytes of several sources, in order.
pub struct Joined {
    /// Each part with its start offset.
    parts: Vec<(u64, Arc<dyn ByteSource>)>,
    size: u64,
}

impl Joined {
    /// Joins `parts`, none of which should be empty.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the sum of the sizes exceeds 64 bits.
    pub fn new(parts: Vec<Arc<dyn ByteSource>>) -> Result<Self> {
        let mut size = 0_u64;
        let mut placed = Vec::with_capacity(parts.len());
        for part in parts {
            let end = size.checked_add(part.size());
            let end = end.ok_or_else(|| Error::invalid("the pieces are larger than a disk can be"))?;
            placed.push((size, part));
            size = end;
        }
        Ok(Self { parts: placed, size })
    }

    /// The part that contains `offset`, with the offset within it and the number of bytes to its end.
    fn part(&self, offset: u64) -> Option<(&dyn ByteSource, u64, u64)> {
        let index = self.parts.partition_point(|(start, _)| *start <= offset).checked_sub(1)?;
        let (start, part) = &self.parts[index];
        let within = offset - start;
        Some((&**part, within, part.size().checked_sub(within)?))
    }
}

impl ByteSource for Joined {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, mut offset: u64, mut buf: &mut [u8]) -> Result<()> {
        check_range(self.size, offset, buf.len())?;
        while !buf.is_empty() {
            let (part, within, rest) = self.part(offset).expect("the range was checked");
            let take = usize::try_from(rest).map_or(buf.len(), |rest| rest.min(buf.len()));
            let (now, later) = buf.split_at_mut(take);
            part.read_exact_at(within, now)?;
            offset += take as u64;
            buf = later;
        }
        Ok(())
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        match self.part(offset).filter(|_| offset < self.size) {
            Some((part, within, _)) => part.extent_at(within),
            None => Ok(Extent { kind: ExtentKind::Hole, len: 0 }),
        }
    }

    fn in_file(&self, offset: u64) -> Option<InFile<'_>> {
        let (part, within, rest) = self.part(offset)?;
        part.in_file(within)?.at_most(rest)
    }

    fn will_need(&self, offset: u64, len: u64) {
        let mut rest = len.min(self.size.saturating_sub(offset));
        let mut at = offset;
        while rest > 0 {
            let Some((part, within, left)) = self.part(at) else { return };
            let take = left.min(rest);
            part.will_need(within, take);
            (at, rest) = (at + take, rest - take);
        }
    }

    fn missing_from(&self) -> Option<u64> {
        self.parts.iter().find_map(|(start, part)| start.checked_add(part.missing_from()?))
    }

    fn memory(&self) -> usize {
        self.parts.iter().map(|(_, part)| part.memory()).sum()
    }

    /// The position of the first part that has one.
    fn position(&self) -> Option<u64> {
        self.parts.iter().find_map(|(_, part)| part.position())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::MemorySource;

    fn joined(parts: &[&[u8]]) -> Joined {
        let parts = parts.iter().map(|part| Arc::new(MemorySource(part.to_vec())) as _).collect();
        Joined::new(parts).unwrap()
    }

    #[test]
    fn reads_run_across_pieces() {
        let source = joined(&[b"abc", b"de", b"fghi"]);
        for start in 0..9_u64 {
            for end in start..=9 {
                let mut buf = vec![0; usize::try_from(end - start).unwrap()];
                source.read_exact_at(start, &mut buf).unwrap();
                assert_eq!(buf, b"abcdefghi"[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()]);
            }
        }
        assert!(source.read_exact_at(8, &mut [0; 2]).is_err());
    }

    #[test]
    fn extents_end_with_their_piece() {
        let source = joined(&[b"abc", b"de"]);
        assert_eq!(source.extent_at(1).unwrap(), Extent { kind: ExtentKind::Data, len: 2 });
        assert_eq!(source.extent_at(3).unwrap(), Extent { kind: ExtentKind::Data, len: 2 });
        assert_eq!(source.extent_at(5).unwrap(), Extent { kind: ExtentKind::Hole, len: 0 });
    }
}
