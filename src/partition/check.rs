//! Checks a partition table: reports the problems that the scan found, and further faults that do not affect reading but
//! matter when the disk is repaired or extended.

use std::sync::Arc;

use super::{Scheme, Table, gpt, mbr};
use crate::{
    bytes::{ByteSource, read_vec},
    check::{Finding, FindingSink},
};

/// Reports what is wrong with `table`, which was scanned from `disk`.
pub fn check(disk: &Arc<dyn ByteSource>, table: &Table, report: &mut dyn FindingSink) {
    let structure = match table.scheme {
        Scheme::Gpt => "GUID partition table",
        Scheme::Mbr => "master boot record",
        Scheme::None => "partition table",
    };
    table.problems.iter().for_each(|problem| report.finding(problem.finding(structure)));
    for partition in &table.partitions {
        let structure = format!("partition {}", partition.number);
        partition.problems.iter().for_each(|problem| report.finding(problem.finding(&structure)));
    }
    let boot = read_vec(disk.as_ref(), 0, 512).ok();
    let record = boot.as_deref().and_then(mbr::Record::parse);
    match (table.scheme, record) {
        (Scheme::Gpt, record) => {
            if let Some(record) = record {
                mbr::check::protective(&record, disk.size() / u64::from(table.sector_size), report);
            }
            gpt::check::check(disk, table, report);
        }
        (Scheme::Mbr, Some(record)) => mbr::check::check(&record, table, report),
        _ => {}
    }
    identities(table, report);
}

/// Reports partitions that share an identifier which should be unique.
fn identities(table: &Table, report: &mut dyn FindingSink) {
    let mut ids: Vec<_> =
        table.partitions.iter().filter_map(|partition| Some((partition.id?, partition.number))).collect();
    ids.sort_unstable();
    for (id, number) in ids.iter().filter(|(id, _)| id.is_zero()) {
        let problem = format!("its identity is {id}");
        let meaning = "programs that look for it by identity do not find it";
        report.finding(Finding::warning(format!("partition {number}"), problem, meaning));
    }
    for pair in ids.windows(2).filter(|pair| pair[0].0 == pair[1].0 && !pair[0].0.is_zero()) {
        let [(id, first), (_, second)] = [pair[0], pair[1]];
        let problem = format!("has the same identity as partition {first} ({id})");
        let meaning =
            "programs that look for either by identity may take the other; sgdisk -u gives it a new one";
        report.finding(Finding::warning(format!("partition {second}"), problem, meaning));
    }
}
