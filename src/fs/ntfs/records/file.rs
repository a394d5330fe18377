//! A file as a set of records: the base record, and through the attribute list its extension records. Guards: extension
//! records belong to their base and are never followed further, so no cycle is possible; extents are joined by type, name
//! and VCN, without gaps.

use std::{ops::ControlFlow, sync::Arc};

use super::{
    Record,
    extents::{append_extent, check_segment, clusters, later_extents, read_list},
    mft::Mft,
};
use crate::{
    Error, Result,
    bytes::{ByteSource, MemorySource, read_vec},
    fs::{
        ntfs::attributes::{
            Attribute, FLAG_COMPRESSION_MASK, FLAG_ENCRYPTED, Form, attribute_list, code, mapping_pairs,
            reference::FileReference, utf16_eq,
        },
        runs::{RunList, RunSource},
    },
};

/// An open file: access to its attributes.
pub(in super::super) struct File<'m> {
    mft: &'m Mft,
    pub(in super::super) base: Record,
    list: Option<Vec<u8>>,
    /// The error of reading its attribute list: only the attributes in the base record are known then.
    pub(in super::super) list_error: Option<Error>,
}

/// An attribute's value: its bytes, or their location.
pub(in super::super) struct Value {
    pub(in super::super) flags: u16,
    pub(in super::super) compression_unit: u8,
    pub(in super::super) size: u64,
    pub(in super::super) valid: u64,
    pub(in super::super) place: Place,
}

/// The location of a value.
pub(in super::super) enum Place {
    Record(Vec<u8>),
    Clusters(Arc<RunList>),
}

/// Takes each attribute with its extension record, `None` for the base record.
type AttributeSink<'a> = dyn FnMut(Option<FileReference>, &Attribute<'_>) -> Result<ControlFlow<()>> + 'a;

impl<'m> File<'m> {
    /// Opens the file with this base record.
    pub(in super::super) fn open(mft: &'m Mft, number: u64) -> Result<Self> {
        let base = mft.record(number)?;
        if base.header.base.0 != 0 {
            return Err(Error::not_found(format!("MFT record {number} belongs to another file")));
        }
        let (mut list, mut list_error) = (None, None);
        for attribute in base.attributes() {
            let attribute = attribute?;
            match attribute.type_code {
                // An unreadable list leaves the attributes of the base record readable.
                code::ATTRIBUTE_LIST => match read_list(&mft.volume, &mft.boot, &attribute) {
                    Ok(read) => list = Some(read),
                    Err(error) => list_error = Some(error),
                },
                // Attributes are sorted by type.
                code::FILE_NAME.. => break,
                _ => {}
            }
        }
        Ok(Self { mft, base, list, list_error })
    }

    /// The file with this base record, without an attribute list.
    pub(in super::super) fn alone(mft: &'m Mft, base: Record) -> Self {
        Self { mft, base, list: None, list_error: None }
    }

