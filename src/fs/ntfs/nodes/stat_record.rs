//! Compact `stat` results of plain files, 72 bytes per record: built for all records of a piece of the table when it is
//! read, because a listing by name returns to each piece repeatedly, long after its bytes were evicted. Guards: only results
//! from one intact base record are kept; all other files (attribute lists, reparse points, damage, …) are read on each use.

use super::{home::Home, node::Summary};
use crate::fs::{
    ContentPlace, NodeKind, Stat, Times,
    ntfs::{
        attributes::{
            code,
            reference::FileReference,
            time::{from_filetime, to_filetime},
        },
        records::{Record, file::File, mft::Mft},
    },
};

/// A plain file or directory; empty if `links` is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in super::super) struct StatRecord {
    /// FILETIMEs, in the order of [`Times`].
    times: [u64; 4],
    size: u64,
    allocated: u64,
    parent: u64,
    attributes: u32,
    links: u16,
    sequence: u16,
    /// For a directory its [`Home::name`]; 0 for a file.
    home: u32,
}

impl StatRecord {
    /// The stat record of `record` of `mft`, if that needs no other read.
    pub(in super::super) fn of(mft: &Mft, record: Record) -> Option<Self> {
        let header = record.header;
        if header.base.0 != 0 {
            return None;
        }
        for attribute in record.attributes() {
            match attribute.ok()?.type_code {
                code::ATTRIBUTE_LIST | code::REPARSE_POINT => return None,
                _ => {}
            }
        }
        let file = File::alone(mft, record);
        let summary = Summary::of(&file).ok()?;
        // A special file is identified by its content; an encrypted file has two sizes.
        if summary.may_be_interix() || summary.data.is_some_and(|data| data.raw_size.is_some()) {
            return None;
        }
        let stat = summary.stat(&file, None, false);
        let home = match stat.kind {
            NodeKind::File => None,
            NodeKind::Directory => Some(Home::of(&file).ok()??),
            _ => return None,
        };
        Some(Self {
            times: filetimes(stat.times)?,
            size: stat.size,
            allocated: stat.allocated,
            parent: home.map_or(summary.parent?, |home| home.parent).0,
            attributes: stat.attributes,
            links: u16::try_from(stat.links).ok()?,
            sequence: header.sequence_number,
            home: home.map_or(0, |home| home.name),
        })
    }

    /// `None` for an empty record.
    pub(in super::super) fn known(self) -> Option<Self> {
        (self.links > 0).then_some(self)
    }

    /// The `stat` of the file.
    pub(in super::super) fn stat(&self) -> Stat {
        let [created, modified, changed, accessed] = self.times.map(from_filetime);
        Stat {
            kind: if self.is_directory() { NodeKind::Directory } else { NodeKind::File },
            size: self.size,
            allocated: self.allocated,
            links: self.links.into(),
            times: Times { created, modified, changed, accessed },
            attributes: self.attributes,
            content: ContentPlace::Own,
        }
    }

    pub(in super::super) fn is_directory(&self) -> bool {
        self.home != 0
    }

    /// The home of a directory.
    pub(in super::super) fn home(&self) -> Option<Home> {
        self.is_directory().then(|| Home { parent: self.parent(), name: self.home })
    }

    /// The directory of its first name.
    pub(in super::super) fn parent(&self) -> FileReference {
        FileReference(self.parent)
    }

    /// The sequence number: how often the record was reused.
    pub(in super::super) fn sequence_number(&self) -> u16 {
        self.sequence
    }
}

fn filetimes(times: Times) -> Option<[u64; 4]> {
    let Times { created, modified, changed, accessed } = times;
    Some([to_filetime(created)?, to_filetime(modified)?, to_filetime(changed)?, to_filetime(accessed)?])
}
