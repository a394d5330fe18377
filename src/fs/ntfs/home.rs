//! A directory's home: the parent and the name that its own record states. An index entry leads into the directory only if it
//! stands there; any other one would make of the tree a graph, in which walks go in circles or take exponential time. A
//! link has to lie in the directory that its record names: from any other its target could lead out of the volume.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    ops::ControlFlow,
    sync::LazyLock,
};

use super::{
    attribute::{Form, code},
    directory::Directory,
    file::File,
    file_name::{FileName, Namespace},
    index::FileReference,
    node::Summary,
    volume::number,
};
use crate::{
    Error, Place, Result,
    fs::{NameBuf, NodeId, NodeKind, reach},
};

/// The place of a directory, in 12 bytes: of the name a hash that is seeded, so that no image can be made whose entries
/// all seem to be the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Home {
    pub(super) parent: FileReference,
    /// Never 0.
    pub(super) name: u32,
}

/// Of this process alone.
static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// As [`Home::name`] has it.
pub(super) fn hash(units: impl IntoIterator<Item = u16>) -> u32 {
    let mut hasher = SEED.build_hasher();
    units.into_iter().for_each(|unit| hasher.write_u16(unit));
    u32::try_from(hasher.finish() >> 32).expect("32 bits are left").max(1)
}

impl Home {
    /// The home of the directory `file`; `None`: its record states none.
    pub(super) fn of(file: &File<'_>) -> Result<Option<Self>> {
        Ok(name_of(file)?.map(|(name, parent)| Self { parent, name: hash(name.0) }))
    }

    /// True for the entry `name` of `directory`. Entries of DOS names are in no listing, so these may lead anywhere in
    /// their directory.
    fn is(self, directory: &Directory, name: &[u16], namespace: Namespace) -> bool {
        self.parent.record() == directory.record
            && [0, directory.sequence].contains(&self.parent.sequence())
            && (namespace == Namespace::Dos || self.name == hash(name.iter().copied()))
    }
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

/// The name that a person would use, and the directory that holds it.
pub(super) fn name_of(file: &File<'_>) -> Result<Option<(NameBuf, FileReference)>> {
    let mut best: Option<(u8, NameBuf, FileReference)> = None;
    file.visit(Some(code::FILE_NAME), &mut |attribute| {
        let Form::Resident(value) = attribute.form else { return Ok(ControlFlow::Continue(())) };
        let name = FileName::parse(value)?;
        let rank = match name.namespace() {
            Namespace::Win32 | Namespace::Win32AndDos => 0,
            Namespace::Posix => 1,
            Namespace::Dos => 2,
        };
        if best.as_ref().is_none_or(|(other, ..)| rank < *other) {
            best = Some((rank, NameBuf(name.units().collect()), name.parent()));
        }
        Ok(if rank == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(best.map(|(_, name, parent)| (name, parent)))
}

impl super::Ntfs {
    /// Why a directory is not entered through an entry that leads to it.
    pub(super) fn misplaced(&self, record: u64) -> Error {
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
    pub(super) fn entered_from(
        &self,
        directory: &Directory,
        node: NodeId,
        name: &[u16],
        namespace: Namespace,
        by_name: bool,
    ) -> NodeId {
        let home = match if by_name { self.mft.brief(node.0) } else { self.mft.known_brief(node.0) } {
            Some(brief) if !brief.is_directory() => return node,
            Some(brief) => brief.home(),
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
            && home.is_some_and(|home| home.is(directory, name, namespace));
        if enters { node } else { NodeId(node.0 | reach::MISPLACED) }
    }
}
