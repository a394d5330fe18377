//! Storage Spaces: the pools of Windows.

use super::format::{Format, Known, Look, Stage};
use crate::Result;

pub(super) struct StorageSpaces;

impl Format for StorageSpaces {
    fn known(&self) -> Known {
        Known {
            name: "Storage Spaces",
            hint: "part of a Storage Spaces pool: attach all disks of the pool to a Windows machine",
        }
    }

    fn detect(&self, look: &Look<'_>) -> Result<bool> {
        let found = || look.front.chunks(512).any(|sector| sector.starts_with(b"SPACEDB "));
        Ok(look.stage == Stage::Last && found())
    }
}
