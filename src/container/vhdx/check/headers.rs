//! Checks the file type identifier and both headers (MS-VHDX 2.2.1, 2.2.2).

use super::super::{
    format::{FileTypeIdentifier, HEADER_OFFSETS},
    header::{self, Header},
};
use crate::{
    Error, Result,
    bytes::{ByteSource, read_vec},
    check::{Finding, FindingSink},
    container::findings::problem,
};

pub(super) fn identifier(source: &dyn ByteSource, report: &mut dyn FindingSink) {
    let identifier = read_vec(source, 0, size_of::<FileTypeIdentifier>());
    if let Err(error) = identifier.and_then(|bytes| header::parse_identifier(&bytes)) {
        let meaning = "no program takes the file for a VHDX: its first 8 bytes must be \"vhdxfile\"; on a copy, write them back";
        report.finding(Finding::error("VHDX file type identifier", problem(&error), meaning));
    }
}

/// Reports the problems of both headers and returns the current one.
pub(super) fn both(source: &dyn ByteSource, report: &mut dyn FindingSink) -> Result<Option<Header>> {
    let headers = read(source);
    match &headers {
        [Ok(first), Ok(second)] => {
            if first.sequence_number == second.sequence_number && first != second {
                let problem = format!(
                    "both have the sequence number {}, but they differ otherwise",
                    first.sequence_number
                );
                let meaning = "which one is newer is not known: the first is used; if that is wrong, so are the log and the \
                               identity that children look for";
                report.finding(Finding::error("VHDX headers", problem, meaning));
            }
        }
        [Ok(whole), Err(error)] => one(2, error, 1, whole, report),
        [Err(error), Ok(whole)] => one(1, error, 2, whole, report),
        [Err(first), Err(second)] => {
            let meaning = "both headers are damaged: the disk cannot be opened, and whether its log holds changes is not known; \
                           what follows is the file without a log";
            report.finding(Finding::error("VHDX header 1", problem(first), meaning));
            report.finding(Finding::error("VHDX header 2", problem(second), meaning));
            return Ok(None);
        }
    }
    match Header::read_current(source, &mut Vec::new()) {
        Ok(header) => Ok(Some(header)),
        Err(error @ Error::Io { .. }) => Err(error),
        Err(error) => {
            let meaning = "written by something newer than this program: the disk is not opened";
            report.finding(Finding::error("VHDX header", error.to_string(), meaning));
            Ok(None)
        }
    }
}

fn one(damaged: u8, error: &Error, whole: u8, header: &Header, report: &mut dyn FindingSink) {
    let meaning = format!(
        "header {whole} is whole (sequence number {}) and is used; if the damaged one was newer, the last changes are \
         lost; the next program that writes to the disk rewrites it",
        header.sequence_number
    );
    report.finding(Finding::warning(format!("VHDX header {damaged}"), problem(error), meaning));
}

/// Reads both headers, or what is wrong with each; an unreadable one counts as damaged.
fn read(source: &dyn ByteSource) -> [Result<Header>; 2] {
    HEADER_OFFSETS.map(|offset| Header::read(source, offset))
}
