//! `.deleted/` of one volume: a flat directory, as that alone is unambiguous. Names are `NUMBER-NAME`; a number by itself
//! is found as well. Where a file came from and what is left of it are extended attributes. Deleted directories are in
//! it, empty.

use std::{
    ops::{ControlFlow, Range},
    sync::Arc,
};

use super::{BIT, DIRECTORY, Found, Undelete, Verdict};
use crate::{
    Error, Result,
    bytes::ByteSource,
    fs::{
        DirCursor, DirEntry, FileSystem, LinkTarget, Name, NodeId, NodeKind, Stat, StreamInfo, Usage,
        VolumeInfo,
    },
};

/// Where the file was: its path from the root of the volume. Absent when its directory is gone.
const PATH: &str = "user.vhdmount.path";
/// `full`, `partial 40%`, `overwritten`, …
const STATE: &str = "user.vhdmount.state";

/// The deleted files of a volume as a filesystem.
pub struct View {
    fs: Arc<dyn FileSystem>,
}

impl View {
    /// Of a filesystem that has [`FileSystem::deleted`]; of any other the directory is empty.
    pub fn new(fs: Arc<dyn FileSystem>) -> Self {
        Self { fs }
    }

    fn undelete(&self) -> Result<Box<dyn Undelete + '_>> {
        self.fs.deleted().ok_or_else(|| Error::not_found("this format keeps nothing of deleted files"))
    }

    /// A file or stream, as the filesystem numbers it.
    fn local(&self, node: NodeId) -> Result<(Box<dyn Undelete + '_>, NodeId)> {
        if node.0 & BIT == 0 || node == DIRECTORY {
            return Err(Error::invalid("not a deleted file"));
        }
        Ok((self.undelete()?, NodeId(node.0 & !BIT)))
    }

    fn check_directory(&self, node: NodeId) -> Result<()> {
        let (undelete, local) = self.local(node)?;
        match undelete.stat(local)?.kind {
            NodeKind::Directory => Ok(()),
            _ => Err(Error::invalid("not a directory")),
        }
    }
}

fn global(node: NodeId) -> NodeId {
    NodeId(node.0 | BIT)
}

/// `4711-name`, or where the name is lost `4711`.
fn entry_name(number: u64, name: Name<'_>, out: &mut Vec<u16>) {
    out.clear();
    out.extend(number.to_string().bytes().map(u16::from));
    if !name.units().is_empty() {
        out.push(b'-'.into());
        out.extend_from_slice(name.units());
    }
}

/// The number in front of an entry's name.
fn number(name: &[u16]) -> Option<u64> {
    let digit = |unit: &u16| u8::try_from(*unit).ok().filter(u8::is_ascii_digit);
    if name.first().is_none_or(|first| *first == u16::from(b'0') || digit(first).is_none()) {
        return None;
    }
    let mut digits = name.iter().map_while(digit).map(|digit| u64::from(digit - b'0'));
    digits.try_fold(0_u64, |sum, digit| sum.checked_mul(10)?.checked_add(digit))
}

impl FileSystem for View {
    fn volume(&self) -> VolumeInfo {
        self.fs.volume()
    }

    fn root(&self) -> NodeId {
        DIRECTORY
    }

    fn stat(&self, node: NodeId) -> Result<Stat> {
        if node != DIRECTORY {
            let (undelete, local) = self.local(node)?;
            return undelete.stat(local);
        }
        let times = self.fs.stat(self.fs.root()).map(|stat| stat.times).unwrap_or_default();
        Ok(Stat { kind: NodeKind::Directory, size: 0, allocated: 0, links: 1, times, attributes: 0 })
    }

    fn lookup(&self, dir: NodeId, name: Name<'_>) -> Result<Option<NodeId>> {
        if dir != DIRECTORY {
            return self.check_directory(dir).map(|()| None);
        }
        let Some(number) = number(name.units()) else { return Ok(None) };
        let Some((node, found)) = self.undelete()?.find(number)? else { return Ok(None) };
        let mut entry = Vec::new();
        entry_name(number, found.as_name(), &mut entry);
        let by_number = number.to_string().bytes().map(u16::from).eq(name.units().iter().copied());
        Ok((by_number || entry == name.units()).then(|| global(node)))
    }

    fn read_dir(
        &self,
        dir: NodeId,
        from: DirCursor,
        sink: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        if dir != DIRECTORY {
            return self.check_directory(dir);
        }
        let Some(undelete) = self.fs.deleted() else { return Ok(()) };
        let mut entry = Vec::new();
        undelete.each(from.0, &mut |Found { number, node, name, kind }| {
            entry_name(number, name, &mut entry);
            sink(DirEntry { name: Name(&entry), node: global(node), kind, next: DirCursor(number + 1) })
        })
    }

    fn parent(&self, _node: NodeId) -> Result<NodeId> {
        Ok(DIRECTORY)
    }

    fn open(&self, node: NodeId) -> Result<Arc<dyn ByteSource>> {
        let (undelete, local) = self.local(node)?;
        if undelete.stat(local)?.kind == NodeKind::File
            && undelete.state(local)?.verdict() == Verdict::Overwritten
        {
            return Err(Error::corrupt("deleted file", 0, "other files have all of its clusters now"));
        }
        undelete.open(local)
    }

    fn read_link(&self, node: NodeId) -> Result<LinkTarget> {
        let (undelete, local) = self.local(node)?;
        undelete.read_link(local)
    }

    fn streams(&self, node: NodeId) -> Result<Vec<StreamInfo>> {
        if node == DIRECTORY {
            return Ok(Vec::new());
        }
        let (undelete, local) = self.local(node)?;
        undelete.streams(local)
    }

    fn lookup_stream(&self, node: NodeId, name: Name<'_>) -> Result<Option<NodeId>> {
        if node == DIRECTORY {
            return Ok(None);
        }
        let (undelete, local) = self.local(node)?;
        Ok(undelete.lookup_stream(local, name)?.map(global))
    }

    fn xattr_names(&self, node: NodeId) -> Result<Vec<String>> {
        if node == DIRECTORY {
            return Ok(Vec::new());
        }
        let names = [PATH, STATE].into_iter().filter(|name| matches!(self.xattr(node, name), Ok(Some(_))));
        Ok(names.map(str::to_owned).collect())
    }

    fn xattr(&self, node: NodeId, name: &str) -> Result<Option<Vec<u8>>> {
        if node == DIRECTORY {
            return Ok(None);
        }
        let (undelete, local) = self.local(node)?;
        match name {
            PATH => undelete.path(local),
            STATE => Ok(Some(undelete.state(local)?.to_string().into_bytes())),
            _ => undelete.xattr(local, name),
        }
    }

    fn usage(&self) -> Result<Usage> {
        self.fs.usage()
    }

    fn free_ranges(&self, sink: &mut dyn FnMut(Range<u64>) -> ControlFlow<()>) -> Result<()> {
        self.fs.free_ranges(sink)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::NameBuf;

    #[test]
    fn numbers_are_read_from_names() {
        let number = |text: &str| number(&NameBuf::literal(text).0);
        assert_eq!(number("4711-x.txt"), Some(4711));
        assert_eq!(number("5"), Some(5));
        assert_eq!(number("18446744073709551615-"), Some(u64::MAX));
        for name in ["", "x", "-5", "18446744073709551616", "99999999999999999999999", "007-x", "0"] {
            assert_eq!(number(name), None, "{name}");
        }
    }
}
