//! The check of `$Secure`: each entry of the index by id must lead to a descriptor in `$SDS`, which has two copies of each.

use std::collections::BTreeSet;

use super::{
    Check,
    tree::{Event, Tree},
};
use crate::{
    check::Severity,
    fs::{
        findings::Kind,
        ntfs::{
            attributes::code,
            records::{file::File, number},
            security::{self, Location},
        },
    },
};

const DESCRIPTOR: Kind = Kind {
    severity: Severity::Warning,
    name: "damaged security descriptors",
    meaning: "Windows grants access to files with this id to administrators only; their content is readable here.",
};
const COPY: Kind = Kind {
    severity: Severity::Warning,
    name: "damaged copies of security descriptors",
    meaning: "The other copy is used; nothing is lost.",
};

const SII: &[u16] = &[0x24, 0x53, 0x49, 0x49];
const SDS: &[u16] = &[0x24, 0x53, 0x44, 0x53];
/// Maximum number of ids, 64 MiB. Large servers have some ten thousand.
const MAX_IDS: usize = 1 << 20;

impl Check<'_, '_> {
    /// Checks the descriptors and returns the known ids; `None` if they are unknown. Damage of the index is reported with
    /// all indexes.
    pub(super) fn secure(&mut self) -> Option<BTreeSet<u32>> {
        let mft = &self.ntfs.mft;
        let file = File::open(mft, number::SECURE).ok()?;
        let mut tree = Tree::open(&file, &mft.boot, &mft.volume, SII).ok()??;
        let sds = file.source(code::DATA, SDS).ok()??;
        let mut ids = BTreeSet::new();
        let mut complete = true;
        tree.walk(&mut mft.boot.size().clone(), &mut |event| {
            let Event::Entry(entry) = event else {
                complete &= !matches!(event, Event::Damage(_));
                return;
            };
            let parsed = entry
                .data()
                .and_then(Location::parse)
                .and_then(|location| security::parse_key(entry.key).map(|id| (id, location)));
            let (id, location) = match parsed {
                Ok(parsed) => parsed,
                Err(error) => return self.findings.add(&DESCRIPTOR, "$SII", error.to_string()),
            };
            complete &= ids.len() < MAX_IDS;
            if complete {
                ids.insert(id);
            }
            let first = security::read_entry(&*sds, &location, location.offset);
            let copy = location.offset.saturating_add(security::BLOCK);
            let copy = security::read_entry(&*sds, &location, copy);
            match (first, copy) {
                (Ok(_), Ok(_)) => {}
                (Err(error), Err(_)) => {
                    self.findings.add(&DESCRIPTOR, format!("security id {id:#x}"), error.to_string());
                }
                (Err(error), Ok(_)) | (Ok(_), Err(error)) => {
                    self.findings.add(&COPY, format!("security id {id:#x}"), error.to_string());
                }
            }
        });
        complete.then_some(ids)
    }
}
