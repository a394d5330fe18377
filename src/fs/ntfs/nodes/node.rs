//! The properties of a node, from one walk over its attributes: times, sizes, names, reparse point. Node numbers are the
//! record number (34 bits) with the ordinal of a named stream above it (13 bits; 0: the file itself). The bits above those
//! mark misplaced directories and links, orphans and deleted files.

use std::ops::ControlFlow;

use super::interix;
use crate::{
    Error, Result,
    fs::{
        ContentPlace, NodeId, NodeKind, Stat, Times,
        ntfs::{
            attributes::{
                Attribute, FLAG_ENCRYPTED, Form, I30, WOF_STREAM, code, ea, efs_size,
                file_name::{FileName, Namespace},
                reference::FileReference,
                standard_information::{
                    ATTRIBUTE_DIRECTORY, ATTRIBUTE_ENCRYPTED, ATTRIBUTE_REPARSE_POINT, ATTRIBUTE_SPARSE_FILE,
                    StandardInformation,
                },
                time::from_filetime,
            },
            records::{RECORD_BITS, file::File},
            reparse::Reparse,
        },
    },
};

/// Maximum ordinal: an attribute list has room for 8192 attributes, one of which is itself.
const MAX_ORDINAL: u16 = 0x1fff;

const _: () = assert!(RECORD_BITS + MAX_ORDINAL.trailing_ones() == NodeId::OWN_BITS);

/// Maximum length of reparse data: Windows' limit is 16 KiB, without the header.
pub(in super::super) const MAX_REPARSE_DATA: usize = (16 << 10) + 64;

/// The fields of a node number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Node {
    pub(in super::super) record: u64,
    /// 0 for the file itself; from 1 on its named streams.
    pub(in super::super) ordinal: u16,
}

impl From<NodeId> for Node {
    fn from(NodeId(id): NodeId) -> Self {
        let ordinal = u16::try_from(id >> RECORD_BITS & u64::from(MAX_ORDINAL)).expect("13 bits are left");
        Self { record: id & ((1 << RECORD_BITS) - 1), ordinal }
    }
}

impl From<Node> for NodeId {
    fn from(node: Node) -> Self {
        Self(node.record | u64::from(node.ordinal) << RECORD_BITS)
    }
}

impl Node {
    /// The node of a file itself. `None` for a record number beyond the maximum.
    pub(in super::super) fn file(record: u64) -> Option<NodeId> {
        (record < 1 << RECORD_BITS).then_some(NodeId(record))
    }
}

/// Sizes of a stream.
#[derive(Debug, Clone, Copy, Default)]
pub(in super::super) struct Extent {
    pub(in super::super) size: u64,
    pub(in super::super) allocated: u64,
    pub(in super::super) flags: u16,
    /// Size in EFS's raw form, if that is different.
    pub(in super::super) raw_size: Option<u64>,
}

impl Extent {
    /// The size to show.
    fn shown_size(&self, efs_raw: bool) -> u64 {
        self.raw_size.filter(|_| efs_raw).unwrap_or(self.size)
    }
}

/// The result of a walk over all attributes.
#[derive(Default)]
pub(in super::super) struct Summary {
    pub(in super::super) information: StandardInformation,
    /// Number of names outside of the DOS namespace.
    links: u32,
    /// Directory of the first of those names; if there is none, of the first name.
    pub(in super::super) parent: Option<FileReference>,
    /// The unnamed data stream, or the index blocks of a directory.
    pub(in super::super) data: Option<Extent>,
    /// The stream with the content of a WOF-compressed file.
    wof_data: Option<Extent>,
    pub(in super::super) reparse: Option<Reparse>,
    pub(in super::super) kind: Option<NodeKind>,
}

