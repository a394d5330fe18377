//! The end of a pass: compares records with `$MFT`'s bitmap, and names in records with directory entries.

use super::{
    Check,
    facts::{Facts, flag},
};
use crate::{
    Remedy,
    check::Severity,
    fs::{
        findings::Kind,
        ntfs::attributes::{Form, code, file_name::FileName},
    },
};

const UNPROTECTED: Kind = Kind {
    severity: Severity::Error,
    name: "MFT records in use that are marked as free",
    meaning: "What they hold is read, but the next file that Windows makes may take the record. Run chkdsk /f before the \
              volume is written to.",
};
const RESERVED: Kind = Kind {
    severity: Severity::Warning,
    name: "MFT records marked as used",
    meaning: "Nothing is lost; Windows does not use these records again. chkdsk /f frees them.",
};
const NAMELESS: Kind = Kind {
    severity: Severity::Error,
    name: "files and directories without a name",
    meaning: "No directory can lead to it; it is among the orphans and read as pN/.orphans/NUMBER. chkdsk /f puts it into a folder \
              found.000.",
};
const ORPHAN: Kind = Kind {
    severity: Severity::Error,
    name: "files and directories that no directory names",
    meaning: "It exists, but no directory lists it: it is among the orphans and read as pN/.orphans/NUMBER. chkdsk /f puts it back \
              into its directory, or into a folder found.000.",
};
const UNNAMED: Kind = Kind {
    severity: Severity::Note,
    name: "files and directories in damaged directories",
    meaning: "They follow from the damage that is reported of their directories; they themselves may be sound. Those that no \
              readable part of a directory names are among the orphans.",
};
const NAMES: Kind = Kind {
    severity: Severity::Warning,
    name: "names that record and directories do not agree on",
    meaning: "It is found and read by the names that are listed; one name may be missing, or one too many.",
};
const LINKS: Kind = Kind {
    severity: Severity::Warning,
    name: "wrong link counts",
    meaning: "Nothing is lost as long as the volume is only read; Windows could free it when one of its names is \
              deleted. chkdsk /f corrects the count.",
};

/// The first record that is not reserved for the system: those before it are marked as used, but not always have a file or a
/// name.
const FIRST_FREE: u64 = 24;
/// Maximum number of base records whose extension records are searched.
const MAX_BASES: usize = 100;

impl Check<'_, '_> {
    /// Examines every record of this pass.
    pub(super) fn verdicts(&mut self) {
        let (layout, first, count) = self.window.numbers();
        for number in layout.numbers(first).take(count) {
            let facts = self.window.get(number).map(|facts| *facts).unwrap_or_default();
            let marked = self.table_bits.as_mut().and_then(|bits| bits.get(number));
            if facts.extension_sum != 0 && !facts.has(flag::DAMAGED) && self.suspects.bases.len() < MAX_BASES
            {
                self.suspects.bases.insert(number);
            }
            if !facts.has(flag::USED) {
                if marked == Some(true) && !facts.has(flag::DAMAGED) && number >= FIRST_FREE {
                    let (count, first) = self.reserved;
                    self.reserved = (count + 1, if count == 0 { number } else { first });
                }
                continue;
            }
            if marked == Some(false) {
                self.name(&UNPROTECTED, number, "in use, but marked as free in $MFT's bitmap");
            }
            if !facts.has(flag::EXTENSION | flag::DAMAGED) {
                self.names(number, &facts);
            }
        }
    }

    /// Reports the counts of all passes, and bitmap bits of records in holes.
    pub(super) fn sums(&mut self) {
        let layout = self.layout.clone();
        if let Some(mut bits) = self.table_bits() {
            for hole in layout.holes(self.ntfs.mft.records()) {
                let hole = hole.start.max(FIRST_FREE)..hole.end;
                if hole.is_empty() || layout.is_lost(hole.start) {
                    continue;
                }
                if let (marked, Some(at)) = bits.count(hole) {
                    let (count, first) = self.reserved;
                    self.reserved = (count + marked, if count == 0 { at } else { first.min(at) });
                }
            }
        }
        let (reserved, first) = self.reserved;
        if reserved > 0 {
            let problem = format!("{reserved} records marked as used are not in use, the first: {first}");
            self.findings.add(&RESERVED, "$MFT's bitmap", problem);
        }
        if self.unnamed > 0 {
            let problem = format!("{} files and directories lack an entry there", self.unnamed);
            self.findings.add(&UNNAMED, "directories", problem);
            self.findings.remedy(Remedy::ListOrphans);
        }
    }

    /// Compares the names of a file with the entries that lead to it.
    fn names(&mut self, number: u64, facts: &Facts) {
        if facts.links != facts.names {
            let problem = format!("{} names, its header counts {}", facts.names, facts.links);
            self.name(&LINKS, number, &problem);
        }
        if facts.names == 0 {
            if number >= FIRST_FREE {
                self.name(&NAMELESS, number, "in use, without a name");
                self.findings.remedy(Remedy::ListOrphans);
            }
        } else if facts.entries < facts.names && self.is_in_damaged_directory(number) {
            self.unnamed += 1;
        } else if facts.entries == 0 {
            self.name(&ORPHAN, number, "no directory has an entry of it");
        } else if facts.entries != facts.names {
            let problem = format!("{} names, {} directory entries", facts.names, facts.entries);
            self.name(&NAMES, number, &problem);
        } else if facts.name_sum != 0 {
            self.name(&NAMES, number, "its names are not those in the directories");
        }
    }

    /// True if the directory of one of its names is not readable as a whole.
    fn is_in_damaged_directory(&mut self, number: u64) -> bool {
        // Only the names in the base record, which nearly always has all of them.
        let Ok(record) = self.ntfs.mft.record(number) else { return true };
        let names = record.attributes().flatten().filter_map(|attribute| match attribute.form {
            Form::Resident(value) if attribute.type_code == code::FILE_NAME => FileName::parse(value).ok(),
            _ => None,
        });
        let parents: Vec<u64> = names.map(|name| name.parent().record()).collect();
        let damaged = flag::DAMAGED | flag::INDEX_DAMAGED;
        // Directories of another pass are unknown: rather too few findings with one cause than too many.
        parents.into_iter().any(|parent| {
            let elsewhere = self.window.is_elsewhere(parent) || self.layout.is_lost(parent);
            elsewhere && self.incomplete || self.window.get(parent).is_some_and(|facts| facts.has(damaged))
        })
    }

    fn name(&mut self, kind: &'static Kind, number: u64, problem: &str) {
        if self.findings.counted(kind) {
            let problem = self.with_path(number, problem);
            self.findings.report(kind, format!("MFT record {number}"), problem);
        }
    }
}
