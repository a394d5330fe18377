//! Text of an image, or of a path, on its way to a terminal or a log. One place decides what may not arrive there: what
//! commands a terminal, reorders or hides what a reader sees, or pretends to be another line.

use std::borrow::Cow;

/// Stands for a character that is not shown.
pub const REPLACEMENT: char = '\u{fffd}';

/// True for a character that a terminal or a log must not get.
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(
            u32::from(c),
            // Arabic letter mark, Mongolian vowel separator, space of no width, left-to-right marks. The joiners between
            // them belong to Persian, Indic scripts and emoji.
            0x061c | 0x180e | 0x200b | 0x200e | 0x200f
            // Line and paragraph separators, embeddings and overrides, invisible operators, isolates.
            | 0x2028..=0x202e | 0x2060..=0x206f
            // No-break space of no width, interlinear annotations, no characters.
            | 0xfeff | 0xfff9..=0xfffb | 0xfffe | 0xffff
            // Tags.
            | 0xe_0000..=0xe_007f
        )
}

/// The text on one line, with a replacement for each character that may not be shown.
pub fn printable(text: &str) -> Cow<'_, str> {
    replaced(text, is_harmful)
}

/// The same of a text of several lines, which the program has put together: its line feeds stay.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    replaced(text, |c| c != '\n' && is_harmful(c))
}

/// Bytes that are mostly UTF-8, as names of files are.
pub fn printable_bytes(text: &[u8]) -> String {
    printable(&String::from_utf8_lossy(text)).into_owned()
}

/// A label in quotation marks, as it is but for characters that control a terminal.
pub fn quoted(label: &str) -> String {
    format!("\"{}\"", label.replace(char::is_control, "\u{fffd}"))
}

fn replaced(text: &str, is_harmful: impl Fn(char) -> bool) -> Cow<'_, str> {
    match text.contains(&is_harmful) {
        true => text.chars().map(|c| if is_harmful(c) { REPLACEMENT } else { c }).collect(),
        false => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_commands_a_terminal_or_deceives_its_reader() {
        assert_eq!(
            printable("a\u{1b}]0;x\u{7}\n\u{9b}2J\u{7f}"),
            "a\u{fffd}]0;x\u{fffd}\u{fffd}\u{fffd}2J\u{fffd}"
        );
        for c in
            "\u{202a}\u{202e}\u{2066}\u{2069}\u{200e}\u{200f}\u{61c}\u{2028}\u{2029}\u{feff}\u{e0041}".chars()
        {
            assert_eq!(printable(&format!("a{c}b")), "a\u{fffd}b", "{:x}", u32::from(c));
        }
        assert_eq!(printable_lines("a\n\r\tb"), "a\n\u{fffd}\u{fffd}b");
        assert_eq!(printable_bytes(b"a\xff\x1b"), "a\u{fffd}\u{fffd}");
    }

    #[test]
    fn every_script_stays_as_it_is() {
        let text = "Müller Mu\u{308}ller 데이터 データ שלום العربية हिन्दी 🎉 \u{a0}\\x2f";
        assert!(matches!(printable(text), Cow::Borrowed(same) if same == text));
    }
}
