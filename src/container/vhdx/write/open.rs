//! Opening an image for writing: everything is validated before anything is written, then a dirty log is replayed into the file, which is a
//! modification like any other.

use std::{collections::HashSet, sync::Arc};

use super::{
    super::{
        format::HEADER_SECTION,
        header::Header,
        log::{self, Replay, Update},
        metadata::Metadata,
        region,
    },
    Writer,
    headers::{Change, Headers},
    log::Log,
    pages::Pages,
    survey::survey,
};
use crate::{
    Error, Place, Result,
    bytes::{Backing, ByteSource, ExtentKind},
    container::{
        LogState,
        writer::{Publish, WriteOptions, fixed_at_end},
    },
    guid::Guid,
};

/// The first byte that a log may change: what is before it, the headers, is never logged.
const FIRST_LOGGED: u64 = 192 << 10;

/// Opens an image; `parent` is the disk below a differencing one.
pub(in crate::container) fn open(
    file: Arc<dyn Backing>,
    parent: Option<Arc<dyn ByteSource>>,
    options: &WriteOptions,
) -> Result<Writer> {
    if file.size() < HEADER_SECTION {
        let problem = "the file ends inside the header section of 1 MiB: truncated";
        return Err(Error::corrupt("VHDX file", Place::Byte(file.size()), problem));
    }
    let header = Header::read_current(&*file, &mut Vec::new())?;
    if header.log_version != 0 {
        return Err(Error::unsupported(format!("writing with VHDX log version {}", header.log_version)));
    }
    log::place(&header, file.size())?;
    let mut headers = Headers::read(&*file, &header)?;
    let outcome = log::apply(file.clone(), &header, true)?;
    let source = outcome.source;
    let regions = region::Regions::read_all(&*source, &header.log_range())?;
    let metadata = Metadata::read(&*source, &regions.known.metadata, &mut Vec::new())?;
    match (&metadata.parent, &parent) {
        (Some(_), None) => {
            return Err(Error::not_found("a differencing image is not written without its parent"));
        }
        (None, Some(_)) => return Err(Error::invalid("a parent is given for an image that has none")),
        _ => {}
    }
    let is_fixed = metadata.leave_block_allocated && metadata.parent.is_none();
    if is_fixed && options.publish == Publish::Unmount {
        return Err(fixed_at_end());
    }
    let geometry = metadata.geometry();
    let (table, needed) = (&regions.known.bat, geometry.entries() * 8);
    if table.end - table.start < needed {
        let problem = format!("{} bytes instead of at least {needed}", table.end - table.start);
        return Err(Error::corrupt("VHDX BAT", Place::Byte(table.start), problem));
    }
    let structures: Vec<_> =
        [0..HEADER_SECTION, header.log_range()].into_iter().chain(regions.ranges).collect();
    let space = survey(&*source, geometry, table.start, &structures)?;
    if matches!(outcome.log, LogState::Replayed { .. }) {
        drop(source);
        replay(&*file, &header, &mut headers)?;
    }
    Ok(Writer {
        parent,
        geometry,
        is_fixed,
        table: table.start,
        headers,
        pages: Pages::default(),
        log: Log::new(header.log_range(), options.log_limit),
        space,
        commit: options.commit,
        started: false,
        changed: false,
        data_first: false,
        flushed_len: file.size(),
        unwritten: file.size(),
        unpublished: HashSet::new(),
        at_end: options.publish == Publish::Unmount,
        fresh_bitmaps: HashSet::new(),
        file,
    })
}

/// Writes the updates of a dirty log to their places, then marks the log as empty.
fn replay(file: &dyn Backing, header: &Header, headers: &mut Headers) -> Result<()> {
    let log = header.log_range();
    let replay = Replay::find(file, header)?;
    let size = replay.file_size().max(file.size());
    let misplaced = |offset: u64| {
        let problem = format!("an update of byte {offset:#x}, where no log has anything to change");
        Err(Error::corrupt("VHDX log", Place::Byte(log.start), problem))
    };
    replay.each(|update| {
        let (offset, len) = match &update {
            Update::Data(offset, bytes) => (*offset, bytes.len() as u64),
            Update::Zeros(offset, len) => (*offset, *len),
        };
        // Cannot overflow: entries are validated to end below 2^63.
        let end = offset + len;
        let is_logs = offset < log.end && log.start < end;
        if offset < FIRST_LOGGED || is_logs || end > size { misplaced(offset) } else { Ok(()) }
    })?;
    headers.update(file, Change { file_write_guid: Some(Guid::random()), ..Change::default() })?;
    if size > file.size() {
        file.set_len(size)?;
    }
    replay.each(|update| match update {
        Update::Data(offset, bytes) => file.write_all_at(offset, bytes),
        Update::Zeros(offset, len) => clear(file, offset, offset + len),
    })?;
    file.flush()?;
    headers.update(file, Change { log_guid: Some(Guid::ZERO), ..Change::default() })
}

/// Makes a range of the file zeros; what is a hole already costs nothing.
pub(super) fn clear(file: &dyn Backing, mut from: u64, to: u64) -> Result<()> {
    while from < to {
        let extent = file.extent_at(from)?;
        let end = from.saturating_add(extent.len.max(1)).min(to);
        if extent.kind == ExtentKind::Data {
            file.punch_hole(from..end)?;
        }
        from = end;
    }
    Ok(())
}
