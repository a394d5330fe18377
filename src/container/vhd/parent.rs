//! The parent references of a differencing disk: the parent locators, and the name in the header.

use super::{footer::printable, format::ParentLocatorEntry, header::Header};
use crate::{
    bytes::{ByteSource, read_vec},
    guid::Guid,
};

/// Longest locator in bytes: a Windows path has at most 32,767 UTF-16 units.
const MAX_LOCATOR_LEN: u32 = 65_536;

/// The linkage of a differencing VHD to its parent. Texts are unchanged from the image, with its own separators.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParentLocators {
    /// The parent's unique id.
    pub parent_unique_id: Guid,
    /// The parent file's modification time when the child was created: seconds since 2000-01-01 UTC; 0 if not recorded.
    pub parent_time_stamp: u32,
    /// `W2ru`: a Windows path, relative to the child.
    pub relative: Option<String>,
    /// `W2ku`: a Windows path.
    pub absolute: Option<String>,
    /// `MacX`: a `file:` URL. XenServer writes relative ones.
    pub url: Option<String>,
    /// The name in the dynamic disk header.
    pub unicode_name: Option<String>,
    /// Locators that could not be decoded, with the reason.
    pub problems: Vec<String>,
}

impl ParentLocators {
    /// Reads every locator. A damaged one is reported in `problems`: the others may still lead to the parent.
    pub(super) fn read(source: &dyn ByteSource, header: &Header) -> Self {
        let mut locators = Self {
            parent_unique_id: header.parent_unique_id,
            parent_time_stamp: header.parent_time_stamp,
            unicode_name: text_of(&header.parent_unicode_name, ByteOrder::Big)
                .filter(|name| !name.is_empty()),
            ..Self::default()
        };
        for entry in &header.parent_locators {
            if let Err(problem) = locators.add(source, entry) {
                locators
                    .problems
                    .push(format!("parent locator {}: {problem}", printable(&entry.platform_code)));
            }
        }
        locators
    }

    fn add(&mut self, source: &dyn ByteSource, entry: &ParentLocatorEntry) -> Result<(), String> {
        let slot = match &entry.platform_code {
            [0, 0, 0, 0] => return Ok(()),
            b"W2ru" | b"Wi2r" => &mut self.relative,
            b"W2ku" | b"Wi2k" => &mut self.absolute,
            b"MacX" => &mut self.url,
            b"Mac " => return Err("an alias of Mac OS, which only Mac OS can follow".to_owned()),
            _ => return Err("unknown platform".to_owned()),
        };
        let len = entry.platform_data_length.get();
        if len > MAX_LOCATOR_LEN {
            return Err(format!("{len} bytes long"));
        }
        let len = usize::try_from(len).map_err(|e| e.to_string())?;
        let bytes = read_vec(source, entry.platform_data_offset.get(), len).map_err(|e| e.to_string())?;
        let text = decode(&bytes, &entry.platform_code).ok_or("not readable as text")?;
        if !text.is_empty() {
            *slot = Some(text);
        }
        Ok(())
    }

    /// Every distinct path in the image, as `info` lists them.
    pub fn paths(&self) -> Vec<String> {
        let mut paths: Vec<String> = Vec::new();
        let all = [&self.relative, &self.absolute, &self.url, &self.unicode_name];
        for path in all.into_iter().flatten().filter(|path| !path.is_empty()) {
            if !paths.contains(path) {
                paths.push(path.clone());
            }
        }
        paths
    }
}

/// Decodes a locator. `W2ru` and `W2ku` are UTF-16 little-endian, `MacX` is UTF-8, `Wi2r` and `Wi2k` are ANSI.
fn decode(bytes: &[u8], platform_code: &[u8; 4]) -> Option<String> {
    match (platform_code, bytes) {
        (b"MacX", _) => text(std::str::from_utf8(bytes).ok()?.trim_end_matches('\0').to_owned()),
        (b"Wi2r" | b"Wi2k", [first, second, ..]) if *first != 0 && *second != 0 => {
            text(bytes.iter().map_while(|b| (*b != 0).then_some(char::from(*b))).collect())
        }
        _ => text_of(bytes, ByteOrder::Little),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ByteOrder {
    Big,
    Little,
}

/// Decodes UTF-16 up to a NUL, in the byte order that gives more characters below 256, or in the usual one on a tie:
/// writers have stored each field in either order. `None` if the bytes are not text.
fn text_of(bytes: &[u8], usual: ByteOrder) -> Option<String> {
    let units = |order| {
        let unit = move |pair: &[u8; 2]| match order {
            ByteOrder::Big => u16::from_be_bytes(*pair),
            ByteOrder::Little => u16::from_le_bytes(*pair),
        };
        bytes.as_chunks::<2>().0.iter().map(unit).take_while(|unit| *unit != 0)
    };
    let plain = |order| units(order).filter(|unit| *unit < 256).count();
    let order = match plain(ByteOrder::Big).cmp(&plain(ByteOrder::Little)) {
        std::cmp::Ordering::Less => ByteOrder::Little,
        std::cmp::Ordering::Equal => usual,
        std::cmp::Ordering::Greater => ByteOrder::Big,
    };
    text(char::decode_utf16(units(order)).collect::<Result<_, _>>().ok()?)
}

/// Rejects text with control characters: names go to a terminal and to the host's filesystem.
fn text(text: String) -> Option<String> {
    (!text.contains(char::is_control)).then_some(text)
}
