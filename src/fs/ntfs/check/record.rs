//! The check of one record: header, order of attributes, run lists and sizes of non-resident values.

mod kinds;
mod repeated;

use self::{
    kinds::{ATTRIBUTES, HEADER, MIRRORED, NUMBER, OUTSIDE, RUNS, SECURITY, SHORT, SIZES, UNITS, UNREADABLE},
    repeated::Repeated,
};
use super::{
    Check,
    facts::{Facts, flag},
};

use crate::{
    fs::{
        findings::Kind,
        ntfs::{
            attributes::{
                Attribute, FLAG_COMPRESSION_MASK, FLAG_SPARSE, Form, I30, NonResident, code,
                file_name::FileName, mapping_pairs, reference::FileReference,
                standard_information::StandardInformation,
            },
            records::{Header, each::Slot, extents, number},
        },
        runs::RunList,
    },
    printable::printable,
};

/// Largest exponent of a compression unit that readers accept; Windows writes 4.
const MAX_UNIT: u8 = 16;

impl Check<'_, '_> {
    /// Checks one record of the table.
    pub(super) fn slot(&mut self, number: u64, slot: Slot<'_>) {
        match slot {
            Slot::Unused => {}
            Slot::InUse(header, bytes) => self.in_use(number, &header, bytes),
            Slot::Damaged(error) => {
                let marked = self.table_bits.as_mut().and_then(|bits| bits.get(number));
                // An unused record may contain anything.
                if marked == Some(false) {
                    return;
                }
                // Only the first records have a copy.
                if let Ok(copy) = self.ntfs.mft.record(number) {
                    self.report(&MIRRORED, || (format!("MFT record {number}"), error.to_string()));
                    return self.in_use(number, &copy.header.clone(), copy.bytes());
                }
                self.report(&UNREADABLE, || (format!("MFT record {number}"), error.to_string()));
                self.damaged(number);
            }
        }
    }

    /// Reports a finding on a single structure, in the first pass only.
    pub(super) fn report(&mut self, kind: &'static Kind, describe: impl FnOnce() -> (String, String)) {
        if self.first && self.findings.counted(kind) {
            let (structure, problem) = describe();
            self.findings.report(kind, structure, problem);
        }
    }

    /// As [`Self::report`], with the path of the record.
    pub(super) fn report_of(&mut self, kind: &'static Kind, number: u64, problem: impl FnOnce() -> String) {
        if self.first && self.findings.counted(kind) {
            let problem = self.with_path(number, &problem());
            self.findings.report(kind, format!("MFT record {number}"), problem);
        }
    }

    pub(super) fn damaged(&mut self, number: u64) {
        self.incomplete = true;
        if let Some(facts) = self.window.get(number) {
            facts.flags |= flag::DAMAGED;
        }
    }

    fn in_use(&mut self, number: u64, header: &Header, bytes: &[u8]) {
        let (base, is_base) = (header.base, header.base.0 == 0);
        if let Some(facts) = self.window.get(number) {
            facts.sequence = header.sequence_number;
            facts.links = header.link_count;
            facts.flags |= flag::USED;
            if header.directory {
                facts.flags |= flag::DIRECTORY;
            }
        }
        if let Some(stated) = header.stated_number(bytes)
            && u64::from(stated) != number & u64::from(u32::MAX)
        {
            self.report_of(&NUMBER, number, || format!("its header states number {stated}"));
        }
        let owner = if is_base { number } else { base.record() };
        let (mut last, mut listed) = (0, !is_base);
        self.header(number, header, bytes);
        let mut repeated = Repeated::default();
        for attribute in header.attributes(bytes) {
            let attribute = match attribute {
                Ok(attribute) => attribute,
                Err(error) => {
                    self.report_of(&ATTRIBUTES, number, || error.to_string());
                    self.damaged(number);
                    self.damaged(owner);
                    break;
                }
            };
            if attribute.type_code < last {
                self.report_of(&ATTRIBUTES, number, || {
                    format!("attribute {:#x} comes after {last:#x}", attribute.type_code)
                });
            }
            last = attribute.type_code;
            listed |= attribute.type_code == code::ATTRIBUTE_LIST;
            repeated.note(&attribute);
            self.attribute(number, owner, &attribute, listed);
        }
        if !listed && !header.directory && number >= number::FIRST_USER {
            self.repeated(number, &repeated);
        }
        if is_base && listed {
            self.listed(number, header.sequence_number);
        } else if !is_base {
            self.extension(number, header);
        }
    }

