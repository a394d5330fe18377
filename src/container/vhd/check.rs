//! Checks a VHD: the footer and its copy, the dynamic disk header, and every entry of the block allocation table. A file
//! that has lost both footers is checked by its header.

mod blocks;

use std::sync::Arc;

use super::{
    LocatedFooter, MAX_VIRTUAL_SIZE,
    footer::{self, Footer, Trust},
    format::{FOOTER_SIZE, HEADER_SIZE, OLD_FOOTER_SIZE, SECTOR},
    header::Header,
    parent::ParentLocators,
};
use crate::{
    Error, Place, Result,
    bytes::{ByteSource, read_vec},
    check::{Finding, FindingSink},
    container::{Kind, findings::problem},
};

/// Size in bytes from which on the geometry is saturated and means "at least this".
const MAX_GEOMETRY: u64 = 65_535 * 16 * 255 * SECTOR;

/// Checks one file; its parents are checked separately.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read.
pub(in crate::container) fn check(file: &Arc<dyn ByteSource>, report: &mut dyn FindingSink) -> Result<()> {
    report.progress("footer", 0, 0);
    let found = footer::locate(&**file, Trust::Checksum);
    let found = found.or_else(|| footer::locate(&**file, Trust::Plausible));
    let Some(found) = found else {
        return without_footer(file, report);
    };
    footers(&**file, &found, report);
    if found.footer.current_size > MAX_VIRTUAL_SIZE {
        let problem = format!("a Current Size of {} bytes", found.footer.current_size);
        let meaning = "no VHD can be as large: the disk cannot be opened";
        report.finding(Finding::error("VHD footer", problem, meaning));
        return Ok(());
    }
    match found.footer.kind {
        Kind::Fixed => {
            fixed(found, &**file, report);
            Ok(())
        }
        Kind::Dynamic | Kind::Differencing => {
            let at = found.footer.data_offset;
            blocks(file, at, Some(found), report)
        }
    }
}

/// Checks a file that has lost both footers. A dynamic disk's header is usually in the second sector.
fn without_footer(file: &Arc<dyn ByteSource>, report: &mut dyn FindingSink) -> Result<()> {
    let meaning = "the disk cannot be opened, and its exact size is not known";
    let problem = "neither the footer at the end nor its copy at byte 0 can be used";
    report.finding(Finding::error("VHD footer", problem, meaning));
    blocks(file, FOOTER_SIZE as u64, None, report)
}

/// Checks the footer at the end and, if it exists, its copy.
fn footers(file: &dyn ByteSource, found: &LocatedFooter, report: &mut dyn FindingSink) {
    let footer = &found.footer;
    let end = read(file, file.size().checked_sub(FOOTER_SIZE as u64), FOOTER_SIZE).or_else(|error| {
        let old = read(file, file.size().checked_sub(OLD_FOOTER_SIZE as u64), OLD_FOOTER_SIZE);
        old.map_err(|_| error)
    });
    match &end {
        Ok(end) if end.checksum_matches => {}
        Ok(end) if end == footer => {
            let meaning = "its fields agree with the file and are used; other programs may refuse it";
            report.finding(Finding::warning("VHD footer", "wrong checksum", meaning));
        }
        Ok(_) => {
            let meaning = "its copy at byte 0 is used; nothing is lost";
            report.finding(Finding::warning("VHD footer", "wrong checksum", meaning));
        }
        Err(error) => {
            let meaning = "its copy at byte 0 is used; the file may have been cut off";
            report.finding(Finding::warning("VHD footer", problem(error), meaning));
        }
    }
    let whole_end = end.as_ref().is_ok_and(|end| end.checksum_matches);
    let meaning = match whole_end {
        true => "the footer at the end is whole; nothing is lost",
        false => "with both footers damaged, only that their fields agree with the file speaks for them",
    };
    if footer.kind != Kind::Fixed {
        match read(file, Some(0), FOOTER_SIZE) {
            Ok(copy) if copy.checksum_matches && whole_end && end.as_ref().is_ok_and(|end| *end != copy) => {
                let meaning = "one of them is old: the one at the end is used";
                report.finding(Finding::warning("VHD footer copy", "differs from the footer", meaning));
            }
            Ok(copy) if !copy.checksum_matches => {
                report.finding(Finding::warning("VHD footer copy", "wrong checksum", meaning));
            }
            Ok(_) => {}
            Err(error) => {
                report.finding(Finding::warning("VHD footer copy", problem(&error), meaning));
            }
        }
    }
    if footer.saved_state {
        let problem = "the virtual machine is in a saved state";
        let meaning = "files may be newer in its memory than on the disk";
        report.finding(Finding::warning("VHD footer", problem, meaning));
    }
    let cylinder = footer.cylinder_size;
    let (geometry, size) = (footer.geometry_size, footer.current_size);
    if geometry > 0 && geometry < MAX_GEOMETRY && geometry.saturating_add(cylinder) < size {
        let problem = format!("the geometry has {geometry} bytes, Current Size {size}");
        let meaning = "programs that count in cylinders, heads and sectors see a smaller disk";
        report.finding(Finding::note("VHD footer", problem, meaning));
    }
}

