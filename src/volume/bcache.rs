//! bcache: a Linux device and the fast one that caches it.

use super::format::{Format, Known, Look, Stage};
use crate::{Result, bytes::signature::has};

pub(super) struct Bcache;

const MAGIC: &[u8] = b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81";

impl Format for Bcache {
    fn known(&self) -> Known {
        Known {
            name: "bcache",
            hint: "half of a Linux bcache device: attach both halves' raw views on Linux",
        }
    }

    fn detect(&self, look: &Look<'_>) -> Result<bool> {
        Ok(look.stage == Stage::Front && has(look.front, 4120, MAGIC))
    }
}
