//! Directories that this program adds to a volume, `.deleted` and `.orphans`: their entries are `NUMBER-NAME`, as only the
//! number is unambiguous. A look-up of the number alone also succeeds.

use std::ops::ControlFlow;

use super::{DirCursor, DirEntry, FileSystem, Name, NameBuf, NodeId, NodeKind, Stat};
use crate::Result;

/// A file that is listed by its number.
#[derive(Debug, Clone, Copy)]
pub struct NumberedFile<'a> {
    /// The number that The Sleuth Kit calls inode. NTFS: the MFT record; FAT: the position of the directory entry.
    pub number: u64,
    /// The node, without the bit that marks nodes of the added directory.
    pub node: NodeId,
    /// Its name; empty if lost.
    pub name: Name<'a>,
    /// Its type.
    pub kind: NodeKind,
}

/// Files to which no directory of the volume leads, each with a number: those of an added directory. Nodes are passed without
/// the bit that marks them.
pub trait Numbered: Send + Sync {
    /// Calls `sink` for each file whose number is at least `from`, ascending, until it breaks: each deleted file; each orphan
    /// that is in no other orphan. Damaged records are skipped and counted in the log.
    ///
    /// # Errors
    /// When the file table cannot be read further, or when the search is incomplete.
    fn each(&self, from: u64, sink: &mut dyn FnMut(NumberedFile<'_>) -> ControlFlow<()>) -> Result<()>;

    /// The node and the name of file `number`; `None` when there is no such file.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    fn find(&self, number: u64) -> Result<Option<(NodeId, NameBuf)>>;

    /// The path from the root of the volume, as text without a leading `/`: of a deleted file its former path (as far as the
    /// records of deleted directories remain), of an orphan the one that its own metadata states; for a stream that of its
    /// file. `None`: the parent directory is unknown.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    fn path(&self, node: NodeId) -> Result<Option<Vec<u8>>>;

    /// As [`FileSystem::stat`].
    ///
    /// # Errors
    /// As [`FileSystem::stat`].
    fn stat(&self, node: NodeId) -> Result<Stat>;
}

/// An added directory, whose nodes are those of the filesystem with `bit`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NumberedDirectory {
    pub(crate) bit: u64,
}

impl NumberedDirectory {
    /// The directory's own node: a number that no file of any format has.
    pub(crate) const fn node(self) -> NodeId {
        NodeId(self.bit | (self.bit - 1))
    }

    /// A node of the filesystem, marked.
    pub(crate) fn global(self, node: NodeId) -> NodeId {
        NodeId(node.0 | self.bit)
    }

    /// A marked node by the filesystem's own number; `None` for the directory itself, and for nodes without the mark.
    pub(crate) fn local(self, node: NodeId) -> Option<NodeId> {
        (node.0 & self.bit != 0 && node != self.node()).then_some(NodeId(node.0 & !self.bit))
    }

    /// The directory's metadata, with the times of the volume's root.
    pub(crate) fn stat(self, fs: &dyn FileSystem) -> Stat {
        let times = fs.stat(fs.root()).map(|stat| stat.times).unwrap_or_default();
        Stat { times, ..Stat::empty(NodeKind::Directory) }
    }

    /// As [`FileSystem::lookup`], in the directory.
    pub(crate) fn lookup(self, files: &dyn Numbered, name: Name<'_>) -> Result<Option<NodeId>> {
        let Some(number) = number(name.units()) else { return Ok(None) };
        let found = files.find(number)?.filter(|(_, found)| is_entry(number, found, name));
        Ok(found.map(|(node, _)| self.global(node)))
    }

    /// As [`FileSystem::read_dir`], of the directory.
    pub(crate) fn read_dir(
        self,
        files: &dyn Numbered,
        from: DirCursor,
        sink: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut entry = Vec::new();
        files.each(from.0, &mut |NumberedFile { number, node, name, kind }| {
            entry_name(number, name, &mut entry);
            let (node, next) = (self.global(node), DirCursor(number + 1));
            sink(DirEntry { name: Name(&entry), node, kind, next })
        })
    }
}

/// `4711-name`, or `4711` if the name is lost.
pub(crate) fn entry_name(number: u64, name: Name<'_>, out: &mut Vec<u16>) {
    out.clear();
    out.extend(number.to_string().bytes().map(u16::from));
    if !name.units().is_empty() {
        out.push(b'-'.into());
        out.extend_from_slice(name.units());
    }
}

/// Parses the number at the start of an entry's name.
pub(crate) fn number(name: &[u16]) -> Option<u64> {
    let digit = |unit: &u16| u8::try_from(*unit).ok().filter(u8::is_ascii_digit);
    if name.first().is_none_or(|first| *first == u16::from(b'0') || digit(first).is_none()) {
        return None;
    }
    let mut digits = name.iter().map_while(digit).map(|digit| u64::from(digit - b'0'));
    digits.try_fold(0_u64, |sum, digit| sum.checked_mul(10)?.checked_add(digit))
}

/// True if `wanted` names the entry `number` with this name, or is the number alone.
pub(crate) fn is_entry(number: u64, name: &NameBuf, wanted: Name<'_>) -> bool {
    let mut entry = Vec::new();
    entry_name(number, name.as_name(), &mut entry);
    entry == wanted.units() || wanted.is(&number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn entries_are_found_by_name_and_by_number() {
        let is = |wanted: &str| is_entry(12, &NameBuf::literal("a"), NameBuf::literal(wanted).as_name());
        assert!(is("12-a") && is("12") && !is("12-A") && !is("12-") && !is("12-ab") && !is("1"));
    }
}