fn fixed(mut found: LocatedFooter, file: &dyn ByteSource, report: &mut dyn FindingSink) {
    let data_end = found.data_end;
    let virtual_size = size(&mut found, data_end, report);
    if virtual_size > data_end && !super::begins_with_table(file) {
        let problem = super::short(virtual_size, data_end);
        report.finding(Finding::note("VHD data", problem, super::CUT_OUT));
    } else if virtual_size > data_end {
        let missing = virtual_size - data_end;
        let problem = format!("the file is too short: the last {missing} bytes of the disk are missing");
        let meaning = "what the guest wrote there is lost; restore the file from a backup";
        report.finding(Finding::error("VHD data", problem, meaning));
    } else if virtual_size < data_end {
        let problem = format!("{} bytes between the disk's end and the footer", data_end - virtual_size);
        let meaning = format!("nothing reads them (the file has {} bytes)", file.size());
        report.finding(Finding::note("VHD data", problem, meaning));
    }
}

/// The disk's size, by the same rule as when it is opened; reports a size that is not Current Size.
fn size(found: &mut LocatedFooter, room: u64, report: &mut dyn FindingSink) -> u64 {
    let before = found.problems.len();
    let size = super::virtual_size(found, room);
    for problem in &found.problems[before..] {
        let meaning = "programs that go by Current Size cut the disk's end off";
        report.finding(Finding::warning("VHD footer", problem, meaning));
    }
    size
}

/// Checks dynamic and differencing disks: header, locators, table.
fn blocks(
    file: &Arc<dyn ByteSource>,
    header_at: u64,
    found: Option<LocatedFooter>,
    report: &mut dyn FindingSink,
) -> Result<()> {
    let header = match read_vec(&**file, header_at, HEADER_SIZE) {
        Ok(bytes) => Header::parse(&bytes, header_at),
        Err(error @ Error::Io { .. }) => Err(error),
        Err(_) => Err(Error::corrupt(
            "VHD dynamic disk header",
            Place::Byte(header_at),
            "lies beyond the end of the file",
        )),
    };
    let header = match header {
        Ok(header) => header,
        Err(error) => {
            let meaning = "without it the blocks cannot be found: the disk cannot be opened";
            report.finding(Finding::error("VHD dynamic disk header", problem(&error), meaning));
            return Ok(());
        }
    };
    if !header.checksum_matches {
        let meaning = "its fields are within their limits and are used; other programs may refuse it";
        report.finding(Finding::warning("VHD dynamic disk header", "wrong checksum", meaning));
    }
    let mapped = u64::from(header.max_table_entries) * header.block_size;
    let (kind, data_end) = match &found {
        Some(found) => (found.footer.kind, found.data_end),
        None => (Kind::Dynamic, file.size()),
    };
    let virtual_size = found.map_or(mapped, |mut found| size(&mut found, mapped, report));
    if mapped < virtual_size {
        let problem = format!("it is too short for the last {} bytes of the disk", virtual_size - mapped);
        let meaning = "they cannot be read";
        report.finding(Finding::error("VHD block allocation table", problem, meaning));
    }
    if kind == Kind::Differencing {
        let locators = ParentLocators::read(&**file, &header);
        for problem in &locators.problems {
            let meaning = "the others may still lead to the parent, which is recognized by its unique id";
            report.finding(Finding::note("VHD parent locator", problem, meaning));
        }
    }
    let layout = blocks::Layout { header_at, header: &header, kind, virtual_size, data_end };
    blocks::check(file, &layout, report)
}

/// Reads the footer at `offset`; an unreadable one counts as damaged.
fn read(source: &dyn ByteSource, offset: Option<u64>, len: usize) -> Result<Footer> {
    let offset =
        offset.ok_or_else(|| Error::corrupt("VHD footer", None, "the file is shorter than a footer"))?;
    Footer::parse(&read_vec(source, offset, len)?, offset)
}
