//! Raw images and block devices: the bytes are the disk.

use std::sync::Arc;

use super::{Format, Growth, Kind, Layer, LayerInfo, Place, Segment};
use crate::{Error, Result, bytes::ByteSource};

/// An image without a container.
pub struct Raw {
    source: Arc<dyn ByteSource>,
    info: LayerInfo,
}

/// Takes `file` as it is; `path` is for messages and [`LayerInfo::path`].
pub fn open(file: Arc<dyn ByteSource>, path: &str) -> Raw {
    let size = file.size();
    let mut problems = Vec::new();
    if !size.is_multiple_of(512) {
        problems.push(format!("{size} bytes are not whole sectors: the file may be cut off"));
    }
    let info = LayerInfo {
        path: path.to_owned(),
        format: Format::Raw,
        kind: Kind::Fixed,
        version: String::new(),
        creator: String::new(),
        file_size: size,
        virtual_size: size,
        block_size: 0,
        logical_sector_size: 0,
        physical_sector_size: 0,
        disk_id: String::new(),
        data_id: String::new(),
        parent_id: String::new(),
        parent_paths: Vec::new(),
        log: String::new(),
        problems,
    };
    Raw { source: file, info }
}

impl Layer for Raw {
    fn virtual_size(&self) -> u64 {
        self.info.virtual_size
    }

    fn source(&self) -> &Arc<dyn ByteSource> {
        &self.source
    }

    fn resolve(&self, offset: u64) -> Result<Segment> {
        match self.virtual_size().checked_sub(offset) {
            None | Some(0) => Err(Error::invalid(format!("{offset:#x} lies beyond the end of the disk"))),
            Some(len) => Ok(Segment { place: Place::File(offset), len }),
        }
    }

    fn allocation(&self, offset: u64) -> Result<Segment> {
        self.resolve(offset)
    }

    fn growth(&self) -> Growth {
        Growth { block_size: 1, block_cost: 1, group: None }
    }

    fn info(&self) -> &LayerInfo {
        &self.info
    }
}
