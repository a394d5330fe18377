//! Chooses the destination's name for an entry of the image. Names of the image are untrusted: the result is always one
//! component, never `.`, `..` or empty, without separators. Where the destination refuses a name, an alternative is tried
//! that stays unique.

use std::{ffi::OsString, io};

use vhdmount::fs::{Name, NameBuf};

use super::target;

/// The name of an item: the image's, or the user's.
#[derive(Debug, Clone)]
pub(super) enum ItemName {
    Disk(NameBuf),
    /// The user's name, and the image's.
    Given(OsString, Vec<u8>),
}

impl ItemName {
    /// The preferred name.
    pub(super) fn first(&self) -> OsString {
        match self {
            Self::Given(name, _) => name.clone(),
            Self::Disk(name) => target::name(name.as_name()),
        }
    }

    /// The next name to try after `refused`, which the destination does not accept.
    pub(super) fn after(&self, refused: &OsString) -> Option<OsString> {
        let Self::Disk(name) = self else { return None };
        let name = name.as_name();
        let others = [shortened(name), windows(name)].map(|other| target::name(other.as_name()));
        let mut all = vec![self.first()];
        others.into_iter().for_each(|other| {
            if !all.contains(&other) {
                all.push(other);
            }
        });
        let at = all.iter().position(|name| name == refused)?;
        (at + 1 < all.len()).then(|| all.swap_remove(at + 1))
    }

    /// The name as the mount shows it, for messages.
    pub(super) fn text(&self) -> Vec<u8> {
        match self {
            Self::Disk(name) => name.as_name().to_text(),
            Self::Given(_, source) => source.clone(),
        }
    }
}

/// True when another name may be accepted.
pub(super) fn is_refused(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, InvalidInput};
    matches!(error.kind(), InvalidFilename | InvalidInput)
        || error.raw_os_error() == Some(target::INVALID_NAME)
}

/// Bytes of UTF-8 that every filesystem accepts, with a margin for the few that count more than the name.
const MAX_TEXT: usize = 250;
/// Longest extension, in UTF-16 units.
const MAX_EXTENSION: usize = 16;

/// A shortened name, `Very long na~1a2b3c4d.txt`: names on NTFS have up to 765 bytes in UTF-8, elsewhere the limit is
/// 255.
fn shortened(name: Name<'_>) -> NameBuf {
    let units = name.units();
    if name.to_text().len() <= MAX_TEXT {
        return name.to_owned();
    }
    let dot = units.iter().rposition(|unit| *unit == u16::from(b'.'));
    let dot = dot.filter(|dot| *dot > 0 && units.len() - dot <= MAX_EXTENSION).unwrap_or(units.len());
    let (stem, extension) = units.split_at(dot);
    let mark: Vec<u16> = format!("~{:08x}", hash(units)).encode_utf16().collect();
    let mut keep = stem.len();
    loop {
        // Not between the halves of a surrogate pair.
        let half = stem.get(keep).is_some_and(|unit| (0xdc00..0xe000).contains(unit));
        let whole = [&stem[..keep], &mark[..], extension].concat();
        if keep == 0 || !half && Name(&whole).to_text().len() <= MAX_TEXT {
            return NameBuf(whole);
        }
        keep -= 1;
    }
}

/// FNV-1a: stable over runs, so that a second run finds the files of the first one.
fn hash(units: &[u16]) -> u32 {
    let bytes = units.iter().flat_map(|unit| unit.to_le_bytes());
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Replaces what Windows does not allow in a name: characters as Cygwin, Interix and WSL do, by the private use area from
/// U+F000 on; names of devices get `_` in front.
pub(super) fn windows(name: Name<'_>) -> NameBuf {
    const FORBIDDEN: &[u8] = b"\"*/:<>?\\|";
    const PRIVATE: u16 = 0xf000;
    let forbidden = |unit: u16| unit < 0x20 || u8::try_from(unit).is_ok_and(|byte| FORBIDDEN.contains(&byte));
    let mut units: Vec<u16> =
        name.units().iter().map(|unit| if forbidden(*unit) { PRIVATE | *unit } else { *unit }).collect();
    // Windows drops these silently, so two names would become one.
    if let Some(last) = units.last_mut().filter(|last| **last == 0x20 || **last == 0x2e) {
        *last |= PRIVATE;
    }
    if is_device(&units) {
        units.insert(0, u16::from(b'_'));
    }
    NameBuf(units)
}

/// True for the name of a DOS device: `CON`, `nul.txt`, `COM1`, …
fn is_device(units: &[u16]) -> bool {
    let stem = units.split(|unit| *unit == u16::from(b'.')).next().unwrap_or_default();
    let stem = String::from_utf16_lossy(stem).trim_end().to_ascii_uppercase();
    let numbered = |prefix: &str| {
        let number = stem.strip_prefix(prefix).unwrap_or_default();
        number.chars().count() == 1 && number.chars().all(|c| "123456789\u{b9}\u{b2}\u{b3}".contains(c))
    };
    matches!(&*stem, "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$")
        || numbered("COM")
        || numbered("LPT")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str) -> NameBuf {
        NameBuf::literal(text)
    }

    #[test]
    fn long_names_are_cut_and_stay_different() {
        let long = |last: char| units(&format!("{}{last}.txt", "ü😀".repeat(80)));
        let (one, two) = (shortened(long('1').as_name()), shortened(long('2').as_name()));
        assert_ne!(one, two);
        for name in [&one, &two] {
            let text = String::from_utf8(name.as_name().to_text()).unwrap();
            assert!(text.len() <= MAX_TEXT && text.len() > MAX_TEXT - 8 && text.ends_with(".txt"), "{text}");
        }
        assert_eq!(shortened(units("short").as_name()), units("short"));
        let dots = units(&format!("a.{}", "b".repeat(300)));
        assert!(shortened(dots.as_name()).as_name().to_text().len() <= MAX_TEXT);
    }

    #[test]
    fn windows_gets_no_name_with_a_meaning() {
        for (name, safe) in [
            ("a:b", "a\u{f03a}b"),
            (r"..\x", "..\u{f05c}x"),
            ("..", ".\u{f02e}"),
            (".", "\u{f02e}"),
            ("end ", "end\u{f020}"),
            ("nul", "_nul"),
            ("COM1.txt", "_COM1.txt"),
            ("lpt\u{b2}", "_lpt\u{b2}"),
            ("aux .c", "_aux .c"),
            ("COM10", "COM10"),
            ("console", "console"),
        ] {
            assert_eq!(windows(units(name).as_name()), units(safe), "{name}");
        }
    }

    #[test]
    fn every_candidate_is_one_component() {
        for name in ["", ".", "..", "/", "a/../../b", "\0", "x"] {
            let name = ItemName::Disk(units(name));
            let mut next = Some(name.first());
            while let Some(candidate) = next {
                let text = candidate.to_string_lossy().into_owned();
                assert!(!text.contains(['/', '\0']) && text != "." && text != "..", "{text}");
                next = name.after(&candidate);
            }
        }
    }
}
