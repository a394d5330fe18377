//! Content from a source into a file, without holes, and what the limits of image and destination allow of it.

use std::{io, ops::Range};

use vhdmount::{
    bytes::{ByteSource, ExtentKind},
    size::human,
};

use super::{
    Context, CopyError,
    target::{self, File},
};

/// Bytes read and written at once; the size of each worker's buffer.
pub(super) const PIECE: usize = 1 << 20;

/// The size to copy, if the image and the destination can hold all of it.
pub(super) fn check_size(context: &Context<'_>, source: &dyn ByteSource) -> Result<u64, CopyError> {
    let size = source.size();
    let max = context.options.max_size.unwrap_or(u64::MAX);
    if size > max {
        let why = format!("{size} bytes long: larger than --max-size {max}");
        return Err(CopyError::Failed(why));
    }
    if let Some(held) = source.missing_from() {
        let why = format!("damaged: its size is {size} bytes, its run list holds {held} (cat prints these)");
        return Err(CopyError::Failed(why));
    }
    if size > context.target.max_file() {
        let max = context.target.max_file();
        let why = format!(
            "{size} bytes long, and the destination's filesystem (FAT) keeps at most {max} in a file"
        );
        return Err(CopyError::Failed(why));
    }
    Ok(size)
}

/// The number of bytes from `at` on that are a hole; `None` where data follows.
pub(super) fn hole_at(source: &dyn ByteSource, at: u64) -> Option<u64> {
    let extent = source.extent_at(at).ok()?;
    (extent.kind == ExtentKind::Hole && extent.len > 0).then_some(extent.len)
}

/// Copies a whole source into an empty file, without its holes. `shown`: the file's path for messages.
pub(super) fn copy_whole(
    context: &Context<'_>,
    source: &dyn ByteSource,
    file: &File,
    shown: &dyn Fn() -> String,
    buffer: &mut [u8],
) -> Result<(), CopyError> {
    let size = check_size(context, source)?;
    copy_range(context, source, (shown, file), 0..size, buffer)?;
    let len = file.metadata().map_err(|error| context.refused(&shown(), &error))?.len();
    if len < size {
        file.set_len(size).map_err(|error| refused(context, shown, file, size, &error))?;
    }
    Ok(())
}

/// Copies a range of the content to its place, without its holes.
pub(super) fn copy_range(
    context: &Context<'_>,
    source: &dyn ByteSource,
    (shown, file): (&dyn Fn() -> String, &File),
    range: Range<u64>,
    buffer: &mut [u8],
) -> Result<(), CopyError> {
    let mut at = range.start;
    while at < range.end {
        if context.stop.is_set() {
            return Err(CopyError::Stopped);
        }
        let rest = range.end - at;
        // If the extent is unknown the range is read; an error then comes from the read.
        let stored = match source.extent_at(at) {
            Ok(extent) if extent.kind == ExtentKind::Hole && extent.len > 0 => {
                let len = extent.len.min(rest);
                context.log.bytes.add(len);
                at += len;
                continue;
            }
            Ok(extent) if extent.len > 0 => extent.len.min(rest),
            _ => rest,
        };
        let take = usize::try_from(stored).map_or(buffer.len(), |stored| stored.min(buffer.len()));
        source
            .read_exact_at(at, &mut buffer[..take])
            .map_err(|error| CopyError::Failed(error.to_string()))?;
        let written = target::write_all_at(file, &buffer[..take], at);
        let end = at + take as u64;
        written.map_err(|error| refused(context, shown, file, end, &error))?;
        context.log.bytes.add(take as u64);
        at = end;
    }
    Ok(())
}

/// Interprets a refused write at or up to `size`. For a file that is too large it states the limit.
pub(super) fn refused(
    context: &Context<'_>,
    shown: &dyn Fn() -> String,
    file: &File,
    size: u64,
    error: &io::Error,
) -> CopyError {
    if error.kind() != io::ErrorKind::FileTooLarge {
        return context.refused(&shown(), error);
    }
    let (mut taken, mut refused) = (0, size);
    while refused - taken > 1 {
        let middle = taken.midpoint(refused);
        if file.set_len(middle).is_ok() { taken = middle } else { refused = middle }
    }
    CopyError::Failed(match target::file_limit() {
        Some(limit) if limit <= refused => format!(
            "{size} bytes long, and this process may write files of at most {limit} ({}): `ulimit -f` sets that",
            human(limit)
        ),
        _ => format!(
            "{size} bytes long, and the destination's filesystem keeps at most {taken} ({}) in a file",
            human(taken)
        ),
    })
}
