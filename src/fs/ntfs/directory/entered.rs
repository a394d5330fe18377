//! Where an entry of a directory leads: into a directory or to a link only where that one is at home, else to a marked node.

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
            },
            records::{file::File, number},
        },
        reach,
    },
};

/// True for the entry `name` of `directory`. Entries of DOS names are in no listing, so these may lead anywhere in
/// their directory.
fn is_at_home(home: Home, directory: &Directory, name: &[u16], namespace: Namespace) -> bool {
    home.parent.record() == directory.record
        && [0, directory.sequence].contains(&home.parent.sequence())
        && (namespace == Namespace::Dos || home.name == hash(name.iter().copied()))
}

/// The node of `file`, which is no directory, as an entry of `directory` leads to it: marked, if it is a link of which the
/// name lies elsewhere. A link with several names is the tree's to judge.
fn link_from(directory: &Directory, file: &File<'_>, node: NodeId) -> NodeId {
    // A record that is damaged fails by itself.
    let elsewhere = Summary::of(file).is_ok_and(|summary| {
        let parent = summary.parent.map(|parent| parent.record());
        summary.kind == Some(NodeKind::Symlink) && parent != Some(directory.record)
    });
    if elsewhere { NodeId(node.0 | reach::MISPLACED) } else { node }
}

impl Ntfs {
    /// Why a directory is not entered through an entry that leads to it.
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

    /// The node to which an entry of `directory` leads: of a directory or link that is not at home there, the marked one.
    /// `by_name`: the entry says that it is one of these; otherwise only what is in memory is asked, as plain listings read
    /// no records of files.
    pub(in super::super) fn entered_from(
        &self,
        directory: &Directory,
        node: NodeId,
        name: &[u16],
        namespace: Namespace,
        by_name: bool,
    ) -> NodeId {
        let home = match if by_name { self.stats.record(node.0) } else { self.stats.known(node.0) } {
            Some(stat) if !stat.is_directory() => return node,
            Some(stat) => stat.home(),
            None if !by_name => return node,
            None => match self.file(node.0) {
                Ok(file) if file.base.header.directory => Home::of(&file).ok().flatten(),
                Ok(file) => return link_from(directory, &file, node),
                // A record that cannot be read fails by itself.
                Err(_) => return node,
            },
        };
        let enters = node.0 != number::ROOT
            && node.0 != directory.record
            && home.is_some_and(|home| is_at_home(home, directory, name, namespace));
        if enters { node } else { NodeId(node.0 | reach::MISPLACED) }
    }
}
