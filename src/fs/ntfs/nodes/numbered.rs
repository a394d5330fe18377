//! MFT records that are listed by their number: deleted files and orphans.

use std::ops::ControlFlow;

use super::{home::name_of, node::Summary};
use crate::{
    Error, Result,
    fs::{NameBuf, NodeId, NodeKind, ntfs::records::file::File, numbered::NumberedFile},
};

/// The name and type of a record for listings; `None` for one without a file: unused, reserved by Windows, an extension.
pub(in super::super) fn name_and_kind(file: Result<File<'_>>) -> Result<Option<(NameBuf, NodeKind)>> {
    let file = match file {
        Err(Error::NotFound(_)) => return Ok(None),
        file => file?,
    };
    let summary = Summary::of(&file)?;
    let name = name_of(&file)?.map(|(name, _)| name);
    // Windows reserves some records, which have neither.
    if name.is_none() && summary.data.is_none_or(|data| data.size == 0) {
        return Ok(None);
    }
    Ok(Some((name.unwrap_or_default(), summary.kind.unwrap_or(NodeKind::File))))
}

/// Calls `sink` for each of these records that has a file, until it breaks. Damaged ones are skipped; one line of the log
/// counts them as those `of` deleted files, say.
pub(in super::super) fn each<'a>(
    records: impl Iterator<Item = u64>,
    file: impl Fn(u64) -> Result<File<'a>>,
    of: &str,
    sink: &mut dyn FnMut(NumberedFile<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let (mut flow, mut damaged) = (ControlFlow::Continue(()), 0_u64);
    for number in records {
        match name_and_kind(file(number)) {
            Ok(Some((name, kind))) => {
                flow = sink(NumberedFile { number, node: NodeId(number), name: name.as_name(), kind });
            }
            Ok(None) => {}
            Err(error) => {
                log::debug!("MFT record {number} {of}: {error}");
                damaged += 1;
            }
        }
        if flow.is_break() {
            break;
        }
    }
    if damaged > 0 {
        log::warn!("{damaged} MFT records {of} are damaged and not listed");
    }
    flow
}
