//! Volumes built record by record, for states that no tool creates on demand (a table in pieces, contradictions, cycles).

mod damaged_index;
mod directories;
mod files;
mod image;
mod reach;
mod special;
mod stat_record;
mod table;
mod wof;

use std::{ops::ControlFlow, sync::Arc};

use super::{
    Ntfs,
    attributes::{code, file_name::tests::file_name},
    open,
};

use crate::{
    Error, Result,
    bytes::{
        ByteSource, MemorySource,
        testing::{Counted, Faulty},
    },
    fs::{
        DirCursor, FileSystem, NameBuf, NodeId, Options, StatAhead, Streams,
        probe::{Probe, probe},
    },
};

use self::image::{
    CLUSTER, CLUSTERS, DIRECTORY, Extent, FILE, RECORD, ROOT, index_block, index_entry, index_root,
    list_entry, named_list_entry, non_resident,
};
pub(super) use self::image::{Image, data, resident};

fn lookup(volume: &Ntfs, name: &str) -> Result<Option<NodeId>> {
    volume.lookup(volume.root(), NameBuf::literal(name).as_name())
}

fn names(volume: &Ntfs) -> (Vec<String>, Result<()>) {
    let mut names = Vec::new();
    volume.stat_ahead().expect_stats(volume.root(), DirCursor(0));
    let listed = volume.read_dir(volume.root(), DirCursor(0), &mut |entry| {
        names.push(entry.name.to_string());
        ControlFlow::Continue(())
    });
    (names, listed)
}

fn content(volume: &Ntfs) -> Result<Vec<u8>> {
    let source = volume.open(NodeId(FILE))?;
    let mut bytes = vec![0xee; usize::try_from(source.size()).unwrap()];
    source.read_exact_at(0, &mut bytes).map(|()| bytes)
}

fn is_corrupt<T>(result: Result<T>) -> bool {
    matches!(result, Err(Error::Corrupt(_)))
}
