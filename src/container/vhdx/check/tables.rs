//! Checks both region tables (MS-VHDX 2.2.3): each separately, whether they agree, and the places of their regions.

use std::ops::Range;

use super::super::{
    format::{self, REGION_TABLE_OFFSETS, TABLE_SIZE},
    region::{self, Region, Regions},
};
use crate::{
    Error, Result,
    bytes::{ByteSource, read_around_bad_sectors},
    check::{Finding, FindingSink},
    container::findings::problem,
};

/// The region table in use.
pub(super) struct Checked {
    pub(super) known: Regions,
    /// The ranges of all regions, known and unknown.
    pub(super) ranges: Vec<Range<u64>>,
}

/// Reports the problems of the tables; `None` when neither is usable, without which the disk cannot be read.
pub(super) fn regions(
    source: &dyn ByteSource,
    log: &Range<u64>,
    report: &mut dyn FindingSink,
) -> Result<Option<Checked>> {
    let [first, second] = REGION_TABLE_OFFSETS;
    let (regions, offset) = match (read(source, first), read(source, second)) {
        (Ok(one), Ok(two)) => {
            if one != two {
                let problem = "the two tables are whole but differ; the first is used";
                let meaning =
                    "one of them is old: if it is the first, the block table is read from the wrong place";
                report.finding(Finding::error("VHDX region table", problem, meaning));
            }
            (one, first)
        }
        (Ok(one), Err(error)) => {
            copy_is_left(2, &error, 1, report);
            (one, first)
        }
        (Err(error), Ok(two)) => {
            copy_is_left(1, &error, 2, report);
            (two, second)
        }
        (Err(one), Err(two)) => {
            let meaning = "both tables are damaged: where the block table and the metadata lie is not known, and the disk \
                           cannot be opened";
            report.finding(Finding::error("VHDX region table 1", problem(&one), meaning));
            report.finding(Finding::error("VHDX region table 2", problem(&two), meaning));
            return Ok(None);
        }
    };
    places(source, &regions, report);
    match Regions::select(&regions, log, offset) {
        Ok(known) => {
            Ok(Some(Checked { known, ranges: regions.into_iter().map(|region| region.range).collect() }))
        }
        Err(error) => {
            report.finding(Finding::error("VHDX region table", problem(&error), "the disk cannot be opened"));
            Ok(None)
        }
    }
}

fn copy_is_left(damaged: u8, error: &Error, whole: u8, report: &mut dyn FindingSink) {
    let structure = format!("VHDX region table {damaged}");
    let meaning = format!("table {whole} says the same and is used; nothing is lost");
    report.finding(Finding::warning(structure, problem(error), meaning));
}

fn places(source: &dyn ByteSource, regions: &[Region], report: &mut dyn FindingSink) {
    for region in regions {
        let known = [format::BAT, format::METADATA].contains(&region.guid);
        if !known && !region.required {
            let problem = format!("region {} is unknown", region.guid);
            let meaning = "it is marked as not required: the disk is read without it";
            report.finding(Finding::note("VHDX region table", problem, meaning));
        }
        if region.range.end > source.size() {
            let name = match region.guid {
                format::BAT => "the BAT region".to_owned(),
                format::METADATA => "the metadata region".to_owned(),
                other => format!("region {other}"),
            };
            let beyond = region.range.end - source.size().max(region.range.start);
            let problem = format!("{name} ends {beyond} bytes beyond the end of the file");
            let meaning = "the file was cut off: what the missing part described is lost";
            report.finding(Finding::error("VHDX region table", problem, meaning));
        }
    }
}

/// Reads the table at `offset`; an unreadable one counts as damaged.
fn read(source: &dyn ByteSource, offset: u64) -> Result<Vec<Region>> {
    let (bytes, _) = read_around_bad_sectors(source, offset, TABLE_SIZE)?;
    region::parse(&bytes, offset)
}
