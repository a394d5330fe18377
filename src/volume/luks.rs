//! LUKS: volumes that Linux encrypts.

use super::format::{Format, Known, Look, Stage};
use crate::{Result, bytes::signature::has};

pub(super) struct Luks;

impl Format for Luks {
    fn known(&self) -> Known {
        Known { name: "LUKS", hint: "encrypted: open its raw view on Linux (cryptsetup open)" }
    }

    fn detect(&self, look: &Look<'_>) -> Result<bool> {
        Ok(look.stage == Stage::Front && has(look.front, 0, b"LUKS\xba\xbe"))
    }
}
