//! `$REPARSE_POINT` (0xC0): a tag that identifies the owner, the filter that interprets the file, and that owner's data
//! (MS-FSCC 2.1.2).
//!
//! Link tags become links; all other tags mean that the stored content is not the file's content, and messages name the
//! tag's owner.

use crate::{
    Error, Result,
    fs::{LinkTarget, NameBuf, NodeKind},
    guid::Guid,
};

mod tags;

pub use tags::{Tag, describe};

/// A parsed reparse point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reparse {
    /// The tag as stored.
    pub tag: u32,
    /// The owner's GUID, which only points with a non-Microsoft tag have.
    pub guid: Option<Guid>,
    /// The parsed data.
    pub data: Data,
}

/// The data of a reparse point, for the tags that are supported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// A symbolic link.
    Symlink {
        /// The name that the Windows kernel follows.
        substitute: NameBuf,
        /// The name that is shown to the user; may be empty.
        print: NameBuf,
        /// Relative to the directory of the link.
        relative: bool,
    },
    /// A junction or the mount point of a volume.
    MountPoint {
        /// The name that the Windows kernel follows.
        substitute: NameBuf,
        /// The name that is shown to the user; may be empty.
        print: NameBuf,
    },
    /// Content compressed by `wof.sys`.
    Wof(Wof),
    /// A link of WSL: its target, a POSIX path.
    LxSymlink(Vec<u8>),
    /// A link of the first WSL: the file's content is its target.
    LxSymlinkInContent,
    /// A named pipe of WSL.
    LxFifo,
    /// A character device of WSL; its number is in the extended attribute `$LXDEV`.
    LxChr,
    /// A block device of WSL; its number is in the extended attribute `$LXDEV`.
    LxBlk,
    /// A Unix socket.
    AfUnix,
    /// A special file of Windows' NFS server.
    Nfs(Nfs),
    /// An app execution alias: the target program.
    AppExecLink {
        /// The package, the application, and the path of the program.
        strings: Vec<NameBuf>,
    },
    /// Data deduplication: the content is in chunks in `System Volume Information`. [`super::dedup::point::Point`] parses
    /// the data.
    Dedup(Vec<u8>),
    /// A placeholder of a cloud provider (OneDrive, …): the content may not be on the disk.
    Cloud,
    /// An unchanged file of a mounted WIM image (DISM, ImageX): the content is in the WIM, which the registry of the
    /// mounting system names.
    WimMount {
        /// GUID of the mount.
        mount: Guid,
        /// SHA-1 of the content.
        hash: [u8; 20],
    },
    /// Any other owner.
    Other,
}

/// Where `wof.sys` stores the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wof {
    /// In a WIM file.
    Wim {
        /// The number of the WIM, as registered on the volume.
        data_source: u64,
        /// SHA-1 of the content.
        hash: [u8; 20],
    },
    /// In the stream `WofCompressedData` of the same file.
    File(WofAlgorithm),
}

/// Compression format of the stream `WofCompressedData`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WofAlgorithm {
    /// XPRESS Huffman in chunks of 4 KiB.
    Xpress4K,
    /// LZX in chunks of 32 KiB.
    Lzx,
    /// XPRESS Huffman in chunks of 8 KiB.
    Xpress8K,
    /// XPRESS Huffman in chunks of 16 KiB.
    Xpress16K,
}

