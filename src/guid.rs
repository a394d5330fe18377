//! GUIDs as VHDX, GPT and NTFS store them: the first three fields little-endian (RFC 4122 calls it the Microsoft form).

use std::fmt;

use serde::{Serialize, Serializer};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A GUID in its on-disk byte order.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Default,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(transparent)]
pub struct Guid(pub [u8; 16]);

impl Guid {
    /// All zeros: "none" in most formats.
    pub const ZERO: Self = Self([0; 16]);

    /// From the fields of the usual text form `aaaaaaaa-bbbb-cccc-dddd-dddddddddddd`.
    pub const fn from_fields(a: u32, b: u16, c: u16, d: [u8; 8]) -> Self {
        let (a, b, c) = (a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes());
        Self([a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]])
    }

    /// Random bits (RFC 9562, version 4).
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().to_bytes_le())
    }

    /// Parses the text form, with or without braces, in either case.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(text);
        let mut groups = text.split('-');
        let mut field = |digits: usize| {
            let group = groups.next()?;
            let hex = group.len() == digits && group.bytes().all(|b| b.is_ascii_hexdigit());
            hex.then(|| u64::from_str_radix(group, 16).ok()).flatten()
        };
        let (a, b, c, d, e) = (field(8)?, field(4)?, field(4)?, field(4)?, field(12)?);
        if groups.next().is_some() {
            return None;
        }
        let tail = (d << 48 | e).to_be_bytes();
        Some(Self::from_fields(u32::try_from(a).ok()?, u16::try_from(b).ok()?, u16::try_from(c).ok()?, tail))
    }

    /// A GUID in the source: the text form in lower case, without braces.
    ///
    /// # Panics
    /// At compile time, for another text.
    pub(crate) const fn literal(text: &str) -> Self {
        let text = text.as_bytes();
        assert!(text.len() == 36, "aaaaaaaa-bbbb-cccc-dddd-dddddddddddd");
        // Where each byte of the on-disk order stands in the text.
        const PLACES: [usize; 16] = [6, 4, 2, 0, 11, 9, 16, 14, 19, 21, 24, 26, 28, 30, 32, 34];
        let mut bytes = [0; 16];
        let mut index = 0;
        while index < bytes.len() {
            bytes[index] = digit(text[PLACES[index]]) << 4 | digit(text[PLACES[index] + 1]);
            index += 1;
        }
        Self(bytes)
    }

    /// True for the all-zero GUID.
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }
}

const fn digit(text: u8) -> u8 {
    match text {
        b'0'..=b'9' => text - b'0',
        b'a'..=b'f' => text - b'a' + 10,
        _ => panic!("a digit, or a letter from a to f"),
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let b = &self.0;
        let a = u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        write!(f, "{a:08x}-{:02x}{:02x}-{:02x}{:02x}-{:02x}{:02x}-", b[5], b[4], b[7], b[6], b[8], b[9])?;
        b[10..].iter().try_for_each(|x| write!(f, "{x:02x}"))
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Guid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_swaps_the_first_three_fields() {
        let guid = Guid([
            0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b,
        ]);
        assert_eq!(guid.to_string(), "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
        assert_eq!(Guid::literal("c12a7328-f81f-11d2-ba4b-00a0c93ec93b"), guid);
        assert_eq!(Guid::parse("{C12A7328-F81F-11D2-BA4B-00A0C93EC93B}"), Some(guid));
    }

    #[test]
    fn malformed_text_is_refused() {
        for text in [
            "",
            "c12a7328",
            "c12a7328-f81f-11d2-ba4b-00a0c93ec93b-00",
            "+12a7328-f81f-11d2-ba4b-00a0c93ec93b",
        ] {
            assert_eq!(Guid::parse(text), None, "{text}");
        }
    }
}
