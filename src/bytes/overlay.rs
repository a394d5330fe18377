//! A source with some of its bytes replaced in memory: a dirty VHDX log is replayed this way, without a write to the file.

use std::{collections::BTreeMap, sync::Arc};

use super::{ByteSource, Extent, ExtentKind, InFile, Wrapper, check_range};
use crate::Result;

/// Patches over another source. Built once, then immutable.
///
/// The size may exceed that of the source below (the log can require a longer file); the part beyond reads as zeros where no
/// patch covers it. The caller bounds the number and size of patches.
pub struct Overlay {
    inner: Arc<dyn ByteSource>,
    size: u64,
    /// Start → patch; never overlapping.
    patches: BTreeMap<u64, Patch>,
}

enum Patch {
    Bytes(Box<[u8]>),
    /// Zero descriptors may cover gigabytes: they cost no memory.
    Zeros(u64),
}

impl Patch {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Zeros(len) => *len,
        }
    }

    /// The part of the patch in `from..to`, relative to its start.
    fn slice(&self, from: u64, to: u64) -> Self {
        match self {
            Self::Bytes(bytes) => {
                let index = |at: u64| usize::try_from(at).expect("inside a buffer in memory");
                Self::Bytes(bytes[index(from)..index(to)].into())
            }
            Self::Zeros(_) => Self::Zeros(to - from),
        }
    }
}

impl Overlay {
    /// No patches yet; `size` is at least that of `inner`.
    pub fn new(inner: Arc<dyn ByteSource>, size: u64) -> Self {
        let size = size.max(inner.size());
        Self { inner, size, patches: BTreeMap::new() }
    }

    /// Replaces the bytes from `offset`; later patches win. Grows the source if needed.
    pub fn put(&mut self, offset: u64, bytes: &[u8]) {
        self.insert(offset, Patch::Bytes(bytes.into()));
    }

    /// Replaces `len` bytes from `offset` by zeros, in constant memory.
    pub fn put_zeros(&mut self, offset: u64, len: u64) {
        self.insert(offset, Patch::Zeros(len));
    }

    /// True when nothing is replaced.
    pub fn is_empty(&self) -> bool {
        self.patches.is_empty()
    }

    fn insert(&mut self, offset: u64, patch: Patch) {
        let end = offset.saturating_add(patch.len());
        if end == offset {
            return;
        }
        self.size = self.size.max(end);
        // Cuts the range of the new patch out of the older ones; at most the first one can begin before it.
        let first = self.patches.range(..offset).next_back().map(|(start, _)| *start);
        let covered: Vec<u64> =
            first.into_iter().chain(self.patches.range(offset..end).map(|(s, _)| *s)).collect();
        for start in covered {
            let old = self.patches.remove(&start).expect("key was just listed");
            let old_end = start + old.len();
            if start < offset {
                self.patches.insert(start, old.slice(0, offset.min(old_end) - start));
            }
            if old_end > end {
                self.patches.insert(end.max(start), old.slice(end.max(start) - start, old_end - start));
            }
        }
        self.patches.insert(offset, patch);
    }

    /// The patch that covers `offset`, if any, and the end of the patched or unpatched stretch.
    fn patch_at(&self, offset: u64) -> (Option<(u64, &Patch)>, u64) {
        if let Some((start, patch)) = self.patches.range(..=offset).next_back()
            && offset < start + patch.len()
        {
            return (Some((*start, patch)), start + patch.len());
        }
        let next = self.patches.range(offset..).next().map_or(self.size, |(start, _)| *start);
        (None, next)
    }
}

impl Wrapper for Overlay {
    fn below(&self) -> &dyn ByteSource {
        &*self.inner
    }

    fn start_below(&self) -> Option<u64> {
        Some(0)
    }

    fn length(&self) -> u64 {
        self.size
    }

    fn read_at(&self, mut offset: u64, mut buf: &mut [u8]) -> Result<()> {
        check_range(self.size, offset, buf.len())?;
        while !buf.is_empty() {
            let (patch, end) = self.patch_at(offset);
            let take = usize::try_from(end - offset).map_or(buf.len(), |len| len.min(buf.len()));
            let (now, rest) = buf.split_at_mut(take);
            match patch {
                Some((start, Patch::Bytes(bytes))) => {
                    let from = usize::try_from(offset - start).expect("inside a buffer in memory");
                    now.copy_from_slice(&bytes[from..from + take]);
                }
                Some((_, Patch::Zeros(_))) => now.fill(0),
                None => {
                    let below =
                        usize::try_from(self.inner.size().saturating_sub(offset)).unwrap_or(usize::MAX);
                    let (stored, beyond) = now.split_at_mut(below.min(take));
                    if !stored.is_empty() {
                        self.inner.read_exact_at(offset, stored)?;
                    }
                    beyond.fill(0);
                }
            }
            offset += take as u64;
            buf = rest;
        }
        Ok(())
    }

    fn extent(&self, offset: u64) -> Result<Extent> {
        if offset >= self.size {
            return Ok(Extent { kind: ExtentKind::Hole, len: 0 });
        }
        let (patch, end) = self.patch_at(offset);
        let len = end - offset;
        Ok(match patch {
            Some((_, Patch::Bytes(_))) => Extent { kind: ExtentKind::Data, len },
            Some((_, Patch::Zeros(_))) => Extent { kind: ExtentKind::Hole, len },
            None if offset >= self.inner.size() => Extent { kind: ExtentKind::Hole, len },
            None => {
                let below = self.inner.extent_at(offset)?;
                Extent { len: below.len.min(len), ..below }
            }
        })
    }

    fn stored_at(&self, offset: u64) -> Option<InFile<'_>> {
        let (patch, end) = self.patch_at(offset);
        match patch {
            Some(_) => None,
            None => self.inner.in_file(offset)?.at_most(end.saturating_sub(offset)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::MemorySource;

    /// Compares an overlay against a plain buffer after a fixed, pseudo-random series of patches.
    #[test]
    fn later_patches_win_like_writes_into_a_buffer() {
        let base: Vec<u8> = (0..=255).cycle().take(1000).map(|x: u16| x.to_le_bytes()[0]).collect();
        let mut overlay = Overlay::new(Arc::new(MemorySource(base.clone())), 1200);
        let mut plain = base;
        plain.resize(1300, 0);
        let mut seed = 1_u32;
        let mut random = |below: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) % below
        };
        for round in 0..300_u32 {
            let (at, len) = (random(1200) as usize, random(100) as usize + 1);
            if round % 3 == 0 {
                overlay.put_zeros(at as u64, len as u64);
                plain[at..at + len].fill(0);
            } else {
                let bytes = vec![round.to_le_bytes()[0] | 1; len];
                overlay.put(at as u64, &bytes);
                plain[at..at + len].copy_from_slice(&bytes);
            }
            let size = usize::try_from(overlay.size()).unwrap();
            let mut got = vec![0xee; size];
            overlay.read_exact_at(0, &mut got).unwrap();
            assert!(got == plain[..size], "round {round}");
        }
    }
}