    /// Records the values that a file's directory entry repeats. Windows updates only the name through which a file is
    /// opened: for a file with several names they are often outdated.
    fn repeated(&mut self, number: u64, repeated: &Repeated) {
        let (1, Some((size, allocated))) = (repeated.names, repeated.sizes) else { return };
        let sizes = self.window.size_hash(size, allocated);
        if let Some(facts) = self.window.get(number) {
            facts.sizes = sizes;
        }
    }

    /// Compares the header's statements on the attributes with the attributes.
    fn header(&mut self, number: u64, header: &Header, bytes: &[u8]) {
        let Some((end, instances)) = header.measure(bytes) else { return };
        let (used, next) = header.states(bytes);
        if used != end {
            self.report_of(&HEADER, number, || {
                format!("it states {used} bytes in use, its attributes end at {end}")
            });
        }
        if let Some(largest) = instances.filter(|largest| *largest >= next) {
            self.report_of(&HEADER, number, || {
                format!("the number of its next attribute would be {next}, but one has {largest}")
            });
        }
    }

    fn attribute(&mut self, number: u64, owner: u64, attribute: &Attribute<'_>, listed: bool) {
        match (attribute.type_code, &attribute.form) {
            (code::STANDARD_INFORMATION, Form::Resident(value)) => self.security_id(number, value),
            (code::FILE_NAME, Form::Resident(value)) => match FileName::parse(value) {
                Ok(name) => {
                    let hash = self.window.name_hash(name.parent().record(), name.units());
                    if let Some(facts) = self.window.get(owner) {
                        facts.names = facts.names.saturating_add(1);
                        facts.name_sum = facts.name_sum.wrapping_add(hash);
                    }
                }
                Err(error) => {
                    self.report(&ATTRIBUTES, || (format!("MFT record {number}"), error.to_string()));
                    self.damaged(owner);
                }
            },
            (code::INDEX_ROOT, _) => {
                let is = if attribute.is_named(I30) { flag::DIRECTORY } else { flag::VIEW };
                if let Some(facts) = self.window.get(owner) {
                    facts.flags |= is;
                }
            }
            (_, Form::NonResident(extent)) => self.extent(number, attribute, extent, listed),
            _ => {}
        }
    }

    fn security_id(&mut self, number: u64, value: &[u8]) {
        let id = StandardInformation::parse(value).map_or(0, |information| information.security_id);
        if id != 0 && self.security_ids.as_ref().is_some_and(|ids| !ids.contains(&id)) {
            self.report_of(&SECURITY, number, || format!("security id {id:#x}"));
        }
    }

    /// Checks one non-resident extent. The sizes of a `listed` file are compared when all its extents are known.
    fn extent(&mut self, number: u64, attribute: &Attribute<'_>, extent: &NonResident<'_>, listed: bool) {
        let cluster_size = self.ntfs.mft.boot.cluster_size;
        let what = || describe(attribute);
        let mut runs = RunList::new();
        let decoded =
            mapping_pairs::decode(extent.mapping_pairs, extents::clusters(extent), cluster_size, &mut runs);
        // The runs before the damage most probably belong to the file.
        self.claim(number, attribute, &runs);
        if let Err(problem) = decoded {
            self.report_of(&RUNS, number, || format!("{}: {problem}", what()));
            self.incomplete = true;
            return;
        }
        if !listed && extent.lowest_vcn == 0 {
            self.sizes(number, attribute, extent, &runs);
        }
    }

    fn claim(&mut self, number: u64, attribute: &Attribute<'_>, runs: &RunList) {
        let boot = &self.ntfs.mft.boot;
        let (cluster_size, size) = (boot.cluster_size, boot.size());
        for (offset, position, len) in runs.iter() {
            let Some(position) = position else { continue };
            if position.checked_add(len).is_none_or(|end| end > size) {
                self.incomplete = true;
                self.report_of(&OUTSIDE, number, || {
                    let (vcn, lcn) = (offset / cluster_size, position / cluster_size);
                    let (count, clusters) = (len / cluster_size, size / cluster_size);
                    format!(
                        "{}: VCN {vcn:#x} lies at cluster {lcn:#x}, {count} clusters, of {clusters:#x}",
                        describe(attribute)
                    )
                });
            } else if !self.segment.claim(position / cluster_size, len / cluster_size) {
                self.incomplete = true;
            }
        }
    }

