//! Portable executables, as far as a loader asks: the machine, the subsystem, the sections, who signed.
//!
//! Structures: Microsoft's PE/COFF specification. Guards: every field is read from the bytes given; sections are bounded by
//! the number that the specification allows, certificates by the table's length.

pub mod signature;
#[cfg(test)]
mod tests;

use std::{fmt, ops::Range};

use serde::{Serialize, Serializer};

pub use signature::{Signature, Signer};

use crate::{Error, Place, Result};

/// What the specification allows.
const MAX_SECTIONS: u16 = 96;
/// The index of the certificate table among the data directories.
const CERTIFICATES: usize = 4;

/// A portable executable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executable {
    /// What it runs on.
    pub machine: Machine,
    /// What starts it.
    pub subsystem: Subsystem,
    /// Its sections: name and place in the file.
    pub sections: Vec<Section>,
    /// The place of the certificate table in the file, cut off at its end.
    pub certificates: Range<usize>,
    /// The parts of the file that a signature does not cover: the checksum and the table's place.
    uncovered: [Range<usize>; 2],
}

/// One section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its name.
    pub name: String,
    /// Its place in the file, cut off at the end.
    pub place: Range<usize>,
}

/// What code runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine(pub u16);

impl Machine {
    /// 32-bit x86.
    pub const I386: Self = Self(0x14c);
    /// 64-bit x86.
    pub const X64: Self = Self(0x8664);
    /// 32-bit ARM.
    pub const ARM: Self = Self(0x1c4);
    /// 64-bit ARM.
    pub const ARM64: Self = Self(0xaa64);
    /// 64-bit RISC-V.
    pub const RISCV64: Self = Self(0x5064);
    /// 64-bit LoongArch.
    pub const LOONGARCH64: Self = Self(0x6264);

    /// The suffix of loaders in `\EFI\BOOT`.
    pub fn suffix(self) -> Option<&'static str> {
        Some(match self {
            Self::I386 => "ia32",
            Self::X64 => "x64",
            Self::ARM => "arm",
            Self::ARM64 => "aa64",
            Self::RISCV64 => "riscv64",
            Self::LOONGARCH64 => "loongarch64",
            _ => return None,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::I386 => "x86",
            Self::X64 => "x64",
            Self::ARM => "ARM",
            Self::ARM64 => "ARM64",
            Self::RISCV64 => "RISC-V 64",
            Self::LOONGARCH64 => "LoongArch 64",
            Self(other) => return write!(f, "machine {other:#06x}"),
        })
    }
}

impl Serialize for Machine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What starts an executable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subsystem(pub u16);

impl Subsystem {
    /// UEFI, as an application: what firmware boots.
    pub const EFI_APPLICATION: Self = Self(10);
    /// Windows' boot manager, as `winload` is.
    pub const BOOT_APPLICATION: Self = Self(16);
}

impl fmt::Display for Subsystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            1 => "native code of Windows",
            2 | 3 => "a Windows program",
            10 => "an EFI application",
            11 | 12 => "an EFI driver",
            13 => "an EFI ROM",
            16 => "a Windows boot application",
            other => return write!(f, "subsystem {other}"),
        })
    }
}

impl Executable {
    /// Parses the headers of a whole file.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it is none.
    pub fn parse(file: &[u8]) -> Result<Self> {
        let bad =
            |at: usize, problem: &'static str| Error::corrupt("executable", Place::Byte(at as u64), problem);
        if file.get(..2) != Some(b"MZ") {
            return Err(bad(0, "no MZ header"));
        }
        let too_short = || bad(0, "cut off in its headers");
        let pe = usize::try_from(u32_at(file, 0x3c).ok_or_else(too_short)?).map_err(|_| too_short())?;
        let at = |offset: usize| pe.checked_add(offset).ok_or_else(too_short);
        if file.get(pe..at(4)?) != Some(b"PE\0\0") {
            return Err(bad(pe, "no PE header"));
        }
        let u16_in = |offset| u16_at(file, at(offset)?).ok_or_else(too_short);
        let (machine, count, optional_len) = (u16_in(4)?, u16_in(6)?, u16_in(20)?);
        let optional = at(24)?;
        let magic = u16_in(24)?;
        let directories = match magic {
            0x10b => 96,
            0x20b => 112,
            _ => return Err(bad(optional, "neither PE32 nor PE32+")),
        };
        let subsystem = u16_in(24 + 68)?;
        let entry = optional + directories + 8 * CERTIFICATES;
        let end = optional + usize::from(optional_len);
        let known = u32_at(file, optional + directories - 4).ok_or_else(too_short)?;
        let there = known as usize > CERTIFICATES && entry + 8 <= end;
        let certificates = match (there, u32_at(file, entry), u32_at(file, entry + 4)) {
            (true, Some(start), Some(len)) => range(file, start, len),
            _ => 0..0,
        };
        if count > MAX_SECTIONS {
            return Err(bad(at(6)?, "more sections than the format allows"));
        }
        let sections = (0..usize::from(count)).map(|index| {
            let header = file.get(end + 40 * index..end + 40 * index + 40).ok_or_else(too_short)?;
            let name = header[..8].split(|byte| *byte == 0).next().unwrap_or_default();
            let (len, start) = (u32_at(header, 16).unwrap_or(0), u32_at(header, 20).unwrap_or(0));
            Ok(Section { name: String::from_utf8_lossy(name).into_owned(), place: range(file, start, len) })
        });
        let sections = sections.collect::<Result<_>>()?;
        let checksum = optional + 64;
        let uncovered = [checksum..checksum + 4, if there { entry..entry + 8 } else { 0..0 }];
        Ok(Self {
            machine: Machine(machine),
            subsystem: Subsystem(subsystem),
            sections,
            certificates,
            uncovered,
        })
    }

    /// The content of a section in the file that was parsed.
    pub fn section<'a>(&self, file: &'a [u8], name: &str) -> Option<&'a [u8]> {
        let section = self.sections.iter().find(|section| section.name == name)?;
        file.get(section.place.clone())
    }

    /// Who signed it, as the certificate table of the file that was parsed says.
    pub fn signatures(&self, file: &[u8]) -> Vec<Signature> {
        let table = file.get(self.certificates.clone()).unwrap_or_default();
        signature::parse(table, || self.covered(file))
    }

    /// The bytes that a signature covers, in their order.
    fn covered<'a>(&self, file: &'a [u8]) -> Vec<&'a [u8]> {
        let end = if self.certificates.is_empty() { file.len() } else { self.certificates.start };
        let [checksum, entry] = &self.uncovered;
        let mut parts = vec![file.get(..checksum.start)];
        if entry.is_empty() {
            parts.push(file.get(checksum.end..end));
        } else {
            parts.push(file.get(checksum.end..entry.start));
            parts.push(file.get(entry.end..end));
        }
        parts.push(file.get(self.certificates.end.max(end)..));
        parts.into_iter().flatten().collect()
    }
}

/// A place in the file, cut off at its end.
fn range(file: &[u8], start: u32, len: u32) -> Range<usize> {
    let clamp = |value: u64| usize::try_from(value).unwrap_or(usize::MAX).min(file.len());
    clamp(start.into())..clamp(u64::from(start) + u64::from(len))
}

fn u16_at(data: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*data.get(offset..)?.first_chunk()?))
}

fn u32_at(data: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*data.get(offset..)?.first_chunk()?))
}
