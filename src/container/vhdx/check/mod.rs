//! Checks a VHDX file: every structure of MS-VHDX that the reader uses, both copies of the duplicated ones, and every
//! entry of the block table. Continues as long as any structure can be checked, so a file that cannot be opened still
//! gets a diagnosis.

mod bat;
mod headers;
mod space;
mod tables;

pub(super) use self::bat::{Entries, Owner, Seen};

use std::sync::Arc;

use super::{
    format::{self, MIB},
    header::Header,
    log,
    metadata::Metadata,
};
use crate::{
    Result,
    bytes::ByteSource,
    check::{Finding, FindingSink},
    container::findings::problem,
};

/// Checks one file; its parents are checked separately. `replay`: as the disk is read with its log replayed.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read.
pub(in crate::container) fn check(
    file: &Arc<dyn ByteSource>,
    replay: bool,
    report: &mut dyn FindingSink,
) -> Result<()> {
    report.progress("headers", 0, 0);
    if file.size() < format::HEADER_SECTION {
        let problem = format!("it has {} bytes, and the header section alone has 1 MiB", file.size());
        let meaning = "the file was cut off: nothing of the disk is left; restore it from a backup";
        report.finding(Finding::error("VHDX file", problem, meaning));
        return Ok(());
    }
    headers::identifier(&**file, report);
    let header = headers::both(&**file, report)?;
    let source = match &header {
        Some(header) => replayed(file, header, replay, report)?,
        None => file.clone(),
    };
    if !file.size().is_multiple_of(MIB) {
        let problem = format!("its {} bytes are not whole MiB", file.size());
        let meaning = "every structure begins at a MiB: something was appended, or the end was cut off";
        report.finding(Finding::note("VHDX file", problem, meaning));
    }

    report.progress("tables", 0, 0);
    let log_range = header.as_ref().map_or(0..0, Header::log_range);
    let Some(regions) = tables::regions(&*source, &log_range, report)? else { return Ok(()) };
    let mut problems = Vec::new();
    let metadata = match Metadata::read(&*source, &regions.known.metadata, &mut problems) {
        Ok(metadata) => metadata,
        Err(error) => {
            let meaning =
                "without the metadata neither the disk's size nor its blocks are known: it cannot be opened";
            report.finding(Finding::error("VHDX metadata", problem(&error), meaning));
            return Ok(());
        }
    };
    for problem in problems {
        let meaning = "reading does not need it; Hyper-V may refuse the disk";
        report.finding(Finding::warning("VHDX metadata", problem, meaning));
    }
    bat::check(&source, &metadata, &regions, &log_range, report)
}

/// The file with its log replayed, if it has one that can be replayed.
fn replayed(
    file: &Arc<dyn ByteSource>,
    header: &Header,
    replay: bool,
    report: &mut dyn FindingSink,
) -> Result<Arc<dyn ByteSource>> {
    if header.log_guid.is_zero() {
        if let Err(error) = log::place(header, file.size()) {
            let meaning = "it is empty, so nothing is missing; Hyper-V may refuse to write to the disk";
            report.finding(Finding::warning("VHDX log", problem(&error), meaning));
        }
        return Ok(file.clone());
    }
    match log::apply(file.clone(), header, replay) {
        Ok(outcome) if !replay => {
            let meaning = "the file is examined as it is; what the log would put right shows as damage";
            report.finding(Finding::warning("VHDX log", outcome.log.to_string(), meaning));
            Ok(outcome.source)
        }
        Ok(outcome) => {
            let problem = format!("the disk was not closed properly; {}", outcome.log);
            let meaning = "nothing is lost: the log is replayed in memory whenever the disk is read, and by Hyper-V when it is \
                           attached";
            report.finding(Finding::warning("VHDX log", problem, meaning));
            if outcome.torn {
                let problem = "its newest entry is incomplete: the crash came while it was written";
                let meaning = "what it held was never in force; the disk is consistent without it";
                report.finding(Finding::note("VHDX log", problem, meaning));
            }
            Ok(outcome.source)
        }
        Err(error) => {
            let meaning = "the last changes of the block table and the metadata may be lost: what follows is the file without \
                           them";
            report.finding(Finding::error("VHDX log", problem(&error), meaning));
            Ok(file.clone())
        }
    }
}
