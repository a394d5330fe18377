//! Types of values: their names, and data as text.

use std::{borrow::Cow, fmt::Write};

use super::{Value, name};

/// `REG_NONE`
pub const NONE: u32 = 0;
/// `REG_SZ`: text, ended by a NUL.
pub const SZ: u32 = 1;
/// `REG_EXPAND_SZ`: text with names of environment variables.
pub const EXPAND_SZ: u32 = 2;
/// `REG_BINARY`
pub const BINARY: u32 = 3;
/// `REG_DWORD`: 32 bits, little-endian.
pub const DWORD: u32 = 4;
/// `REG_DWORD_BIG_ENDIAN`
pub const DWORD_BIG_ENDIAN: u32 = 5;
/// `REG_LINK`: the path of a key, without a NUL.
pub const LINK: u32 = 6;
/// `REG_MULTI_SZ`: texts, each ended by a NUL, and another NUL.
pub const MULTI_SZ: u32 = 7;
/// `REG_QWORD`: 64 bits, little-endian.
pub const QWORD: u32 = 11;

/// The names, by number.
const NAMES: [&str; 12] = [
    "REG_NONE",
    "REG_SZ",
    "REG_EXPAND_SZ",
    "REG_BINARY",
    "REG_DWORD",
    "REG_DWORD_BIG_ENDIAN",
    "REG_LINK",
    "REG_MULTI_SZ",
    "REG_RESOURCE_LIST",
    "REG_FULL_RESOURCE_DESCRIPTOR",
    "REG_RESOURCE_REQUIREMENTS_LIST",
    "REG_QWORD",
];

/// The name of a type; of one without a name its number: `0x1f4`.
pub fn type_name(data_type: u32) -> Cow<'static, str> {
    let name = usize::try_from(data_type).ok().and_then(|number| NAMES.get(number));
    name.map_or_else(|| format!("{data_type:#x}").into(), |name| (*name).into())
}

/// The type of this name, as [`type_name`] writes it, in any case.
pub fn type_of_name(text: &str) -> Option<u32> {
    let named = NAMES.iter().position(|name| name.eq_ignore_ascii_case(text));
    match named {
        Some(number) => u32::try_from(number).ok(),
        None => u32::from_str_radix(text.strip_prefix("0x")?, 16).ok(),
    }
}

impl Value {
    /// Text of the types that are text, up to the NUL that ends it; `None` for other types.
    pub fn text(&self) -> Option<String> {
        match self.data_type {
            SZ | EXPAND_SZ | LINK => {
                let units = self.units();
                let end = units.iter().position(|unit| *unit == 0).unwrap_or(units.len());
                Some(String::from_utf16_lossy(&units[..end]))
            }
            _ => None,
        }
    }

    /// The texts of a `REG_MULTI_SZ`, without the NUL that ends the list; `None` for other types.
    pub fn strings(&self) -> Option<Vec<String>> {
        if self.data_type != MULTI_SZ {
            return None;
        }
        let units = self.units();
        let mut rest = &units[..];
        // One NUL ends the last text, and one the list.
        for _ in 0..2 {
            rest = rest.strip_suffix(&[0]).unwrap_or(rest);
        }
        match rest.is_empty() {
            true => Some(Vec::new()),
            false => Some(rest.split(|unit| *unit == 0).map(String::from_utf16_lossy).collect()),
        }
    }

    /// The number of a `REG_DWORD`, `REG_DWORD_BIG_ENDIAN` or `REG_QWORD` of the right length.
    pub fn number(&self) -> Option<u64> {
        let small = || self.data[..].try_into().ok();
        match self.data_type {
            DWORD => small().map(u32::from_le_bytes).map(u64::from),
            DWORD_BIG_ENDIAN => small().map(u32::from_be_bytes).map(u64::from),
            QWORD => self.data[..].try_into().ok().map(u64::from_le_bytes),
            _ => None,
        }
    }

    /// The data as `reg query` prints it; `separator` stands between the texts of a `REG_MULTI_SZ`.
    pub fn to_text(&self, separator: &str) -> String {
        if let Some(text) = self.text() {
            return text;
        }
        if let Some(strings) = self.strings() {
            return strings.join(separator);
        }
        match (self.data_type, self.number()) {
            // reg.exe swaps no bytes here.
            (DWORD_BIG_ENDIAN, Some(number)) => {
                format!("{:#x}", u32::try_from(number).unwrap_or_default().swap_bytes())
            }
            (_, Some(number)) => format!("{number:#x}"),
            _ => self.data.iter().fold(String::with_capacity(2 * self.data.len()), |mut text, byte| {
                let _ = write!(text, "{byte:02X}");
                text
            }),
        }
    }

    /// The data as UTF-16; an odd byte at its end is left out.
    pub(super) fn units(&self) -> Vec<u16> {
        name::units(&self.data[..self.data.len() & !1]).unwrap_or_default()
    }
}
