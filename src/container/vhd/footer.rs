//! The hard disk footer: at the end of the file, with a copy at byte 0 in dynamic disks. Either may be damaged; a disk is
//! refused only when neither is usable.

use zerocopy::FromBytes;

use super::format::{
    self, DISK_TYPE_DIFFERENCING, DISK_TYPE_DYNAMIC, DISK_TYPE_FIXED, FOOTER_CHECKSUM_AT, FOOTER_COOKIE,
    FOOTER_SIZE, OLD_FOOTER_SIZE, SECTOR,
};
use crate::{Error, Place, Result, bytes::ByteSource, container::Kind, guid::Guid};

const STRUCTURE: &str = "VHD footer";

/// A footer whose cookie, version and type were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) kind: Kind,
    /// Byte offset of the dynamic disk header.
    pub(super) data_offset: u64,
    pub(super) current_size: u64,
    /// Cylinders · heads · sectors per track, in bytes.
    pub(super) geometry_size: u64,
    /// Heads · sectors per track, in bytes.
    pub(super) cylinder_size: u64,
    /// True for disks of the programs that derive the size from the geometry.
    pub(super) counts_in_geometry: bool,
    pub(super) version: String,
    pub(super) creator: String,
    pub(super) unique_id: Guid,
    pub(super) saved_state: bool,
    pub(super) checksum_matches: bool,
}

/// A GUID that the format stores in network byte order.
pub(super) fn guid(bytes: [u8; 16]) -> Guid {
    let [a, b, c, d, e, f, g, h, tail @ ..] = bytes;
    Guid::from_fields(
        u32::from_be_bytes([a, b, c, d]),
        u16::from_be_bytes([e, f]),
        u16::from_be_bytes([g, h]),
        tail,
    )
}

impl Footer {
    /// Parses 512 bytes, or the 511 of old Virtual PC; `offset` is their place in the file. The caller decides about a
    /// wrong checksum.
    pub(super) fn parse(bytes: &[u8], offset: u64) -> Result<Self> {
        let corrupt = |problem: String| Error::corrupt(STRUCTURE, Place::Byte(offset), problem);
        let mut full = [0; FOOTER_SIZE];
        if bytes.len() != FOOTER_SIZE && bytes.len() != OLD_FOOTER_SIZE {
            return Err(corrupt(format!("{} bytes instead of {FOOTER_SIZE}", bytes.len())));
        }
        full[..bytes.len()].copy_from_slice(bytes);
        let raw = format::Footer::read_from_bytes(&full).map_err(|_| corrupt("too short".into()))?;
        if raw.cookie != FOOTER_COOKIE {
            return Err(corrupt("no \"conectix\" cookie".into()));
        }
        let version = raw.file_format_version.get();
        if version >> 16 != 1 {
            return Err(corrupt(format!("file format version {version:#x}")));
        }
        let kind = match raw.disk_type.get() {
            DISK_TYPE_FIXED => Kind::Fixed,
            DISK_TYPE_DYNAMIC => Kind::Dynamic,
            DISK_TYPE_DIFFERENCING => Kind::Differencing,
            other => return Err(corrupt(format!("disk type {other}"))),
        };
        let sectors =
            u64::from(raw.cylinders.get()) * u64::from(raw.heads) * u64::from(raw.sectors_per_track);
        Ok(Self {
            kind,
            data_offset: raw.data_offset.get(),
            current_size: raw.current_size.get(),
            geometry_size: sectors * SECTOR,
            cylinder_size: u64::from(raw.heads) * u64::from(raw.sectors_per_track) * SECTOR,
            counts_in_geometry: matches!(&raw.creator_application, b"qemu" | b"vpc "),
            version: format!("{}.{}", version >> 16, version & 0xffff),
            creator: creator(&raw),
            unique_id: guid(raw.unique_id),
            saved_state: raw.saved_state != 0,
            checksum_matches: raw.checksum.get() == format::checksum(&full, FOOTER_CHECKSUM_AT),
        })
    }
}

