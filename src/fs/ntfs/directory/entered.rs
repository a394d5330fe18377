//! The target node of a directory entry. An entry at another place than the one in the own record of the directory or link
//! leads to a marked node.

use super::Directory;
use crate::{
    Error, Place,
    fs::{
        NodeId, NodeKind,
        ntfs::{
            Ntfs,
            attributes::file_name::Namespace,
            nodes::{
                home::{Home, hash, name_of},
                node::Summary,
                stat_record::StatRecord,
            },
            records::{file::File, number},
        },
        reach,
    },
};

/// True if the entry `name` of `directory` is the home of the target. Listings omit DOS names, so these need only be in the
/// right directory.
fn is_at_home(home: Home, directory: &Directory, name: &[u16], namespace: Namespace) -> bool {
    home.parent.record() == directory.record
        && [0, directory.sequence].contains(&home.parent.sequence())
        && (namespace == Namespace::Dos || home.name == hash(name))
}

/// The node of `file`, which is no directory, for an entry of `directory`: marked, if it is a link whose own record names
/// another directory. Links with several names are resolved by the tree.
fn link_from(directory: &Directory, file: &File<'_>, node: NodeId) -> NodeId {
    // A damaged record fails when it is used.
    let elsewhere = Summary::of(file).is_ok_and(|summary| {
        let parent = summary.parent.map(|parent| parent.record());
        summary.kind == Some(NodeKind::Symlink) && parent != Some(directory.record)
    });
    if elsewhere { NodeId(node.0 | reach::MISPLACED) } else { node }
}

impl Ntfs {
    /// The error for entering a directory through an entry that does not lead to it.
    pub(in super::super) fn misplaced(&self, record: u64) -> Error {
        let file = self.file(record);
        if file.as_ref().is_ok_and(|file| !file.base.header.directory) {
            return Error::invalid(format!("MFT record {record} is no directory"));
        }
        let home = match file.and_then(|file| name_of(&file)) {
            Ok(Some((name, parent))) => format!("{:?} in MFT record {}", name.to_string(), parent.record()),
            _ => "no place".into(),
        };
        let problem = format!(
            "its own record states another place ({home}), and a directory is entered from there alone; if nothing leads to \
             it there, it is among the orphans"
        );
        Error::corrupt("directory", Place::Record(record), problem)
    }

    /// The target node of an entry in `directory`: marked, for a directory or link that is not at home there. `stat` is the
    /// target's stat record if it is in memory. Without it the record is read if the entry is looked up `by_name`: plain
    /// listings read no file records.
    pub(in super::super) fn entered_from(
        &self,
        directory: &Directory,
        (node, stat): (NodeId, Option<StatRecord>),
        (name, namespace): (&[u16], Namespace),
        by_name: bool,
    ) -> NodeId {
        let home = match stat {
            Some(stat) if !stat.is_directory() => return node,
            Some(stat) => stat.home(),
            None if !by_name => return node,
            None => match self.file(node.0) {
                Ok(file) if file.base.header.directory => Home::of(&file).ok().flatten(),
                Ok(file) => return link_from(directory, &file, node),
                // An unreadable record fails when it is used.
                Err(_) => return node,
            },
        };
        let enters = node.0 != number::ROOT
            && node.0 != directory.record
            && home.is_some_and(|home| is_at_home(home, directory, name, namespace));
        if enters { node } else { NodeId(node.0 | reach::MISPLACED) }
    }
}