/// The special files of Windows' NFS server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nfs {
    /// A symbolic link to a POSIX path, in UTF-16.
    Symlink(NameBuf),
    /// A character device: major, minor.
    CharDevice(u32, u32),
    /// A block device: major, minor.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl Reparse {
    /// Parses the attribute's whole value.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the value is shorter than it states, or the data contradicts the tag.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let short = || corrupt(format!("only {} bytes", bytes.len()));
        let mut fields = Fields(bytes);
        let tag = fields.u32().ok_or_else(short)?;
        let length = usize::from(fields.u16().ok_or_else(short)?);
        fields.u16().ok_or_else(short)?;
        let microsoft = tag & tags::MICROSOFT != 0;
        let guid = if microsoft { None } else { Some(Guid(fields.array().ok_or_else(short)?)) };
        let data = fields.0.get(..length).ok_or_else(|| {
            corrupt(format!("{length} bytes of data for tag {tag:#010x}, but {} are stored", fields.0.len()))
        })?;
        let parsed = Data::parse(tag, data)
            .ok_or_else(|| corrupt(format!("the data of a {} point is malformed", describe(tag))))?;
        Ok(Self { tag, guid, data: parsed })
    }

    /// The type of the node instead of file or directory; `None` if the record determines it.
    pub(super) fn kind(&self) -> Option<NodeKind> {
        match self.data {
            Data::Symlink { .. } | Data::MountPoint { .. } => Some(NodeKind::Symlink),
            Data::LxSymlink(_) | Data::LxSymlinkInContent => Some(NodeKind::Symlink),
            Data::LxFifo | Data::Nfs(Nfs::Fifo) => Some(NodeKind::Fifo),
            Data::AfUnix | Data::Nfs(Nfs::Socket) => Some(NodeKind::Socket),
            // WSL stores the number in an extended attribute.
            Data::LxChr => Some(NodeKind::CharDevice(0, 0)),
            Data::LxBlk => Some(NodeKind::BlockDevice(0, 0)),
            Data::Nfs(Nfs::Symlink(_)) => Some(NodeKind::Symlink),
            Data::Nfs(Nfs::CharDevice(major, minor)) => Some(NodeKind::CharDevice(major, minor)),
            Data::Nfs(Nfs::BlockDevice(major, minor)) => Some(NodeKind::BlockDevice(major, minor)),
            _ => None,
        }
    }

    /// True for a file whose content `wof.sys` decompresses from the file's own stream.
    pub(super) fn is_wof_file(&self) -> bool {
        matches!(self.data, Data::Wof(Wof::File(_)))
    }

    /// True for a file that `wof.sys` presents as an ordinary one, wherever its content is.
    pub(super) fn is_wof(&self) -> bool {
        matches!(self.data, Data::Wof(_))
    }

    /// The place outside of this file that has its content, for messages; `None` if there is none.
    pub(super) fn kept_in(&self) -> Option<&'static str> {
        match self.data {
            Data::Wof(Wof::Wim { .. }) | Data::WimMount { .. } => Some("a WIM file"),
            Data::Dedup(_) => Some("the chunk store of data deduplication"),
            _ => None,
        }
    }

    /// The reason why the content of a file with this point cannot be read; `None` if it can.
    pub(super) fn undecodable(&self) -> Option<String> {
        let is_content = self.kind().is_some() || self.is_wof_file();
        (!is_content).then(|| match &self.data {
            Data::Wof(Wof::Wim { .. }) => "kept in a WIM file by WOF (system compression)".into(),
            Data::WimMount { .. } => {
                "of a mounted WIM image: the content is in the WIM file, which only the system that mounted it knows"
                    .into()
            }
            Data::Dedup(_) => "kept in the chunk store of data deduplication".into(),
            Data::Cloud => "a cloud file, whose content may not be on the disk".into(),
            Data::AppExecLink { .. } => match self.program() {
                Some(path) => format!("an alias that starts an application and has no content: {path}"),
                None => "an alias that starts an application and has no content".into(),
            },
            _ => match self.guid {
                Some(guid) => format!("a reparse point of another vendor ({guid}, tag {:#010x})", self.tag),
                None => format!("a reparse point: {} (tag {:#010x})", describe(self.tag), self.tag),
            },
        })
    }

    /// The program that an app execution alias runs.
    pub(super) fn program(&self) -> Option<&NameBuf> {
        match &self.data {
            Data::AppExecLink { strings } => strings.get(2).filter(|path| !path.0.is_empty()),
            _ => None,
        }
    }

    /// The target of a link, if the point itself has it.
    pub(super) fn target(&self) -> Option<LinkTarget> {
        Some(match &self.data {
            Data::Symlink { substitute, print, relative } => {
                LinkTarget::Windows { path: substitute.clone(), print: print.clone(), relative: *relative }
            }
            Data::MountPoint { substitute, print } => {
                LinkTarget::Windows { path: substitute.clone(), print: print.clone(), relative: false }
            }
            Data::LxSymlink(target) => LinkTarget::Posix(target.clone()),
            Data::Nfs(Nfs::Symlink(target)) => {
                LinkTarget::Posix(String::from_utf16_lossy(&target.0).into_bytes())
            }
            _ => return None,
        })
    }
}

