//! The parent locator (MS-VHDX 2.6.2.6): identity and paths of a differencing disk's parent.

use zerocopy::FromBytes;

use super::format::{self, ParentLocatorEntry, ParentLocatorHeader};
use crate::{
    Error, Place, Result,
    container::fingerprint::{Fingerprint, RawParent},
    guid::Guid,
};

/// Identity and paths of the parent, as stored in the image (Windows paths).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParentLocator {
    /// The parent's DataWriteGuid.
    pub parent_linkage: Guid,
    /// A DataWriteGuid that the parent may have instead: written while a merge or resize is in progress.
    pub parent_linkage2: Option<Guid>,
    /// Relative to the child's folder.
    pub relative_path: Option<String>,
    /// With drive letter or share: `\\?\c:\disks\parent.vhdx`; of a raw image its full path on any system.
    pub absolute_win32_path: Option<String>,
    /// By volume GUID: `\\?\Volume{…}\disks\parent.vhdx`.
    pub volume_path: Option<String>,
    /// The parent is a raw image, and there is no linkage.
    pub raw: Option<RawParent>,
}

impl ParentLocator {
    /// Parses the metadata item's bytes; `offset` is its place in the file.
    pub(super) fn parse(bytes: &[u8], offset: u64) -> Result<Self> {
        let damaged = |problem| Error::corrupt("VHDX parent locator", Place::Byte(offset), problem);
        let (header, entries) =
            ParentLocatorHeader::ref_from_prefix(bytes).map_err(|_| damaged("cut short"))?;
        let is_raw = header.locator_type == format::RAW_LOCATOR_TYPE;
        if !is_raw && header.locator_type != format::VHDX_LOCATOR_TYPE {
            let kind = header.locator_type;
            return Err(Error::unsupported(format!("VHDX with a parent of the unknown locator type {kind}")));
        }
        let count = header.key_value_count.get().into();
        let (entries, _) = <[ParentLocatorEntry]>::ref_from_prefix_with_elems(entries, count)
            .map_err(|_| damaged("more entries than bytes"))?;
        let text = |start: u32, length: u16| {
            let start = usize::try_from(start).ok()?;
            let bytes = bytes.get(start..start.checked_add(length.into())?)?;
            Some(String::from_utf16_lossy(&units(bytes)).trim_end_matches('\0').to_owned())
        };
        let value = |key: &str| -> Result<Option<String>> {
            for entry in entries {
                // The length is compared first: a hostile table of 65,535 long keys costs nothing.
                if usize::from(entry.key_length.get()) != key.len() * 2 {
                    continue;
                }
                let found = text(entry.key_offset.get(), entry.key_length.get())
                    .ok_or_else(|| damaged("a key lies outside"))?;
                if found == key {
                    let value = text(entry.value_offset.get(), entry.value_length.get());
                    return Ok(Some(value.ok_or_else(|| damaged("a value lies outside"))?));
                }
            }
            Ok(None)
        };
        let guid = |key| -> Result<Option<Guid>> {
            let Some(text) = value(key)? else { return Ok(None) };
            Guid::parse(&text).map(Some).ok_or_else(|| damaged("a linkage is no GUID"))
        };
        let number = |key| -> Result<u64> {
            value(key)?.and_then(|text| text.parse().ok()).ok_or_else(|| damaged("a number is missing"))
        };
        if is_raw {
            let hash = value("parent_hash")?.unwrap_or_default();
            let fingerprint = Fingerprint::parse(number("parent_size")?, &hash);
            let fingerprint = fingerprint.ok_or_else(|| damaged("no parent_hash"))?;
            return Ok(Self {
                parent_linkage: Guid::ZERO,
                parent_linkage2: None,
                relative_path: value("relative_path")?,
                absolute_win32_path: value("absolute_path")?,
                volume_path: None,
                raw: Some(RawParent { fingerprint, time: number("parent_time")? }),
            });
        }
        Ok(Self {
            parent_linkage: guid("parent_linkage")?.ok_or_else(|| damaged("no parent_linkage"))?,
            parent_linkage2: guid("parent_linkage2")?,
            relative_path: value("relative_path")?,
            absolute_win32_path: value("absolute_win32_path")?,
            volume_path: value("volume_path")?,
            raw: None,
        })
    }

    /// The paths that are present, in the order in which the specification tries them.
    pub(super) fn paths(&self) -> Vec<String> {
        [&self.relative_path, &self.volume_path, &self.absolute_win32_path]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }
}

fn units(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect()
}
