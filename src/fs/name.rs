//! Names as stored on the disk: UTF-16 code units, not necessarily valid. The text form is UTF-8 (WTF-8 for lone
//! surrogates); characters that a POSIX name cannot contain are escaped reversibly:
//!
//! - `/` is `\x2f`, NUL is `\x00`, and a name that is just `.` or `..` has its dots as `\x2e`;
//! - a `\` that would read as such an escape is `\x5c`. Every other `\` stays.

use std::fmt;

/// A borrowed name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name<'a>(pub &'a [u16]);

/// An owned name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NameBuf(pub Vec<u16>);

impl<'a> Name<'a> {
    /// The UTF-16 code units.
    pub fn units(self) -> &'a [u16] {
        self.0
    }

    /// Compares with a string, taken literally.
    pub fn is(self, text: &str) -> bool {
        self.0.iter().copied().eq(text.encode_utf16())
    }

    /// True if the two differ at most in case, by Unicode's simple mapping; a volume with its own upcase table uses that
    /// instead.
    pub fn is_alike(self, other: Name<'_>) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().zip(other.0).all(|(a, b)| a == b || upper(*a) == upper(*b))
    }

    /// An owned copy.
    pub fn to_owned(self) -> NameBuf {
        NameBuf(self.0.to_vec())
    }

    /// Appends the text form (WTF-8, escaped as stated for the module). Lossless: [`NameBuf::from_text`] reverses it.
    pub fn push_text(self, out: &mut Vec<u8>) {
        if matches!(self.0, [0x2e] | [0x2e, 0x2e]) {
            self.0.iter().for_each(|_| out.extend_from_slice(br"\x2e"));
            return;
        }
        let mut units = self.0;
        while let Some((&unit, rest)) = units.split_first() {
            units = rest;
            match unit {
                0 => out.extend_from_slice(br"\x00"),
                0x2f => out.extend_from_slice(br"\x2f"),
                0x5c if escape_at(rest).is_some() => out.extend_from_slice(br"\x5c"),
                0x01..0x80 => out.push(unit.to_le_bytes()[0]),
                0x80..0x800 => push_sequence(out, 2, unit.into()),
                0xd800..0xdc00 if rest.first().is_some_and(|low| (0xdc00..0xe000).contains(low)) => {
                    let (high, low) = (u32::from(unit), u32::from(rest[0]));
                    push_sequence(out, 4, 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00));
                    units = &rest[1..];
                }
                _ => push_sequence(out, 3, unit.into()),
            }
        }
    }

    /// The text form as a path component, in which `.` and `..` are not escaped.
    pub fn to_link_part(self) -> Vec<u8> {
        if matches!(self.0, [0x2e] | [0x2e, 0x2e]) { vec![b'.'; self.0.len()] } else { self.to_text() }
    }

    /// The text form as bytes.
    pub fn to_text(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.0.len() + self.0.len() / 2);
        self.push_text(&mut out);
        out
    }
}

fn upper(unit: u16) -> u16 {
    let mut upper = char::from_u32(unit.into()).map(char::to_uppercase).into_iter().flatten();
    match (upper.next(), upper.next()) {
        (Some(upper), None) => u16::try_from(u32::from(upper)).unwrap_or(unit),
        _ => unit,
    }
}

/// Parses the rest of an escape behind the backslash, `xHH` with lower-case hex digits, if it is of an escaped character.
fn escape_at(units: &[u16]) -> Option<u16> {
    const ESCAPED: [(&[u8; 3], u16); 4] = [(b"x00", 0), (b"x2f", 0x2f), (b"x2e", 0x2e), (b"x5c", 0x5c)];
    let is = |code: &[u8; 3]| units.len() >= 3 && code.iter().zip(units).all(|(c, u)| u16::from(*c) == *u);
    ESCAPED.iter().find(|(code, _)| is(code)).map(|(_, unit)| *unit)
}

/// Appends UTF-8's bit pattern of `len` bytes for a code, also for surrogates (WTF-8).
fn push_sequence(out: &mut Vec<u8>, len: u32, code: u32) {
    let lead = [0, 0, 0xc0, 0xe0, 0xf0][len as usize];
    let byte = |bits: u32| bits.to_le_bytes()[0];
    out.push(lead | byte(code >> (6 * (len - 1))));
    (0..len - 1).rev().for_each(|i| out.push(0x80 | byte(code >> (6 * i) & 0x3f)));
}

