//! Makes text from an image safe for a terminal or a picture; labels are untrusted input.

use crate::printable::{REPLACEMENT, is_harmful};

/// Length in characters at which text from an image is cut: a label has 32, but a hostile record may hold more.
const MAX_SHOWN: usize = 160;

/// `text` without unsafe characters (including those that XML 1.0 forbids), cut to a bounded length.
pub(super) fn shown(text: &str) -> String {
    let mut out: String =
        text.chars().take(MAX_SHOWN).map(|c| if is_harmful(c) { REPLACEMENT } else { c }).collect();
    if text.chars().nth(MAX_SHOWN).is_some() {
        out.push('…');
    }
    out
}

#[cfg(any(test, feature = "cli"))]
/// `text` cut to `width` characters, the last one replaced by `…` if it was cut.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(width.saturating_sub(1)).collect();
    if width > 0 {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_cannot_control_what_shows_them() {
        assert_eq!(shown("a\u{1b}[2J\u{202e}b\n\u{ffff}"), "a\u{fffd}[2J\u{fffd}b\u{fffd}\u{fffd}");
        assert_eq!(shown(&"x".repeat(1 << 16)).chars().count(), MAX_SHOWN + 1);
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(
            (cut("abc", 3), cut("abcd", 3), cut("ab", 0)),
            ("abc".into(), "ab…".into(), String::new())
        );
    }
}
