//! Special files of Interix (Services for UNIX), which ntfs-3g writes as well: system files whose content is a signature
//! with a symlink's target or a device number; empty ones are pipes, those of one byte are sockets.

use crate::{
    Result,
    fs::{
        LinkTarget, NameBuf, NodeKind,
        ntfs::{
            attributes::{
                code,
                standard_information::{ATTRIBUTE_HIDDEN, ATTRIBUTE_SYSTEM},
            },
            records::file::File,
        },
    },
};

const SIGNATURE: usize = 8;
const SYMLINK: &[u8; SIGNATURE] = b"IntxLNK\x01";
const CHAR_DEVICE: &[u8; SIGNATURE] = b"IntxCHR\x00";
const BLOCK_DEVICE: &[u8; SIGNATURE] = b"IntxBLK\x00";
/// Maximum length of a target, in UTF-16 code units: PATH_MAX.
const MAX_TARGET: usize = 4096;
const MAX_SIZE: usize = SIGNATURE + 2 * MAX_TARGET;

/// A special file.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum Special {
    Symlink(NameBuf),
    CharDevice(u32, u32),
    BlockDevice(u32, u32),
    Fifo,
    Socket,
}

/// True if a file with these attribute bits and this size may be a special file. Windows' own empty system files are hidden,
/// unlike Interix's pipes.
pub(in super::super) fn may_be(attributes: u32, size: u64) -> bool {
    let hidden = attributes & ATTRIBUTE_HIDDEN != 0;
    let size_fits = if size < 2 { !hidden } else { size > SIGNATURE as u64 && size <= MAX_SIZE as u64 };
    attributes & ATTRIBUTE_SYSTEM != 0 && size_fits
}

/// Parses the special file in the content of `file`, if it is one. The caller has checked [`may_be`].
pub(in super::super) fn read(file: &File<'_>) -> Result<Option<Special>> {
    // A compressed or encrypted file is no special file; a missing signature is no damage.
    Ok(file.bytes(code::DATA, &[], MAX_SIZE).ok().flatten().and_then(|content| parse(&content)))
}

fn parse(content: &[u8]) -> Option<Special> {
    match content {
        [] => return Some(Special::Fifo),
        [_] => return Some(Special::Socket),
        _ => {}
    }
    let (signature, rest) = content.split_first_chunk::<SIGNATURE>()?;
    let device = || {
        let (&[major, minor], []) = rest.as_chunks::<8>() else { return None };
        let number = |bytes| u32::try_from(u64::from_le_bytes(bytes)).ok();
        Some((number(major)?, number(minor)?))
    };
    match signature {
        SYMLINK => {
            let (units, []) = rest.as_chunks() else { return None };
            Some(Special::Symlink(NameBuf(units.iter().map(|unit| u16::from_le_bytes(*unit)).collect())))
        }
        CHAR_DEVICE => device().map(|(major, minor)| Special::CharDevice(major, minor)),
        BLOCK_DEVICE => device().map(|(major, minor)| Special::BlockDevice(major, minor)),
        _ => None,
    }
}

impl Special {
    pub(in super::super) fn kind(&self) -> NodeKind {
        match *self {
            Self::Symlink(_) => NodeKind::Symlink,
            Self::CharDevice(major, minor) => NodeKind::CharDevice(major, minor),
            Self::BlockDevice(major, minor) => NodeKind::BlockDevice(major, minor),
            Self::Fifo => NodeKind::Fifo,
            Self::Socket => NodeKind::Socket,
        }
    }

    pub(in super::super) fn target(&self) -> Option<LinkTarget> {
        match self {
            // Converted to UTF-8 (WTF-8); a slash stays one, which the text form of a name would escape.
            Self::Symlink(path) => {
                let mut text = Vec::new();
                for (i, part) in path.0.split(|unit| *unit == u16::from(b'/')).enumerate() {
                    if i > 0 {
                        text.push(b'/');
                    }
                    text.extend(match part {
                        [0x2e] | [0x2e, 0x2e] => vec![b'.'; part.len()],
                        _ => crate::fs::Name(part).to_text(),
                    });
                }
                Some(LinkTarget::Posix(text))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_distinguishes_links_and_devices() {
        let mut link = SYMLINK.to_vec();
        "../a/ü".encode_utf16().for_each(|unit| link.extend(unit.to_le_bytes()));
        let link = parse(&link).unwrap();
        assert_eq!(link.target(), Some(LinkTarget::Posix("../a/ü".into())));
        let device = [&BLOCK_DEVICE[..], &8_u64.to_le_bytes(), &1_u64.to_le_bytes()].concat();
        assert_eq!(parse(&device), Some(Special::BlockDevice(8, 1)));
        assert_eq!(parse(&device[..20]), None);
        assert_eq!(parse(&[&device[..], &[0]].concat()), None);
        assert_eq!(parse(b"IntxLNK\x01odd"), None);
        assert_eq!(parse(b"plain text"), None);
        assert_eq!((parse(b""), parse(b"\0")), (Some(Special::Fifo), Some(Special::Socket)));
    }

    #[test]
    fn only_system_files_of_their_sizes_are_special() {
        assert!([0, 1, 9, 24].iter().all(|size| may_be(ATTRIBUTE_SYSTEM, *size)));
        assert!([2, 8, 1 << 20].iter().all(|size| !may_be(ATTRIBUTE_SYSTEM, *size)));
        assert!([0, 1, 24].iter().all(|size| !may_be(0, *size)));
        let hidden = ATTRIBUTE_SYSTEM | ATTRIBUTE_HIDDEN;
        assert!(!may_be(hidden, 0) && !may_be(hidden, 1) && may_be(hidden, 24));
    }
}
