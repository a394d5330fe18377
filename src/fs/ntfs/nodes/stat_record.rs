//! What `stat` says of the plain files of a piece of the table, in 72 bytes a record: taken from all of them when the
//! piece is read, because a listing by name comes back to each piece again and again, long after its bytes had to go.
//! Guards: only what one intact base record tells by itself is kept; everything else (attribute lists, reparse points,
//! damage, …) is read each time, where it is asked for.

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

/// A plain file or directory; or nothing, when `links` is 0.
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
    /// Of a directory, [`Home::name`]; 0 in a file.
    home: u32,
}

impl StatRecord {
    /// What is known of `record` of `mft` without reading anything else.
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
        // Only its content would tell what it is; and the other has two sizes.
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

    /// `None` where nothing is known.
    pub(in super::super) fn known(self) -> Option<Self> {
        (self.links > 0).then_some(self)
    }

    /// The answer of `stat`.
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

    /// Of a directory, where it is entered from.
    pub(in super::super) fn home(&self) -> Option<Home> {
        self.is_directory().then(|| Home { parent: self.parent(), name: self.home })
    }

    /// The directory that holds its first name.
    pub(in super::super) fn parent(&self) -> FileReference {
        FileReference(self.parent)
    }

    /// How often the record was reused.
    pub(in super::super) fn sequence_number(&self) -> u16 {
        self.sequence
    }
}

fn filetimes(times: Times) -> Option<[u64; 4]> {
    let Times { created, modified, changed, accessed } = times;
    Some([to_filetime(created)?, to_filetime(modified)?, to_filetime(changed)?, to_filetime(accessed)?])
}
