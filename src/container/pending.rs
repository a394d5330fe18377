//! What a program that writes an image has put into the file, and no block refers to yet: a session that is published at its end alone
//! keeps all of its data there until then.

use std::ops::Range;

use super::{Layer, Place, image::Image, locks};
use crate::{
    Result,
    bytes::{ByteSource, ExtentKind, FileSource},
    size::human,
};

/// Most stretches of blocks and of the file that are looked at: disks of terabytes in whole, of larger ones the beginning.
const MAX_STRETCHES: usize = 1 << 20;
/// Less than this is what a growing file has at its edges.
const MIN: u64 = 64 << 10;

/// A file of a chain that another program writes.
pub(super) struct Writer {
    /// Its place in the chain.
    pub(super) index: usize,
    path: String,
    pending: u64,
}

/// The files of a chain that are open for writing elsewhere.
pub(super) fn writers(images: &[Image]) -> Vec<Writer> {
    let files =
        images.iter().enumerate().filter_map(|(index, image)| Some((index, image, image.file.as_deref()?)));
    let written = files.filter(|(_, _, file)| locks::has_writer(file)).map(|(index, image, file)| Writer {
        index,
        path: file.path().display().to_string(),
        // A table that cannot be read is reported elsewhere.
        pending: bytes(&*image.layer, file).unwrap_or(0),
    });
    written.collect()
}

impl Writer {
    /// What the user should know.
    pub(super) fn text(&self) -> String {
        let text = format!(
            "{} is being written by another program: what is read of it may be old in one place and new in another",
            self.path
        );
        match self.pending() {
            Some(pending) => format!("{text}. {pending}"),
            None => text,
        }
    }

    /// What is in the file and cannot be seen yet; `None` if there is nothing.
    pub(super) fn pending(&self) -> Option<String> {
        (self.pending > 0).then(|| {
            format!(
                "A publish is pending: {} of what was written belong to no block yet",
                human(self.pending)
            )
        })
    }
}

/// Bytes of data in the file that belong to no block and no structure; 0 for formats without blocks.
///
/// # Errors
/// When the block table cannot be read.
fn bytes(layer: &dyn Layer, file: &FileSource) -> Result<u64> {
    let mut used = used(layer)?;
    if used.is_empty() {
        return Ok(0);
    }
    used.sort_unstable_by_key(|range| range.start);
    let (mut pending, mut at, mut next) = (0, 0, 0);
    for _ in 0..MAX_STRETCHES {
        let extent = file.extent_at(at)?;
        let end = at.saturating_add(extent.len);
        if extent.len == 0 {
            break;
        }
        if extent.kind == ExtentKind::Data {
            let mut from = at;
            while from < end {
                while used.get(next).is_some_and(|range| range.end <= from) {
                    next += 1;
                }
                let stretch = used.get(next).map_or(end..end, |range| range.start.max(from)..range.end);
                pending += stretch.start.min(end) - from;
                from = stretch.end.max(stretch.start);
            }
        }
        at = end;
    }
    Ok(if pending < MIN { 0 } else { pending })
}

/// The places of all blocks and structures; empty for a format without blocks.
fn used(layer: &dyn Layer) -> Result<Vec<Range<u64>>> {
    let (info, structures, growth) = (layer.info(), layer.structures(), layer.growth());
    if info.block_size == 0 || structures.reserved.is_empty() {
        return Ok(Vec::new());
    }
    let mut used = structures.reserved;
    let (mut at, end) = (0, layer.virtual_size());
    for _ in 0..MAX_STRETCHES {
        if at >= end {
            break;
        }
        let segment = layer.allocation(at)?;
        if let Place::File(place) = segment.place {
            let head = place.saturating_sub(structures.block_head);
            used.push(head..place.saturating_add(segment.len.next_multiple_of(info.block_size)));
        }
        at += segment.len.max(1);
    }
    if let Some((blocks, len)) = growth.group {
        let groups = end.div_ceil(growth.block_size.saturating_mul(blocks).max(1));
        for group in 0..groups.min(MAX_STRETCHES as u64) {
            if let Some(place) = layer.group_place(group)? {
                used.push(place..place.saturating_add(len));
            }
        }
    }
    Ok(used)
}
