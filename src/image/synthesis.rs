//! The synthetic files of a tree (`.capacity`, `info.json`) and the space that `df` shows, made anew at each access.

use std::sync::Arc;

use super::{Image, Opened, live::Live};
use crate::{Result, fs::Usage, json, tree::Generator};

pub(super) struct Synthesis {
    capacity: Live,
    opened: Arc<Opened>,
}

impl Synthesis {
    pub(super) fn new(image: &Image) -> Self {
        Self { capacity: Live::new(image), opened: image.opened.clone() }
    }
}

impl Generator for Synthesis {
    fn capacity(&self) -> Result<String> {
        Ok(self.capacity.report()?.to_toml())
    }

    fn capacity_json(&self) -> Result<String> {
        Ok(json::to_text(&self.capacity.report()?))
    }

    fn info_json(&self) -> Result<String> {
        Ok(json::to_text(&self.opened.info(u64::MAX)))
    }

    fn disk_usage(&self) -> Result<Usage> {
        self.capacity.disk_usage()
    }

    fn volume_usage(&self, index: usize) -> Result<Usage> {
        self.capacity.volume_usage(index)
    }
}
