//! Metadata of nodes: plain values, the same for every format.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{Name, NameBuf};

/// Identifies a node; computed from the disk, stable over mounts. From the lowest bit on:
///
/// | bits | what |
/// |---|---|
/// | 0 to 46 | the filesystem's own: NTFS 34 bits of record number and 13 of stream, FAT 39 bits of position |
/// | 47 | a directory or link seen through an entry that does not lead to it ([`super::reach`]) |
/// | 48 | an orphan ([`super::orphans`]) |
/// | 49 | a deleted file ([`super::deleted`]) |
/// | 50 to 62 | the volume's number in the mount, from 1; 0: the tree's own nodes |
/// | 63 | what an adapter numbers itself |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u64);

impl NodeId {
    /// Number of bits of a filesystem's node numbers, the mark bits above its own numbers included.
    pub const LOCAL_BITS: u32 = 50;
    /// Number of bits of the volume's number.
    pub const VOLUME_BITS: u32 = 13;
    /// Set in the numbers of an adapter's own nodes.
    pub const ADAPTER: u64 = 1 << 63;
    /// Number of bits of a filesystem's own numbers, without marks.
    pub(crate) const OWN_BITS: u32 = Self::LOCAL_BITS - 3;
}

const _: () = assert!(NodeId::LOCAL_BITS + NodeId::VOLUME_BITS == NodeId::ADAPTER.trailing_zeros());

/// The type of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeKind {
    /// A regular file or a stream.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, junction or volume mount point.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A local socket.
    Socket,
    /// A character device with its number.
    CharDevice(u32, u32),
    /// A block device with its number.
    BlockDevice(u32, u32),
}

/// A moment in UTC; `seconds` since 1970 may be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Timestamp {
    /// Whole seconds since 1970-01-01 UTC.
    pub seconds: i64,
    /// 0 .. 999 999 999, counted forward from `seconds`.
    pub nanos: u32,
}

/// A time before 1970, which no host gives its files, becomes 1970.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), nanos: since.subsec_nanos() }
    }
}

/// The times of a node; a format that lacks one of them repeats the modification time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times {
    /// Creation (birth).
    pub created: Timestamp,
    /// Last change of the content.
    pub modified: Timestamp,
    /// Last change of the metadata (ctime).
    pub changed: Timestamp,
    /// Last access.
    pub accessed: Timestamp,
}

/// The result of `stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Type of the node.
    pub kind: NodeKind,
    /// Length of the content in bytes; 0 for a link, whatever the length of its stored target.
    pub size: u64,
    /// Bytes allocated on the volume.
    pub allocated: u64,
    /// Number of names (hard links), at least 1.
    pub links: u32,
    /// Times.
    pub times: Times,
    /// DOS/NTFS attribute bits (`FILE_ATTRIBUTE_*`); 0 where the format has none.
    pub attributes: u32,
    /// Where the content is stored.
    pub content: ContentPlace,
}

impl Stat {
    /// A node without content, times or attributes.
    pub fn empty(kind: NodeKind) -> Self {
        let (times, content) = (Times::default(), ContentPlace::Own);
        Self { kind, size: 0, allocated: 0, links: 1, times, attributes: 0, content }
    }
}

/// Where the content of a node is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ContentPlace {
    /// In the node itself: [`Stat::size`] is its length.
    #[default]
    Own,
    /// In another place (another file, a cloud): [`Stat::size`] is the size that the node states, perhaps 0. Only opening it
    /// shows whether its content can be read.
    Elsewhere,
}

/// POSIX metadata of a node, which Windows does not use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Posix {
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Kind and permissions, as in `st_mode`.
    pub mode: Option<u32>,
}

/// Position in a directory listing; 0 is the beginning. Opaque, and stable as long as the image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DirCursor(pub u64);

/// One entry of a directory.
#[derive(Debug, Clone, Copy)]
pub struct DirEntry<'a> {
    /// Its name.
    pub name: Name<'a>,
    /// The node that it names.
    pub node: NodeId,
    /// Type according to the directory; [`NodeKind::File`] where only `stat` distinguishes a link from a file.
    pub kind: NodeKind,
    /// Cursor of the next entry.
    pub next: DirCursor,
}

/// The target of a link, as stored on the disk and in its syntax.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkTarget {
    /// A POSIX path in UTF-8 or arbitrary bytes, returned unchanged.
    Posix(Vec<u8>),
    /// A Windows path: `\`-separated, perhaps with a drive, `\??\` or a volume GUID in front.
    Windows {
        /// The substitute name, which the Windows kernel follows.
        path: NameBuf,
        /// The print name, which is shown to the user; may be empty.
        print: NameBuf,
        /// Relative to the directory of the link.
        relative: bool,
    },
}

