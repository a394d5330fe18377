//! `\System Volume Information\WimOverlay.dat`: the list of WIM files with content of a volume's files (WIMBoot). Not
//! documented by Microsoft; the layout is the one that wimlib writes for Windows. A header, an entry of 40 bytes per WIM
//! with its number, and for each its location: partition and path.

use crate::{Error, Place, Result, fs::NameBuf, guid::Guid, identity::PartitionId};

const MAGIC: u32 = 0x6643_6f57;
const VERSION: u32 = 1;
const HEADER_LEN: usize = 24;
const ENTRY_LEN: usize = 40;
/// Length of a location before its path.
const LOCATION_LEN: usize = 104;
/// Maximum length of the list: the driver keeps it in memory, and few systems have more than one WIM.
pub(in super::super) const MAX_LEN: usize = 1 << 20;

const TABLE_GPT: u32 = 0;
const TABLE_MBR: u32 = 1;

/// The location of a WIM file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WimLocation {
    /// The partition, as Windows identified it when the WIM was registered.
    pub partition: PartitionId,
    /// The path on that partition, from its root, with backslashes.
    pub path: NameBuf,
}

/// Finds the WIM with the number used in reparse points, in the whole content of the file.
///
/// # Errors
/// [`Error::Corrupt`] if the list contradicts itself; [`Error::Unsupported`] for another version of it.
pub fn find(bytes: &[u8], data_source: u64) -> Result<Option<WimLocation>> {
    let fields = Fields(bytes);
    let short = || corrupt(0, format!("only {} bytes", bytes.len()));
    let (magic, version) = (fields.u32(0).ok_or_else(short)?, fields.u32(4).ok_or_else(short)?);
    if magic != MAGIC {
        return Err(corrupt(0, format!("signature {magic:#010x}")));
    }
    if version != VERSION {
        return Err(Error::unsupported(format!("WimOverlay.dat of version {version}")));
    }
    let count = fields.u32(12).ok_or_else(short)? as usize;
    let entries = bytes.get(HEADER_LEN..).ok_or_else(short)?.chunks_exact(ENTRY_LEN);
    if count > entries.len() {
        return Err(corrupt(12, format!("{count} entries, but room for {}", entries.len())));
    }
    for (number, entry) in entries.take(count).enumerate() {
        let entry = Fields(entry);
        if entry.u64(0) != Some(data_source) {
            continue;
        }
        let at = HEADER_LEN + number * ENTRY_LEN;
        let place =
            entry.u32(8).zip(entry.u32(12)).map(|(offset, length)| (offset as usize, length as usize));
        let location = place.and_then(|(offset, length)| bytes.get(offset..offset.checked_add(length)?));
        let location = location.ok_or_else(|| corrupt(at, "its location is outside of the file".into()))?;
        let location =
            WimLocation::parse(location).ok_or_else(|| corrupt(at, "its location is malformed".into()))?;
        return Ok(Some(location));
    }
    Ok(None)
}

impl WimLocation {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let fields = Fields(bytes);
        let partition = match fields.u32(0x44)? {
            TABLE_GPT => PartitionId::Gpt { partition: Guid(*bytes.get(0x30..)?.first_chunk()?) },
            TABLE_MBR => PartitionId::Mbr { disk: fields.u32(0x48)?, start: fields.u64(0x30)? },
            _ => return None,
        };
        let units = bytes.get(LOCATION_LEN..)?.as_chunks().0.iter().map(|unit| u16::from_le_bytes(*unit));
        Some(Self { partition, path: NameBuf(units.take_while(|unit| *unit != 0).collect()) })
    }
}

fn corrupt(offset: usize, problem: String) -> Error {
    Error::corrupt("WimOverlay.dat", Place::Byte(offset as u64), problem)
}

/// Little-endian numbers at fixed offsets.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u32(&self, at: usize) -> Option<u32> {
        self.0.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
    }

    fn u64(&self, at: usize) -> Option<u64> {
        self.0.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list with one WIM: number 7, on a GPT or MBR partition.
    fn list(gpt: bool) -> Vec<u8> {
        let path: Vec<u8> = "\\Images\\install.wim\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut bytes = vec![0; HEADER_LEN + ENTRY_LEN + LOCATION_LEN];
        let length = u32::try_from(LOCATION_LEN + path.len()).unwrap();
        let mut put = |at: usize, value: u32| bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        for (at, value) in [(0, MAGIC), (4, 1), (8, 40), (12, 1), (24, 7), (32, 64), (36, length)] {
            put(at, value);
        }
        put(64 + 0x30, 0x10_0000);
        put(64 + 0x44, u32::from(!gpt));
        put(64 + 0x48, 0xcafe);
        bytes.extend(path);
        bytes
    }

    #[test]
    fn wim_is_found_by_its_number() {
        let found = find(&list(false), 7).unwrap().unwrap();
        assert_eq!(found.partition, PartitionId::Mbr { disk: 0xcafe, start: 0x10_0000 });
        assert_eq!(found.path, NameBuf::literal("\\Images\\install.wim"));
        let found = find(&list(true), 7).unwrap().unwrap();
        assert!(matches!(found.partition, PartitionId::Gpt { partition } if partition.0[2] == 0x10));
        assert_eq!(find(&list(true), 0).unwrap(), None);
    }

    #[test]
    fn damaged_lists_are_errors() {
        let whole = list(true);
        for len in 0..HEADER_LEN + ENTRY_LEN {
            assert!(find(&whole[..len], 7).is_err(), "{len}");
        }
        for len in HEADER_LEN + ENTRY_LEN..whole.len() {
            assert!(find(&whole[..len], 7).is_err(), "{len}");
        }
        for (at, value) in [(0, 1), (4, 2), (12, 9), (32, 255), (36, 100), (64 + 0x44, 2)] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            assert!(find(&bytes, 7).is_err(), "{at}");
        }
    }
}