impl Data {
    fn parse(tag: u32, data: &[u8]) -> Option<Self> {
        let mut fields = Fields(data);
        Some(match Tag::from(tag) {
            Tag::Symlink => {
                let names = Names::parse(&mut fields)?;
                let relative = fields.u32()? & 1 != 0;
                let (substitute, print) = names.resolve(fields.0)?;
                Self::Symlink { substitute, print, relative }
            }
            Tag::MountPoint => {
                let (substitute, print) = Names::parse(&mut fields)?.resolve(fields.0)?;
                Self::MountPoint { substitute, print }
            }
            Tag::Wof => Self::Wof(Wof::parse(&mut fields)?),
            Tag::LxSymlink => match fields.u32()? {
                1 => Self::LxSymlinkInContent,
                2 => Self::LxSymlink(fields.0.to_vec()),
                _ => return None,
            },
            Tag::LxFifo => Self::LxFifo,
            Tag::LxChr => Self::LxChr,
            Tag::LxBlk => Self::LxBlk,
            Tag::AfUnix => Self::AfUnix,
            Tag::Nfs => Self::Nfs(Nfs::parse(&mut fields)?),
            Tag::AppExecLink => {
                fields.u32()?;
                let units = name(fields.0);
                let strings = units.0.split(|unit| *unit == 0).map(|units| NameBuf(units.to_vec()));
                // Package, entry point, program, type; the meaning of further strings is unknown.
                Self::AppExecLink { strings: strings.take(4).collect() }
            }
            Tag::Wim => Self::WimMount { mount: Guid(fields.array()?), hash: fields.array()? },
            Tag::Dedup => Self::Dedup(fields.0.to_vec()),
            Tag::Cloud => Self::Cloud,
            _ => Self::Other,
        })
    }
}

impl Wof {
    fn parse(fields: &mut Fields<'_>) -> Option<Self> {
        let (version, provider, provider_version) = (fields.u32()?, fields.u32()?, fields.u32()?);
        match (version, provider, provider_version) {
            (1, 1, _) => {
                fields.u32()?;
                Some(Self::Wim { data_source: fields.u64()?, hash: fields.array()? })
            }
            (1, 2, 1) => {
                let algorithms = [
                    WofAlgorithm::Xpress4K,
                    WofAlgorithm::Lzx,
                    WofAlgorithm::Xpress8K,
                    WofAlgorithm::Xpress16K,
                ];
                algorithms.get(fields.u32()? as usize).copied().map(Self::File)
            }
            _ => None,
        }
    }
}

impl Nfs {
    fn parse(fields: &mut Fields<'_>) -> Option<Self> {
        Some(match &fields.u64()?.to_le_bytes() {
            b"LNK\x01\0\0\0\0" => Self::Symlink(name(fields.0)),
            b"CHR\0\0\0\0\0" => Self::CharDevice(fields.u32()?, fields.u32()?),
            b"BLK\0\0\0\0\0" => Self::BlockDevice(fields.u32()?, fields.u32()?),
            b"FIFO\0\0\0\0" => Self::Fifo,
            b"SOCK\0\0\0\0" => Self::Socket,
            _ => return None,
        })
    }
}

/// The locations of a link's two names in its path buffer.
struct Names {
    substitute: (u16, u16),
    print: (u16, u16),
}

impl Names {
    fn parse(fields: &mut Fields<'_>) -> Option<Self> {
        let mut range = || Some((fields.u16()?, fields.u16()?));
        Some(Self { substitute: range()?, print: range()? })
    }

    fn resolve(&self, path_buffer: &[u8]) -> Option<(NameBuf, NameBuf)> {
        let get = |(offset, length): (u16, u16)| {
            let (offset, length) = (usize::from(offset), usize::from(length));
            path_buffer.get(offset..offset + length).filter(|_| length.is_multiple_of(2)).map(name)
        };
        Some((get(self.substitute)?, get(self.print)?))
    }
}

fn name(bytes: &[u8]) -> NameBuf {
    NameBuf(bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect())
}

fn corrupt(problem: String) -> Error {
    Error::corrupt("$REPARSE_POINT", None, problem)
}

/// The bytes that are not yet parsed.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests;