impl NameBuf {
    /// The borrowed form.
    pub fn as_name(&self) -> Name<'_> {
        Name(&self.0)
    }

    /// From a string, taken literally: nothing is unescaped.
    pub fn literal(text: &str) -> Self {
        Self(text.encode_utf16().collect())
    }

    /// Parses the text form: decodes WTF-8 and the escapes of [`Name::push_text`]. `None` if `text` is not WTF-8: the disk
    /// cannot contain such a name.
    pub fn from_text(text: &[u8]) -> Option<Self> {
        let mut units = decode_wtf8(text)?;
        if units.contains(&0x5c) {
            let mut at = 0;
            while let Some(found) = units.get(at..).and_then(|u| u.iter().position(|c| *c == 0x5c)) {
                at += found;
                if let Some(unit) = escape_at(&units[at + 1..]) {
                    units.splice(at..at + 4, [unit]);
                }
                at += 1;
            }
        }
        Some(Self(units))
    }
}

fn decode_wtf8(text: &[u8]) -> Option<Vec<u16>> {
    let mut units = Vec::with_capacity(text.len());
    let mut bytes = text;
    while let Some((&lead, rest)) = bytes.split_first() {
        let (more, min, bits) = match lead {
            0..0x80 => (0, 0, lead),
            0xc2..0xe0 => (1, 0x80, lead & 0x1f),
            0xe0..0xf0 => (2, 0x800, lead & 0x0f),
            0xf0..0xf5 => (3, 0x1_0000, lead & 0x07),
            _ => return None,
        };
        let tail = rest.get(..more)?;
        let mut code = u32::from(bits);
        for byte in tail {
            if byte & 0xc0 != 0x80 {
                return None;
            }
            code = code << 6 | u32::from(byte & 0x3f);
        }
        if code < min || code > 0x10_ffff {
            return None;
        }
        match u16::try_from(code) {
            Ok(unit) => units.push(unit),
            Err(_) => units.extend_from_slice(char::from_u32(code)?.encode_utf16(&mut [0; 2])),
        }
        bytes = &rest[more..];
    }
    Some(units)
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_text()))
    }
}

impl fmt::Display for NameBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_name().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    #[test]
    fn text_form_is_reversible() {
        let mut cases: Vec<Vec<u16>> = [
            "",
            ".",
            "..",
            "...",
            "a/b",
            "a\0",
            r"\x2f",
            r"\\x2f",
            r"\x5cx2f",
            r"a\b",
            r"\",
            r"\x",
            "入乡 😀",
        ]
        .map(units)
        .into();
        cases.push(vec![0xd800]);
        cases.push(vec![0xdc00, 0xd800, 0x41]);
        cases.push(vec![0x5c, 0x78, 0x32]);
        for case in cases {
            let text = Name(&case).to_text();
            assert!(!text.contains(&b'/') && !text.contains(&0), "{case:x?}");
            assert_eq!(NameBuf::from_text(&text), Some(NameBuf(case)));
        }
    }

    #[test]
    fn valid_names_are_plain_utf8() {
        assert_eq!(Name(&units("Grüße 入乡 😀.txt")).to_text(), "Grüße 入乡 😀.txt".as_bytes());
    }

    #[test]
    fn names_that_differ_in_case_are_alike() {
        let alike = |a: &str, b: &str| Name(&units(a)).is_alike(Name(&units(b)));
        assert!(alike("Grüße", "GRÜßE") && alike("p3", "P3") && alike("", ""));
        assert!(!alike("ß", "SS") && !alike("p3", "p") && !alike("p3", "p1"));
        assert!(Name(&[0xd800]).is_alike(Name(&[0xd800])) && !Name(&[0xd800]).is_alike(Name(&[0xd801])));
    }

    #[test]
    fn text_that_is_not_wtf8_names_nothing() {
        for bad in [&[0xff][..], &[0xc0, 0x80], &[0xe2, 0x82], &[0xf5, 0x80, 0x80, 0x80]] {
            assert_eq!(NameBuf::from_text(bad), None);
        }
    }
}
