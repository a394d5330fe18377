//! The check of files of several records: each entry of the attribute list must lead to an extension record that belongs to
//! the file and contains that attribute, and the extents together must hold the value.

use std::ops::ControlFlow;

use super::Check;
use crate::{
    Result,
    check::Severity,
    fs::{
        findings::Kind,
        ntfs::{
            attributes::{
                Attribute, Form, NonResident,
                attribute_list::{self, AttributeListEntry},
                reference::FileReference,
                utf16_eq,
            },
            records::{
                Record,
                file::{File, Place},
            },
        },
    },
};

const LIST: Kind = Kind {
    severity: Severity::Error,
    name: "attribute lists that lead nowhere",
    meaning: "A part of the file or directory, or of what describes it, is missing: what lies behind is an error when it is read. Restore it from a \
              backup.",
};
const EXTENSION: Kind = Kind {
    severity: Severity::Warning,
    name: "extension records that no file lists",
    meaning: "What they hold belongs to no file any more; if a file is cut short, its end may be here. chkdsk /f frees \
              them.",
};

impl Check<'_, '_> {
    /// Checks the base record of a file with an attribute list.
    pub(super) fn listed(&mut self, number: u64, sequence: u16) {
        if !self.first && self.window.get(number).is_none() {
            return;
        }
        let file = match File::open(&self.ntfs.mft, number) {
            Ok(file) => file,
            Err(error) => return self.list_damage(number, || error.to_string()),
        };
        if let Some(error) = &file.list_error {
            return self.list_damage(number, || error.to_string());
        }
        let list = file.list().unwrap_or_default();
        let Some(left) = self.lists_left.checked_sub(list.len() as u64) else {
            return self.list_damage(number, || "its list lies where those of many other files lie".into());
        };
        self.lists_left = left;
        let mut segments = Vec::new();
        for entry in attribute_list::entries(list) {
            match entry {
                Ok(entry) => segments.push(entry.segment),
                Err(error) => return self.list_damage(number, || error.to_string()),
            }
        }
        segments.retain(|segment| segment.record() != number);
        segments.sort_unstable_by_key(|segment| segment.0);
        segments.dedup();
        let base = FileReference(number | u64::from(sequence) << 48);
        for segment in &segments {
            let hash = self.window.extension_hash(base, *segment);
            if let Some(facts) = self.window.get(number) {
                facts.extension_sum = facts.extension_sum.wrapping_add(hash);
            }
            if let Err(error) = file.segment(*segment) {
                return self.list_damage(number, || error.to_string());
            }
        }
        let absent = attribute_list::entries(list)
            .flatten()
            .find(|entry| !file.segment(entry.segment).is_ok_and(|record| holds(&record, entry)));
        if let Some(entry) = absent {
            return self.list_damage(number, || {
                let (kind, vcn, at) = (entry.type_code, entry.lowest_vcn, entry.segment.record());
                format!("MFT record {at} has no attribute {kind:#x} at VCN {vcn:#x}, as its list says")
            });
        }
        if self.first {
            let compared = self.compare_sizes(&file);
            if let Err(error) = compared {
                self.list_damage(number, || error.to_string());
            }
        }
    }

    fn list_damage(&mut self, number: u64, problem: impl FnOnce() -> String) {
        self.report_of(&LIST, number, problem);
        self.damaged(number);
    }

    /// Compares the sizes of each non-resident value with all its extents.
    fn compare_sizes(&mut self, file: &File<'_>) -> Result<()> {
        let mut values = Vec::new();
        file.visit(None, &mut |attribute| {
            if let Form::NonResident(_) = attribute.form {
                values.push((attribute.type_code, attribute.name_units()));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        for (type_code, name) in values {
            let Some(value) = file.value(type_code, &name)? else { continue };
            let Place::Clusters(runs) = value.place else { continue };
            file.find(type_code, &name, |attribute: &Attribute<'_>| {
                if let Form::NonResident(extent @ NonResident { lowest_vcn: 0, .. }) = &attribute.form {
                    self.sizes(file.base.number, attribute, extent, &runs);
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Reports an extension record that its base does not list.
    pub(super) fn stray_extension(&mut self, number: u64, base: FileReference) {
        self.findings.add(
            &EXTENSION,
            format!("MFT record {number}"),
            format!("an extension record of MFT record {}, which does not list it", base.record()),
        );
    }
}

/// True if the record contains the attribute, or the extent of it, that the list entry names.
fn holds(record: &Record, entry: &AttributeListEntry<'_>) -> bool {
    record.attributes().flatten().any(|attribute| {
        let lowest_vcn = match &attribute.form {
            Form::Resident(_) => 0,
            Form::NonResident(extent) => extent.lowest_vcn,
        };
        let name: Vec<u16> = attribute.name_units();
        attribute.type_code == entry.type_code
            && lowest_vcn == entry.lowest_vcn
            && utf16_eq(entry.name, &name)
    })
}
