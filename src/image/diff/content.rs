//! Whether two files have the same content, with as few reads as that takes.

use crate::{
    Result,
    bytes::{ByteSource, ExtentKind},
};

/// Bytes that are compared at once.
const PIECE: u64 = 1 << 20;

pub(super) fn differ(new: &dyn ByteSource, old: &dyn ByteSource) -> Result<bool> {
    if new.size() != old.size() {
        return Ok(true);
    }
    let (mut at, size) = (0, new.size());
    let (mut one, mut other) = (Vec::new(), Vec::new());
    while at < size {
        let same = same_place(new, old, at)?;
        if same > 0 {
            at += same.min(size - at);
            continue;
        }
        let len = usize::try_from(PIECE.min(size - at)).expect("a piece");
        one.resize(len, 0);
        other.resize(len, 0);
        new.read_exact_at(at, &mut one)?;
        old.read_exact_at(at, &mut other)?;
        if one != other {
            return Ok(true);
        }
        at += len as u64;
    }
    Ok(false)
}

/// Bytes from `at` on that are the same ones in both: in one place of one file of the host, or holes.
fn same_place(new: &dyn ByteSource, old: &dyn ByteSource, at: u64) -> Result<u64> {
    if let (Some(new), Some(old)) = (new.in_file(at), old.in_file(at))
        && std::ptr::eq(new.file, old.file)
        && new.offset == old.offset
    {
        return Ok(new.len.min(old.len));
    }
    let (new, old) = (new.extent_at(at)?, old.extent_at(at)?);
    let are_holes = new.kind == ExtentKind::Hole && old.kind == ExtentKind::Hole;
    Ok(if are_holes { new.len.min(old.len) } else { 0 })
}