impl LinkTarget {
    /// The target, if it is a POSIX path: also one that the Linux driver stored in Windows form, with `\??\` before a path
    /// that starts with no drive, volume, share or device. The print name, if any, is the intended path then.
    pub fn posix(&self) -> Option<Vec<u8>> {
        const NAMESPACES: [&str; 5] = ["Volume{", r"UNC\", r"GLOBALROOT\", r"Global\", r"pipe\"];
        let (path, print) = match self {
            Self::Posix(text) => return Some(text.clone()),
            Self::Windows { path, print, relative: false } => (&path.0, &print.0),
            Self::Windows { .. } => return None,
        };
        let rest = path.strip_prefix(&r"\??\".encode_utf16().collect::<Vec<_>>()[..])?;
        let is = |prefix: &str| {
            rest.get(..prefix.len())
                .is_some_and(|head| String::from_utf16_lossy(head).eq_ignore_ascii_case(prefix))
        };
        if rest.get(1) == Some(&u16::from(b':')) || NAMESPACES.into_iter().any(is) {
            return None;
        }
        let meant = if print.is_empty() { rest } else { print };
        let parts = meant.split(|unit| *unit == u16::from(b'\\') || *unit == u16::from(b'/'));
        Some(parts.map(|part| Name(part).to_link_part()).collect::<Vec<_>>().join(&b'/'))
    }

    /// The text form for a POSIX system. A relative Windows path gets `/` as its separator; an absolute one keeps its `\`,
    /// as only the whole tree can resolve its drive. Components are escaped like every other name.
    pub fn to_text(&self) -> Vec<u8> {
        const SLASH: u16 = 0x2f;
        const BACKSLASH: u16 = 0x5c;
        if let Some(text) = self.posix() {
            return text;
        }
        match self {
            Self::Posix(text) => text.clone(),
            Self::Windows { path, relative, .. } => {
                // No Windows name can contain `/`, so there it can only be a separator.
                let is_separator = |unit: &u16| *unit == BACKSLASH || (*relative && *unit == SLASH);
                let mut text = Vec::with_capacity(path.0.len());
                for (i, component) in path.0.split(is_separator).enumerate() {
                    if i > 0 {
                        text.push(if *relative { b'/' } else { b'\\' });
                    }
                    match component {
                        [0x2e] => text.push(b'.'),
                        [0x2e, 0x2e] => text.extend_from_slice(b".."),
                        name => Name(name).push_text(&mut text),
                    }
                }
                text
            }
        }
    }
}

/// A named stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    /// Its name, without colons.
    pub name: NameBuf,
    /// Length in bytes.
    pub size: u64,
}

/// Space on a volume, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Allocation unit.
    pub cluster_size: u64,
    /// Bytes that the filesystem manages.
    pub total: u64,
    /// Free bytes according to the filesystem.
    pub free: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(path: &str, relative: bool) -> Vec<u8> {
        let target =
            LinkTarget::Windows { path: NameBuf::literal(path), print: NameBuf::default(), relative };
        target.to_text()
    }

    #[test]
    fn relative_windows_targets_get_slashes() {
        assert_eq!(windows(r"..\Grüße\.\b", true), "../Grüße/./b".as_bytes());
        assert_eq!(windows("../a/b", true), b"../a/b");
    }

    #[test]
    fn absolute_windows_targets_keep_their_text() {
        assert_eq!(windows(r"\??\C:\Users\x", false), br"\??\C:\Users\x");
        assert_eq!(LinkTarget::Posix(b"a\\b/c".to_vec()).to_text(), b"a\\b/c");
    }

    #[test]
    fn posix_targets_in_the_form_of_windows_are_posix_targets() {
        let posix = |path: &str, print: &str| {
            let (path, print) = (NameBuf::literal(path), NameBuf::literal(print));
            let text = LinkTarget::Windows { path, print, relative: false }.posix();
            text.map(|text| String::from_utf8(text).unwrap())
        };
        for (print, text) in [(r"dir\a", "dir/a"), (r"..\f", "../f"), (r"\usr\bin\env", "/usr/bin/env")] {
            assert_eq!(posix(&format!(r"\??\{print}"), print).as_deref(), Some(text));
            assert_eq!(posix(&format!(r"\??\{print}"), "").as_deref(), Some(text));
        }
        for path in [r"C:\x", r"Volume{0}\", r"unc\server\x", r"GLOBALROOT\Device\x", r"PIPE\x"] {
            assert_eq!(posix(&format!(r"\??\{path}"), "x"), None);
        }
        assert_eq!(posix(r"C:\x", "x"), None);
    }

    #[test]
    fn a_component_cannot_smuggle_nul_into_a_target() {
        assert_eq!(windows("a\0\\..\\b", true), br"a\x00/../b");
    }
}
