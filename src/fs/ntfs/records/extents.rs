//! Attributes that are spread over several records: the attribute list's content, and the run lists of extents, joined by
//! VCN. Guards: an extension record is the one that its base refers to; run lists are joined without gaps, and bounded.

use std::sync::Arc;

use super::Record;
use crate::{
    Error, Result,
    bytes::{ByteSource, read_vec},
    fs::{
        ntfs::{
            attributes::{
                Attribute, Form, NonResident,
                attribute_list::{self, MAX_ATTRIBUTE_LIST},
                mapping_pairs,
                reference::FileReference,
                utf16_eq,
            },
            volume::boot::BootSector,
        },
        runs::{RunList, RunSource},
    },
};

/// Reads the content of an `$ATTRIBUTE_LIST`.
pub(in super::super) fn read_list(
    volume: &Arc<dyn ByteSource>,
    boot: &BootSector,
    attribute: &Attribute<'_>,
) -> Result<Vec<u8>> {
    let corrupt = |problem| Error::corrupt("$ATTRIBUTE_LIST", None, problem);
    match &attribute.form {
        Form::Resident(bytes) => Ok(bytes.to_vec()),
        Form::NonResident(extent) => {
            if extent.file_size > MAX_ATTRIBUTE_LIST || extent.lowest_vcn != 0 {
                return Err(corrupt("larger than 256 KiB or not at its beginning"));
            }
            let mut runs = RunList::new();
            mapping_pairs::decode(extent.mapping_pairs, clusters(extent), boot.cluster_size, &mut runs)
                .map_err(corrupt)?;
            let source =
                RunSource::new(volume.clone(), Arc::new(runs), extent.file_size, extent.valid_data_length);
            read_vec(&source, 0, usize::try_from(extent.file_size).expect("at most 256 KiB"))
        }
    }
}

/// The extents of an attribute after its first, in VCN order, up to a damaged entry of the list.
pub(in super::super) fn later_extents(
    list: &[u8],
    type_code: u32,
    name: &[u16],
) -> Vec<(u64, FileReference)> {
    let mut extents = Vec::new();
    for entry in attribute_list::entries(list).map_while(Result::ok) {
        if entry.type_code == type_code && entry.lowest_vcn > 0 && utf16_eq(entry.name, name) {
            extents.push((entry.lowest_vcn, entry.segment));
        }
    }
    extents.sort_unstable_by_key(|(vcn, segment)| (*vcn, segment.0));
    extents
}

/// Checks that an extension record is the one that its base refers to.
pub(in super::super) fn check_segment(base: &Record, record: &Record, segment: FileReference) -> Result<()> {
    let is = |reference: FileReference, record: &Record| {
        reference.record() == record.number && record.header.answers_to(reference.sequence())
    };
    if is(segment, record) && is(record.header.base, base) {
        return Ok(());
    }
    Err(base.corrupt(format!("its extension record {} belongs to another file", record.number)))
}

/// Appends the extent that begins at `vcn`, from the record that contains it.
pub(in super::super) fn append_extent(
    record: &Record,
    type_code: u32,
    name: &[u16],
    vcn: u64,
    boot: &BootSector,
    runs: &mut RunList,
) -> Result<()> {
    for attribute in record.attributes() {
        let attribute = attribute?;
        if let Form::NonResident(extent) = &attribute.form
            && attribute.type_code == type_code
            && extent.lowest_vcn == vcn
            && attribute.is_named(name)
        {
            return append_runs(record, extent, boot, runs);
        }
    }
    Err(record.corrupt(format!("has no extent at VCN {vcn:#x}")))
}

/// Appends one extent.
pub(in super::super) fn append_runs(
    record: &Record,
    extent: &NonResident<'_>,
    boot: &BootSector,
    runs: &mut RunList,
) -> Result<()> {
    let mut decoded = RunList::new();
    mapping_pairs::decode(extent.mapping_pairs, clusters(extent), boot.cluster_size, &mut decoded)
        .map_err(|problem| record.corrupt(problem))?;
    if runs.is_empty() {
        *runs = decoded;
        return Ok(());
    }
    if runs.count() + decoded.count() > mapping_pairs::MAX_RUNS {
        return Err(record.corrupt("too many runs"));
    }
    // Only whole extents are appended: the start of a damaged one may be wrong as well.
    decoded.iter().try_for_each(|(_, position, len)| runs.push(len, position))
}

/// Number of clusters that an extent maps; 0 for a highest VCN of -1, or of 0 without any runs.
pub(in super::super) fn clusters(extent: &NonResident<'_>) -> u64 {
    if extent.highest_vcn == 0 && extent.mapping_pairs.first() == Some(&0) {
        return 0;
    }
    extent.highest_vcn.wrapping_add(1).saturating_sub(extent.lowest_vcn)
}