    /// Calls `f` with each attribute of a type (`None`: all), once per attribute whatever its number of extents. If an
    /// extension record is lost, the attributes of the others come before the error; with `None` that is no error: see
    /// [`Self::may_have_lost`].
    pub(in super::super) fn visit(
        &self,
        type_code: Option<u32>,
        f: &mut dyn FnMut(&Attribute<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let mut lost = self.visit_segments(type_code, &mut |_, attribute| f(attribute))?;
        match lost.pop() {
            Some((_, error)) if type_code.is_some() => Err(error),
            _ => Ok(()),
        }
    }

    /// As [`Self::visit`], with the extension record of each attribute. Returns the lost extension records, the last one first;
    /// none of a deleted file, whose records may be reused by now.
    pub(in super::super) fn visit_segments(
        &self,
        type_code: Option<u32>,
        f: &mut AttributeSink<'_>,
    ) -> Result<Vec<(FileReference, Error)>> {
        let mut walk = |record: &Record, segment| {
            for attribute in record.attributes() {
                let attribute = attribute?;
                if type_code.is_none_or(|code| code == attribute.type_code)
                    && attribute.is_first()
                    && f(segment, &attribute)?.is_break()
                {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok::<_, Error>(ControlFlow::Continue(()))
        };
        let Some(list) = &self.list else {
            return walk(&self.base, None).map(|_| Vec::new());
        };
        let mut segments = Vec::new();
        for entry in attribute_list::entries(list) {
            // A damaged entry loses the attributes that only later entries name, but not those in the base record.
            let Ok(entry) = entry else {
                segments.push(FileReference(self.base.number));
                break;
            };
            if entry.lowest_vcn == 0 && type_code.is_none_or(|code| code == entry.type_code) {
                segments.push(entry.segment);
            }
        }
        segments.sort_unstable_by_key(|segment| (segment.record() != self.base.number, segment.0));
        segments.dedup_by_key(|segment| match segment.record() {
            base if base == self.base.number => base,
            _ => segment.0,
        });
        let mut lost = Vec::new();
        for segment in segments {
            match self.segment(segment) {
                Ok(record) => {
                    let extension = (segment.record() != self.base.number).then_some(segment);
                    if walk(&record, extension)?.is_break() {
                        return Ok(Vec::new());
                    }
                }
                Err(_) if self.mft.freed => {}
                Err(error) => lost.push((segment, error)),
            }
        }
        lost.reverse();
        Ok(lost)
    }

    /// The extension records of this file in the order of [`Self::visit`], each with the number of attributes of a type that have
    /// a name and begin there, according to the attribute list.
    pub(in super::super) fn named_in_segments(&self, type_code: u32) -> Vec<(FileReference, usize)> {
        let list = self.list.as_deref().unwrap_or_default();
        let entries = attribute_list::entries(list)
            .map_while(Result::ok)
            .filter(|entry| entry.type_code == type_code && entry.lowest_vcn == 0 && !entry.name.is_empty());
        let mut segments: Vec<FileReference> = entries.map(|entry| entry.segment).collect();
        segments.retain(|segment| segment.record() != self.base.number);
        segments.sort_unstable_by_key(|segment| segment.0);
        segments.chunk_by(|a, b| a == b).map(|same| (same[0], same.len())).collect()
    }

    /// True if one of these lost records contained an attribute of this type, according to the attribute list.
    pub(in super::super) fn was_in(&self, type_code: u32, lost: &[(FileReference, Error)]) -> bool {
        let list = self.list.as_deref().unwrap_or_default();
        !lost.is_empty()
            && attribute_list::entries(list).map_while(Result::ok).any(|entry| {
                entry.type_code == type_code && lost.iter().any(|(segment, _)| *segment == entry.segment)
            })
    }

    /// True if an attribute of this type may have been in a lost part of the attribute list or in a lost extension record:
    /// its absence proves nothing then. Always false for a deleted file, of which little is certain.
    pub(in super::super) fn may_have_lost(&self, type_code: u32) -> bool {
        if self.mft.freed {
            return false;
        }
        // Entries are sorted by type.
        let mut reached = 0;
        let list = self.list.as_deref().unwrap_or_default();
        self.list_error.is_some()
            || attribute_list::entries(list).any(|entry| match entry {
                Ok(entry) => {
                    reached = entry.type_code;
                    entry.type_code == type_code
                        && entry.lowest_vcn == 0
                        && self.segment(entry.segment).is_err()
                }
                Err(_) => reached <= type_code,
            })
    }

    /// Calls `f` with the attribute of this type and exact name, and returns its result.
    pub(in super::super) fn find<T>(
        &self,
        type_code: u32,
        name: &[u16],
        f: impl FnOnce(&Attribute<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let (mut f, mut found) = (Some(f), None);
        self.visit(Some(type_code), &mut |attribute| {
            if !attribute.is_named(name) {
                return Ok(ControlFlow::Continue(()));
            }
            found = f.take().map(|f| f(attribute)).transpose()?;
            Ok(ControlFlow::Break(()))
        })?;
        if found.is_none() && self.may_have_lost(type_code) {
            return Err(self.lost(type_code));
        }
        Ok(found)
    }

    /// The error for an attribute that [`Self::may_have_lost`].
    pub(in super::super) fn lost(&self, type_code: u32) -> Error {
        let problem = match &self.list_error {
            Some(error) => {
                format!("its attribute list cannot be read ({error}), and so attribute {type_code:#x}")
            }
            None => format!("its attribute list is damaged: attribute {type_code:#x} may be lost"),
        };
        self.base.corrupt(problem)
    }

    /// True if the attribute list names an attribute: if that is not found, the record that contained it is lost.
    pub(in super::super) fn lists(&self, type_code: u32, name: &[u16]) -> bool {
        let mut entries = attribute_list::entries(self.list.as_deref().unwrap_or_default());
        entries
            .any(|entry| entry.is_ok_and(|entry| entry.type_code == type_code && utf16_eq(entry.name, name)))
    }

    /// The value of an attribute with all its extents.
    pub(in super::super) fn value(&self, type_code: u32, name: &[u16]) -> Result<Option<Value>> {
        let (boot, base) = (&self.mft.boot, &self.base);
        let value = self.find(type_code, name, |attribute| match &attribute.form {
            Form::Resident(bytes) => Ok(Value {
                flags: attribute.flags,
                compression_unit: 0,
                size: bytes.len() as u64,
                valid: bytes.len() as u64,
                place: Place::Record(bytes.to_vec()),
            }),
            Form::NonResident(extent) => {
                let mut runs = RunList::new();
                mapping_pairs::decode_held(
                    extent.mapping_pairs,
                    clusters(extent),
                    boot.cluster_size,
                    &mut runs,
                )
                .map_err(|problem| base.corrupt(problem))?;
                let (size, valid) = (extent.file_size, extent.valid_data_length);
                let place = Place::Clusters(Arc::new(self.join(type_code, name, runs)?));
                Ok(Value {
                    flags: attribute.flags,
                    compression_unit: extent.compression_unit,
                    size,
                    valid,
                    place,
                })
            }
        })?;
        Ok(value)
    }

    /// Appends the extents after the first. At a missing or damaged extent the run list ends: the content before it stays
    /// readable, a read beyond it fails.
    fn join(&self, type_code: u32, name: &[u16], mut runs: RunList) -> Result<RunList> {
        let Some(list) = &self.list else { return Ok(runs) };
        for (vcn, segment) in later_extents(list, type_code, name) {
            if vcn != runs.len() / self.mft.boot.cluster_size {
                log::warn!("MFT record {}: extent at VCN {vcn:#x} leaves a gap", self.base.number);
                break;
            }
            let extent = self
                .segment(segment)
                .and_then(|record| append_extent(&record, type_code, name, vcn, &self.mft.boot, &mut runs));
            if let Err(error) = extent {
                log::warn!("MFT record {}: extent at VCN {vcn:#x} is unreadable: {error}", self.base.number);
                break;
            }
        }
        Ok(runs)
    }

    /// Opens an attribute of the format itself, which is never compressed or encrypted, as a source.
    pub(in super::super) fn source(
        &self,
        type_code: u32,
        name: &[u16],
    ) -> Result<Option<Arc<dyn ByteSource>>> {
        let value = self.value(type_code, name)?;
        value.map(|value| self.plain(type_code, value)).transpose()
    }

    fn plain(&self, type_code: u32, value: Value) -> Result<Arc<dyn ByteSource>> {
        Ok(match value.place {
            Place::Record(bytes) => Arc::new(MemorySource(bytes)),
            Place::Clusters(_) if value.flags & (FLAG_COMPRESSION_MASK | FLAG_ENCRYPTED) != 0 => {
                return Err(self
                    .base
                    .corrupt(format!("attribute {type_code:#x} is compressed or encrypted")));
            }
            Place::Clusters(runs) => {
                Arc::new(RunSource::new(self.mft.volume.clone(), runs, value.size, value.valid))
            }
        })
    }

    /// Reads the whole value of an attribute of the format itself; a value longer than `max` bytes is damage.
    pub(in super::super) fn bytes(
        &self,
        type_code: u32,
        name: &[u16],
        max: usize,
    ) -> Result<Option<Vec<u8>>> {
        let Some(value) = self.value(type_code, name)? else { return Ok(None) };
        let len = usize::try_from(value.size).ok().filter(|len| *len <= max);
        let len = len.ok_or_else(|| self.base.corrupt(format!("attribute {type_code:#x} is too long")))?;
        match value.place {
            Place::Record(bytes) => Ok(Some(bytes)),
            Place::Clusters(_) => read_vec(&*self.plain(type_code, value)?, 0, len).map(Some),
        }
    }

    /// The content of its `$ATTRIBUTE_LIST`.
    pub(in super::super) fn list(&self) -> Option<&[u8]> {
        self.list.as_deref()
    }

    /// Reads a record of this file.
    pub(in super::super) fn segment(&self, segment: FileReference) -> Result<Record> {
        if segment.record() == self.base.number {
            return Ok(self.base.clone());
        }
        let record = self.mft.record(segment.record()).map_err(|error| match error {
            Error::NotFound(_) => {
                self.base.corrupt(format!("its extension record {} is not in use", segment.record()))
            }
            other => other,
        })?;
        check_segment(&self.base, &record, segment)?;
        Ok(record)
    }
}
