//! What an image is, by content alone: names lie (`.avhdx`, `.vhd` after a rename, none at all on a block device).
//!
//! An ISO 9660 image counts as raw: hybrid ones hold a partition table, the others a filesystem that is named later.

use super::{vhd, vhdx};
use crate::{
    Error, Result,
    bytes::{ByteSource, read_around_bad_sectors},
};

/// Containers that this program reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detected {
    /// Virtual Hard Disk v2.
    Vhdx,
    /// Virtual Hard Disk.
    Vhd,
    /// Nothing known: the bytes are the disk.
    Raw,
}

/// Enough for every signature at the front of a file, VHDX headers and ISO volume descriptors apart.
const HEAD: usize = 4096;

/// Below this there is no room for a partition table or a boot sector.
const MIN_DISK: u64 = 512;

/// A VHDX's header section; a shorter file with the signature was cut off.
const VHDX_HEADER_SECTION: u64 = 1 << 20;

/// Bytes at an offset that identify a format.
struct Signature {
    at: usize,
    bytes: &'static [u8],
    name: &'static str,
    advice: Advice,
}

#[derive(Clone, Copy)]
enum Advice {
    /// Another virtual disk.
    Convert,
    /// A forensic image.
    Export,
    /// Compressed or packed.
    Unpack,
    /// A Windows image file.
    Apply,
}

impl Advice {
    fn text(self) -> &'static str {
        match self {
            Self::Convert => "convert it first, for example with `qemu-img convert -O vhdx IMAGE NEW.vhdx`",
            Self::Export => "export it as a raw image first (ewfexport, ewfmount, affuse), then open that",
            Self::Unpack => "unpack it first, then open the image inside",
            Self::Apply => "it holds files, not a disk: extract them with wimapply or 7-Zip",
        }
    }
}

macro_rules! signatures {
    ($($at:literal $bytes:literal $name:literal $advice:ident)*) => {
        &[$(Signature { at: $at, bytes: $bytes, name: $name, advice: Advice::$advice }),*]
    };
}

const SIGNATURES: &[Signature] = signatures! {
    0 b"QFI\xfb\0\0\0\x01" "qcow" Convert
    0 b"QFI\xfb" "qcow2" Convert
    0 b"QED\0" "QED" Convert
    0 b"KDMV" "VMDK (sparse extent)" Convert
    0 b"COWD" "VMDK (ESX sparse extent)" Convert
    0 b"# Disk DescriptorFile" "VMDK (descriptor)" Convert
    64 b"\x7f\x10\xda\xbe" "VirtualBox VDI" Convert
    0 b"WithoutFreeSpace" "Parallels" Convert
    0 b"WithouFreSpacExt" "Parallels" Convert
    0 b"Bochs Virtual HD Image" "Bochs" Convert
    0 b"sprs" "Apple sparse image" Convert
    0 b"\x3a\xff\x26\xed" "Android sparse image" Convert
    0 b"EVF\x09\x0d\x0a\xff\0" "EnCase E01" Export
    0 b"EVF2\x0d\x0a\x81\0" "EnCase Ex01" Export
    0 b"LVF\x09\x0d\x0a\xff\0" "EnCase L01" Export
    0 b"LEF2\x0d\x0a\x81\0" "EnCase Lx01" Export
    0 b"AFF10\x0d\x0a\0" "AFF" Export
    0 b"MSWIM\0\0\0" "Windows Imaging (WIM)" Apply
    0 b"7z\xbc\xaf\x27\x1c" "7z archive" Unpack
    0 b"PK\x03\x04" "ZIP archive (or AFF4)" Unpack
    0 b"\xfd7zXZ\0" "xz-compressed" Unpack
    0 b"\x28\xb5\x2f\xfd" "Zstandard-compressed" Unpack
    0 b"\x04\x22\x4d\x18" "LZ4-compressed" Unpack
    0 b"Rar!\x1a\x07" "RAR archive" Unpack
    0 b"MSCF\0\0\0\0" "cabinet" Unpack
    0 b"\x1f\x8b\x08" "gzip-compressed" Unpack
    0 b"BZh" "bzip2-compressed" Unpack
};

/// Shorter signatures than this could begin a boot sector.
const DECISIVE: usize = 4;