impl Summary {
    /// Walks over the attributes of `file`.
    pub(in super::super) fn of(file: &File<'_>) -> Result<Self> {
        let mut summary = Self::default();
        let mut names_times = None;
        let mut reparse = None;
        let mut has_information = false;
        let lost_records = file.visit_segments(None, &mut |_, attribute| {
            match (attribute.type_code, &attribute.form) {
                (code::STANDARD_INFORMATION, Form::Resident(value)) => {
                    if let Some(information) = StandardInformation::parse(value) {
                        (summary.information, has_information) = (information, true);
                    }
                }
                (code::FILE_NAME, Form::Resident(value)) => {
                    let name = FileName::parse(value)?;
                    names_times.get_or_insert_with(|| name_times(&name));
                    summary.count_name(&name);
                }
                (code::DATA, _) if attribute.name.is_empty() => summary.data = Some(extent(attribute)),
                (code::DATA, _) if attribute.is_named(&WOF_STREAM) => {
                    summary.wof_data = Some(extent(attribute));
                }
                (code::INDEX_ALLOCATION, _) if attribute.is_named(I30) => {
                    summary.data = summary.data.or(Some(extent(attribute)));
                }
                (code::REPARSE_POINT, Form::Resident(value)) => reparse = Some(Some(value.to_vec())),
                (code::REPARSE_POINT, Form::NonResident(_)) => reparse = Some(None),
                _ => {}
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if !has_information {
            summary.information.times = names_times.unwrap_or_default();
        }
        if let Some(value) = reparse {
            let value = match value {
                Some(value) => Some(value),
                None => file.bytes(code::REPARSE_POINT, &[], MAX_REPARSE_DATA)?,
            };
            summary.reparse = value.map(|value| Reparse::parse(&value)).transpose()?;
        }
        // A file whose content is lost is not an empty file, and the meaning of a lost reparse point is unknown.
        let points = summary.information.attributes & ATTRIBUTE_REPARSE_POINT != 0;
        let lost = [
            (code::DATA, summary.data.is_none() && !file.base.header.directory),
            (code::REPARSE_POINT, points && summary.reparse.is_none()),
        ];
        // Another read of a record might succeed: what counts is whether this walk has seen it.
        let is_lost = |code| file.was_in(code, &lost_records) || file.may_have_lost(code);
        if let Some((code, _)) = lost.into_iter().find(|(code, absent)| *absent && is_lost(*code)) {
            return Err(file.lost(code));
        }
        summary.kind = Some(summary.find_kind(file)?);
        Ok(summary)
    }

    fn count_name(&mut self, name: &FileName<'_>) {
        if name.namespace() == Namespace::Dos {
            self.parent.get_or_insert(name.parent());
            return;
        }
        if self.links == 0 {
            self.parent = Some(name.parent());
        }
        self.links = self.links.saturating_add(1);
    }

    fn find_kind(&self, file: &File<'_>) -> Result<NodeKind> {
        if let Some(kind) = self.reparse.as_ref().and_then(Reparse::kind) {
            return device_of_wsl(file, kind);
        }
        if file.base.header.directory {
            return Ok(NodeKind::Directory);
        }
        if self.may_be_interix()
            && let Some(special) = interix::read(file)?
        {
            return Ok(special.kind());
        }
        Ok(NodeKind::File)
    }

    /// True if the file may be a special file of Interix (Services for UNIX), according to attributes and size.
    pub(in super::super) fn may_be_interix(&self) -> bool {
        self.reparse.is_none()
            && self.data.is_some_and(|data| interix::may_be(self.information.attributes, data.size))
    }

    /// The `stat` of the file itself, or of `stream`, one of its named streams. `efs_raw`: encrypted streams have the size
    /// of their raw form.
    pub(in super::super) fn stat(&self, file: &File<'_>, stream: Option<Extent>, efs_raw: bool) -> Stat {
        let kind = if stream.is_some() { NodeKind::File } else { self.kind.unwrap_or(NodeKind::File) };
        let mut data = stream.or(self.data).unwrap_or_default();
        let mut attributes = self.information.attributes;
        if file.base.header.directory {
            attributes |= ATTRIBUTE_DIRECTORY;
        }
        if self.reparse.is_some() {
            attributes |= ATTRIBUTE_REPARSE_POINT;
        }
        // As in Windows: an ordinary file that occupies the space of its compressed data.
        if self.reparse.as_ref().is_some_and(Reparse::is_wof) {
            attributes &= !(ATTRIBUTE_REPARSE_POINT | ATTRIBUTE_SPARSE_FILE);
            if stream.is_none() {
                data.allocated = self.wof_data.unwrap_or_default().allocated;
            }
        }
        if data.flags & FLAG_ENCRYPTED != 0 {
            attributes |= ATTRIBUTE_ENCRYPTED;
        }
        let size =
            if matches!(kind, NodeKind::File | NodeKind::Directory) { data.shown_size(efs_raw) } else { 0 };
        Stat {
            kind,
            size,
            allocated: data.allocated,
            links: self.links.max(1),
            times: self.information.times,
            attributes,
            content: match &self.reparse {
                Some(reparse) if stream.is_none() && !reparse.is_wof() => ContentPlace::Elsewhere,
                _ => ContentPlace::Own,
            },
        }
    }
}

/// Adds the number of a device whose reparse point has none: WSL stores it in an extended attribute.
fn device_of_wsl(file: &File<'_>, kind: NodeKind) -> Result<NodeKind> {
    let number = || -> Result<(u32, u32)> {
        let chain = file.bytes(code::EA, &[], ea::MAX_EA)?;
        Ok(chain.and_then(|chain| ea::device(&chain)).unwrap_or_default())
    };
    Ok(match kind {
        NodeKind::CharDevice(0, 0) => number().map(|(major, minor)| NodeKind::CharDevice(major, minor))?,
        NodeKind::BlockDevice(0, 0) => number().map(|(major, minor)| NodeKind::BlockDevice(major, minor))?,
        kind => kind,
    })
}

fn name_times(name: &FileName<'_>) -> Times {
    let [created, modified, changed, accessed] = name.times().map(from_filetime);
    Times { created, modified, changed, accessed }
}

fn extent(attribute: &Attribute<'_>) -> Extent {
    Extent {
        size: attribute.size(),
        allocated: attribute.allocated(),
        flags: attribute.flags,
        raw_size: efs_size::shown_size(attribute),
    }
}

/// Calls `f` with each named data stream of a file and its ordinal, from 1 on: first those of the base record, then those of
/// the extension records, of which each has as many ordinals as the attribute list names streams there. So a stream keeps its
/// ordinal when other records cannot be read, now or then.
pub(in super::super) fn each_stream(
    file: &File<'_>,
    f: &mut dyn FnMut(u16, &Attribute<'_>) -> ControlFlow<()>,
) -> Result<()> {
    let segments = file.named_in_segments(code::DATA);
    let mut rest = &segments[..];
    // The ordinals before the current record, the number of those that it has, and how many of them are used.
    let (mut start, mut count, mut used) = (0, usize::MAX, 0);
    let mut current = None;
    let mut lost = file.visit_segments(Some(code::DATA), &mut |segment, attribute| {
        if attribute.name.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        if segment != current {
            start += if current.is_none() { used } else { count };
            (current, count, used) = (segment, 0, 0);
            while let [(next, streams), later @ ..] = rest
                && segment.is_some_and(|segment| next.0 <= segment.0)
            {
                rest = later;
                match Some(*next) == segment {
                    true => count = *streams,
                    // It cannot be read now.
                    false => start += streams,
                }
            }
        }
        used += 1;
        // Neither a stream that the list does not name nor one beyond the last ordinal can be reached.
        match u16::try_from(start + used).ok().filter(|ordinal| *ordinal <= MAX_ORDINAL) {
            Some(ordinal) if used <= count => Ok(f(ordinal, attribute)),
            _ => Ok(ControlFlow::Continue(())),
        }
    })?;
    lost.pop().map_or(Ok(()), |(_, error)| Err(error))
}

/// The ordinal of the named stream with exactly this name.
pub(in super::super) fn ordinal(file: &File<'_>, name: &[u16]) -> Result<Option<u16>> {
    let mut found = None;
    each_stream(file, &mut |ordinal, attribute| {
        if !attribute.is_named(name) {
            return ControlFlow::Continue(());
        }
        found = Some(ordinal);
        ControlFlow::Break(())
    })?;
    Ok(found)
}

/// As [`each_stream`], without the stream that Windows hides: the compressed data of a file with a WOF reparse point.
pub(in super::super) fn each_visible_stream(
    file: &File<'_>,
    f: &mut dyn FnMut(u16, &Attribute<'_>) -> ControlFlow<()>,
) -> Result<()> {
    let is_wof = match ordinal(file, &WOF_STREAM)? {
        // Damaged reparse data hides no stream.
        Some(_) => file
            .bytes(code::REPARSE_POINT, &[], MAX_REPARSE_DATA)?
            .is_some_and(|value| Reparse::parse(&value).is_ok_and(|reparse| reparse.is_wof_file())),
        None => false,
    };
    each_stream(file, &mut |ordinal, attribute| {
        if is_wof && attribute.is_named(&WOF_STREAM) {
            return ControlFlow::Continue(());
        }
        f(ordinal, attribute)
    })
}

/// The name and sizes of the stream with this ordinal.
pub(in super::super) fn stream(file: &File<'_>, ordinal: u16) -> Result<(Vec<u16>, Extent)> {
    let mut found = None;
    each_stream(file, &mut |at, attribute| {
        if at != ordinal {
            return ControlFlow::Continue(());
        }
        found = Some((attribute.name_units(), extent(attribute)));
        ControlFlow::Break(())
    })?;
    found.ok_or_else(|| Error::not_found(format!("MFT record {} has no stream {ordinal}", file.base.number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_numbers_fit_below_the_marks_and_come_back() {
        let last = (1 << RECORD_BITS) - 1;
        for (record, ordinal) in [(0, 0), (0, MAX_ORDINAL), (last, 0), (last, MAX_ORDINAL)] {
            let node = Node { record, ordinal };
            let number = NodeId::from(node);
            assert!(number.0 < 1 << NodeId::OWN_BITS);
            assert_eq!(Node::from(number), node);
        }
        assert!(
            Node::file(last).is_some() && Node::file(last + 1).is_none() && Node::file(u64::MAX).is_none()
        );
    }
}
