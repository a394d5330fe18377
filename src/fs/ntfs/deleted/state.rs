//! The recoverable part of a deleted file's content: its runs compared with `$Bitmap` and with the stored parts of the disk.

use super::Deleted;
use crate::{
    Result,
    bytes::{ByteSource, ExtentKind},
    fs::{
        NodeId,
        deleted::{Layout, State},
        ntfs::{
            attributes::{FLAG_COMPRESSION_MASK, WOF_STREAM, code},
            nodes::node::{self, Node},
            records::file::{File, Place, Value},
        },
    },
};

/// Maximum number of extent queries for one file; everything behind them counts as stored.
const MAX_EXTENTS: usize = 1 << 14;

/// The recovery state of a file or stream.
pub(super) fn of(deleted: &Deleted<'_>, id: NodeId) -> Result<State> {
    let Node { record, ordinal } = id.into();
    let file = deleted.file(record)?;
    if ordinal != 0 {
        let (name, _) = node::stream(&file, ordinal)?;
        return of_data(deleted, &file, &name);
    }
    let state = of_data(deleted, &file, &[])?;
    // The unnamed stream of a WOF-compressed file is one hole.
    if state.clusters == 0 && file.value(code::DATA, &WOF_STREAM)?.is_some() {
        return of_data(deleted, &file, &WOF_STREAM);
    }
    Ok(state)
}

fn of_data(deleted: &Deleted<'_>, file: &File<'_>, name: &[u16]) -> Result<State> {
    match file.value(code::DATA, name)? {
        Some(value) => of_value(deleted, &value),
        None if file.lists(code::DATA, name) => {
            Err(file.base.corrupt("the record that said where its content lies has another file now"))
        }
        None => Ok(State::default()),
    }
}

fn of_value(deleted: &Deleted<'_>, value: &Value) -> Result<State> {
    let Place::Clusters(runs) = &value.place else { return Ok(State::default()) };
    let size = deleted.live.mft.boot.cluster_size;
    // Beyond the valid length everything is zeros, whatever the clusters contain. A compressed unit is read as a whole.
    let needed = match value.flags & FLAG_COMPRESSION_MASK {
        0 => value.valid.min(value.size).div_ceil(size),
        _ => runs.len() / size,
    };
    let mut state = State { layout: Layout::Recorded, ..State::default() };
    let mut extents = 0;
    for (offset, position, len) in runs.iter() {
        let clusters = (len / size).min(needed.saturating_sub(offset / size));
        let (Some(position), true) = (position, clusters > 0) else { continue };
        let first = position / size;
        let free = deleted.freed().free.count(first..first.saturating_add(clusters))?;
        let holes = holes(&*deleted.live.mft.volume, position, clusters * size, &mut extents) / size;
        state.clusters = state.clusters.saturating_add(clusters);
        state.free = state.free.saturating_add(free);
        state.unstored = state.unstored.saturating_add(holes.min(free));
    }
    // If the end of the run list is lost, its clusters are lost.
    state.clusters = state.clusters.saturating_add(needed.saturating_sub(runs.len() / size));
    Ok(state)
}

/// Number of bytes of a range that the disk does not store.
fn holes(volume: &dyn ByteSource, mut position: u64, mut len: u64, extents: &mut usize) -> u64 {
    let mut holes = 0;
    while len > 0 && *extents < MAX_EXTENTS {
        *extents += 1;
        let Ok(extent) = volume.extent_at(position) else { break };
        let take = extent.len.min(len);
        // Beyond the volume's end there are no extents, and no free clusters.
        if take == 0 {
            break;
        }
        if extent.kind == ExtentKind::Hole {
            holes += take;
        }
        (position, len) = (position + take, len - take);
    }
    holes
}