/// Recognises a container. `path` is for messages.
///
/// # Errors
/// [`Error::Unsupported`] for a known format that this program does not read, with what to do;
/// [`Error::Invalid`] and [`Error::Corrupt`] for what is too short to be anything.
pub fn detect(source: &dyn ByteSource, path: &str) -> Result<Detected> {
    let size = source.size();
    if size == 0 {
        return Err(Error::invalid(format!("{path}: empty (0 bytes), not a disk image")));
    }
    let mut head = [0; HEAD];
    let len = usize::try_from(size).map_or(HEAD, |size| size.min(HEAD));
    // A bad sector in front costs its signature, not the disk.
    let (readable, _) = read_around_bad_sectors(source, 0, len).or_else(|error| match error {
        Error::Io { .. } if size > HEAD as u64 => Ok((vec![0; len], Vec::new())),
        error => Err(error),
    })?;
    head[..len].copy_from_slice(&readable);
    if vhdx::detect(&head[..len]) {
        if size < VHDX_HEADER_SECTION {
            let problem = format!("{path}: cut off after {size} bytes, before the end of the headers");
            return Err(Error::corrupt("VHDX header section", None, problem));
        }
        return Ok(Detected::Vhdx);
    }
    if vhd::detect(source) {
        return Ok(Detected::Vhd);
    }
    if let Some(known) = foreign(source, &head[..len]) {
        let advice = known.1.text();
        return Err(Error::unsupported(format!("{path}: {} image, not VHD, VHDX or raw; {advice}", known.0)));
    }
    if vhd::detect_damaged(source) {
        return Ok(Detected::Vhd);
    }
    if vhdx::detect_damaged(source) {
        return Ok(Detected::Vhdx);
    }
    if size < MIN_DISK {
        return Err(Error::invalid(format!("{path}: {size} bytes are too short for a disk image")));
    }
    // With a dynamic disk's front but no footer, raw would show a disk full of nonsense.
    if head[512..].starts_with(b"cxsparse") {
        let problem = format!("{path}: a dynamic VHD without footer and copy: cut off and overwritten");
        return Err(Error::corrupt("VHD footer", None, problem));
    }
    Ok(Detected::Raw)
}

/// The name of another program's format.
fn foreign(source: &dyn ByteSource, head: &[u8]) -> Option<(&'static str, Advice)> {
    let boot_sector = head.get(510..512) == Some(&[0x55, 0xaa]);
    let matches = |s: &&Signature| {
        head.get(s.at..).is_some_and(|rest| rest.starts_with(s.bytes))
            && (s.bytes.len() >= DECISIVE || !boot_sector)
    };
    if let Some(found) = SIGNATURES.iter().find(matches) {
        return Some((found.name, found.advice));
    }
    // Apple disk images end with a 512-byte trailer whose second field is its own size.
    if let Some(at) = source.size().checked_sub(512) {
        let mut trailer = [0; 12];
        let read = source.read_exact_at(at, &mut trailer);
        if read.is_ok() && trailer == *b"koly\0\0\0\x04\0\0\x02\0" {
            return Some(("Apple DMG", Advice::Convert));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::MemorySource;

    fn detect_bytes(bytes: Vec<u8>) -> Result<Detected> {
        detect(&MemorySource(bytes), "x.img")
    }

    #[test]
    fn known_formats_are_named_with_advice() {
        for signature in SIGNATURES {
            let mut bytes = vec![0; 1024];
            bytes[signature.at..signature.at + signature.bytes.len()].copy_from_slice(signature.bytes);
            let error = detect_bytes(bytes).unwrap_err();
            assert!(matches!(error, Error::Unsupported(_)));
            let text = error.to_string();
            assert!(
                text.contains(signature.name) && text.contains("first") || text.contains("extract"),
                "{text}"
            );
        }
        let mut dmg = vec![0; 2048];
        dmg[1536..1548].copy_from_slice(b"koly\0\0\0\x04\0\0\x02\0");
        assert!(detect_bytes(dmg).unwrap_err().to_string().contains("Apple DMG"));
    }

    #[test]
    fn anything_else_is_raw() {
        assert_eq!(detect_bytes(vec![0; 512]).unwrap(), Detected::Raw);
        assert_eq!(detect_bytes(vec![0xee; 100_000]).unwrap(), Detected::Raw);
        // Guest data may speak of VHDs.
        let mut bytes = vec![0; 4096];
        bytes[..8].copy_from_slice(b"conectix");
        bytes[3584..3592].copy_from_slice(b"conectix");
        assert_eq!(detect_bytes(bytes).unwrap(), Detected::Raw);
    }

    #[test]
    fn short_signature_yields_to_a_boot_sector() {
        let mut bytes = vec![0; 512];
        bytes[..3].copy_from_slice(b"\x1f\x8b\x08");
        assert!(detect_bytes(bytes.clone()).is_err());
        bytes[510..].copy_from_slice(&[0x55, 0xaa]);
        assert_eq!(detect_bytes(bytes).unwrap(), Detected::Raw);
    }

    #[test]
    fn empty_and_short_files_say_so() {
        assert!(detect_bytes(Vec::new()).unwrap_err().to_string().contains("empty"));
        assert!(detect_bytes(vec![0; 511]).unwrap_err().to_string().contains("too short"));
        assert!(detect_bytes(b"vhdxfile".to_vec()).unwrap_err().to_string().contains("cut off"));
    }
}