    /// Compares the sizes of a value with the runs of all its extents.
    pub(super) fn sizes(
        &mut self,
        number: u64,
        attribute: &Attribute<'_>,
        extent: &NonResident<'_>,
        runs: &RunList,
    ) {
        let what = || describe(attribute);
        let (size, covered) = (extent.file_size, runs.len());
        if size > covered {
            return self
                .report_of(&SHORT, number, || format!("{}: {size} bytes, run list of {covered}", what()));
        }
        let compressed = attribute.flags & FLAG_COMPRESSION_MASK != 0 && extent.compression_unit != 0;
        let allocated = match compressed || attribute.flags & FLAG_SPARSE != 0 {
            true => runs.allocated(),
            false => covered,
        };
        if extent.allocated_length != allocated {
            self.report_of(&SIZES, number, || {
                format!("{}: {} bytes allocated, runs of {allocated}", what(), extent.allocated_length)
            });
        } else if extent.valid_data_length > size {
            self.report_of(&SIZES, number, || {
                format!("{}: {} bytes initialized of {size}", what(), extent.valid_data_length)
            });
        }
        if compressed {
            self.units(number, attribute, extent, runs);
        }
    }

    /// Checks compression units: the compressed data comes first, and a hole fills the rest.
    fn units(&mut self, number: u64, attribute: &Attribute<'_>, extent: &NonResident<'_>, runs: &RunList) {
        let unit = self.ntfs.mft.boot.cluster_size << extent.compression_unit.min(MAX_UNIT);
        if extent.compression_unit > MAX_UNIT {
            return self.report_of(&UNITS, number, || {
                format!("{}: units of 2^{} clusters", describe(attribute), extent.compression_unit)
            });
        }
        let mut hole = None;
        for (offset, position, len) in runs.iter() {
            match position {
                None => hole = Some(offset + len),
                Some(_) => {
                    if hole == Some(offset) && offset % unit != 0 {
                        return self.report_of(&UNITS, number, || {
                            format!(
                                "{}: data after the hole in the unit at byte {offset:#x}",
                                describe(attribute)
                            )
                        });
                    }
                }
            }
        }
    }

    /// Checks an extension record: its base must list it.
    fn extension(&mut self, number: u64, header: &Header) {
        let sequence = u64::from(header.sequence_number) << 48;
        let hash = self.window.extension_hash(header.base, FileReference(number | sequence));
        if let Some(facts) = self.window.get(number) {
            facts.flags |= flag::EXTENSION;
        }
        let in_table = header.base.record() < self.ntfs.mft.records();
        match self.window.get(header.base.record()) {
            Some(Facts { extension_sum, .. }) => *extension_sum = extension_sum.wrapping_sub(hash),
            None if !in_table => self.stray_extension(number, header.base),
            None => {}
        }
    }
}

/// An attribute in the words of findings.
pub(super) fn describe(attribute: &Attribute<'_>) -> String {
    let kind = match attribute.type_code {
        code::ATTRIBUTE_LIST => "$ATTRIBUTE_LIST",
        code::SECURITY_DESCRIPTOR => "$SECURITY_DESCRIPTOR",
        code::DATA => "$DATA",
        code::INDEX_ALLOCATION => "$INDEX_ALLOCATION",
        code::BITMAP => "$BITMAP",
        code::REPARSE_POINT => "$REPARSE_POINT",
        code::EA => "$EA",
        code::LOGGED_UTILITY_STREAM => "$LOGGED_UTILITY_STREAM",
        other => return format!("attribute {other:#x}"),
    };
    if attribute.name.is_empty() {
        return kind.into();
    }
    let name = String::from_utf16_lossy(&attribute.name_units());
    let stream = if attribute.type_code == code::DATA { "stream " } else { "" };
    format!("{stream}{kind} \"{}\"", printable(&name))
}