fn creator(raw: &format::Footer) -> String {
    let application = match &raw.creator_application {
        b"win " => "Microsoft Windows".into(),
        b"vpc " => "Microsoft Virtual PC".into(),
        b"vs  " => "Microsoft Virtual Server".into(),
        b"d2v " => "Disk2vhd".into(),
        b"qemu" | b"qem2" => "QEMU".into(),
        b"vbox" => "VirtualBox".into(),
        b"tap\0" => "XenServer".into(),
        b"CTXS" => "Citrix XenConverter".into(),
        other => printable(other),
    };
    let host = match &raw.creator_host_os {
        b"Wi2k" => "Windows".into(),
        b"Mac " => "Macintosh".into(),
        other => printable(other),
    };
    let [major, minor] = raw.creator_version.map(|part| part.get());
    let host = if host.is_empty() { host } else { format!(" on {host}") };
    format!("{application} {major}.{minor}{host}").trim_start().to_owned()
}

/// A four-character code as text, without its unprintable characters.
pub(super) fn printable(code: &[u8]) -> String {
    let text: String = code.iter().map(|b| if b.is_ascii_graphic() { char::from(*b) } else { ' ' }).collect();
    text.trim().to_owned()
}

/// The footer in use, the end of a fixed disk's data, and the problems found.
#[derive(Debug)]
pub(super) struct LocatedFooter {
    pub(super) footer: Footer,
    /// Byte offset of the footer at the end; the file's size when only the copy is left.
    pub(super) data_end: u64,
    pub(super) problems: Vec<String>,
}

/// What a footer must satisfy to be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// The checksum must match: 12 bytes of guest data may look like a footer, 500 do not.
    Checksum,
    /// Cookie, version, type and the rest of the file agree; for images whose footer was edited by hand.
    Plausible,
}

/// Searches for a footer at the end (512 bytes, then 511) and for its copy at byte 0. `None` when the file is no VHD, or
/// neither can be read.
pub(super) fn locate(source: &dyn ByteSource, trust: Trust) -> Option<LocatedFooter> {
    let size = source.size();
    // An unreadable sector counts as no footer; the other copy may be usable.
    let at = |offset: Option<u64>, len: usize| -> Option<(Footer, u64)> {
        let mut bytes = [0; FOOTER_SIZE];
        let offset = offset.filter(|offset| offset + len as u64 <= size)?;
        source.read_exact_at(offset, &mut bytes[..len]).ok()?;
        Some((Footer::parse(&bytes[..len], offset).ok()?, offset))
    };
    let trusted = |found: &(Footer, u64)| match trust {
        Trust::Checksum => found.0.checksum_matches,
        Trust::Plausible => plausible(source, &found.0, found.1),
    };
    let mut end = at(size.checked_sub(FOOTER_SIZE as u64), FOOTER_SIZE);
    if end.is_none() {
        end = at(size.checked_sub(OLD_FOOTER_SIZE as u64), OLD_FOOTER_SIZE);
    }
    // A fixed disk has no copy: its byte 0 is guest data.
    let copy = at(Some(0), FOOTER_SIZE).filter(|(footer, _)| footer.kind != Kind::Fixed);
    let mut problems = Vec::new();
    let (footer, data_end) = match (end.filter(&trusted), copy.filter(&trusted)) {
        (Some((footer, offset)), copy) => {
            if footer.kind != Kind::Fixed {
                match copy {
                    None => problems.push("the copy of the footer at byte 0 is damaged".to_owned()),
                    Some((copy, _)) if copy != footer => {
                        problems
                            .push("the footer and its copy at byte 0 differ: the footer is used".to_owned());
                    }
                    Some(_) => {}
                }
            }
            (footer, offset)
        }
        (None, Some((copy, _))) => {
            problems.push(
                "the footer at the end is missing or damaged (the file may be cut off): its copy at byte 0 is used"
                    .to_owned(),
            );
            (copy, size)
        }
        (None, None) => return None,
    };
    if !footer.checksum_matches {
        problems.push("the footer's checksum is wrong".to_owned());
    }
    if footer.saved_state {
        problems.push("the virtual machine is in a saved state: files may be newer in its memory".to_owned());
    }
    Some(LocatedFooter { footer, data_end, problems })
}

/// True when the rest of the file agrees with a footer whose checksum is wrong.
fn plausible(source: &dyn ByteSource, footer: &Footer, offset: u64) -> bool {
    if footer.kind == Kind::Fixed {
        return footer.current_size == offset;
    }
    let mut cookie = [0; 8];
    source.read_exact_at(footer.data_offset, &mut cookie).is_ok() && cookie == format::HEADER_COOKIE
}
