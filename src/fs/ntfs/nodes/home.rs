//! A directory's home: the parent and the name in its own record. An index entry leads into the directory only at that
//! place; any other entry would turn the tree into a graph, in which walks can loop or take exponential time. A link must be
//! in the directory that its record names: from any other one its target could lead out of the volume.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    ops::ControlFlow,
    sync::LazyLock,
};

use zerocopy::IntoBytes;

use crate::{
    Result,
    fs::{
        NameBuf,
        ntfs::{
            attributes::{
                Form, code,
                file_name::{FileName, Namespace},
                reference::FileReference,
            },
            records::file::File,
        },
    },
};

/// The home of a directory, in 12 bytes: of the name a seeded hash, so that no image can be built whose entries all match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Home {
    pub(in super::super) parent: FileReference,
    /// Seeded hash of the name; never 0.
    pub(in super::super) name: u32,
}

/// The seed, random for each process.
static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// The hash in [`Home::name`].
pub(in super::super) fn hash(name: &[u16]) -> u32 {
    let mut hasher = SEED.build_hasher();
    hasher.write(name.as_bytes());
    u32::try_from(hasher.finish() >> 32).expect("32 bits are left").max(1)
}

impl Home {
    /// The home of the directory `file`; `None` if its record states none.
    pub(in super::super) fn of(file: &File<'_>) -> Result<Option<Self>> {
        Ok(name_of(file)?.map(|(name, parent)| Self { parent, name: hash(&name.0) }))
    }
}

/// The name to show to the user, and the directory that contains it.
pub(in super::super) fn name_of(file: &File<'_>) -> Result<Option<(NameBuf, FileReference)>> {
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
