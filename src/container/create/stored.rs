//! What of a disk a copy has to take.

use std::{iter::Peekable, ops::Range, slice};

use crate::{
    Result,
    bytes::{ByteSource, ExtentKind},
};

/// The ranges of a disk that are stored and not left out, in ascending order; two may be adjacent.
pub struct Stored<'a> {
    source: &'a dyn ByteSource,
    skip: Peekable<slice::Iter<'a, Range<u64>>>,
    offset: u64,
}

impl<'a> Stored<'a> {
    /// `skip`: ranges that are left out, sorted and without overlaps.
    pub fn new(source: &'a dyn ByteSource, skip: &'a [Range<u64>]) -> Self {
        Self { source, skip: skip.iter().peekable(), offset: 0 }
    }
}

impl Iterator for Stored<'_> {
    type Item = Result<Range<u64>>;

    fn next(&mut self) -> Option<Self::Item> {
        let size = self.source.size();
        while self.offset < size {
            let start = self.offset;
            while self.skip.next_if(|range| range.end <= start).is_some() {}
            let end = match self.skip.peek() {
                Some(range) if range.start <= start => {
                    self.offset = range.end;
                    continue;
                }
                Some(range) => range.start.min(size),
                None => size,
            };
            let extent = match self.source.extent_at(start) {
                Ok(extent) => extent,
                Err(error) => {
                    self.offset = size;
                    return Some(Err(error));
                }
            };
            self.offset = end.min(start.saturating_add(extent.len.max(1)));
            if extent.kind == ExtentKind::Data {
                return Some(Ok(start..self.offset));
            }
        }
        None
    }
}
