//! Shell patterns, as fnmatch(3) without flags: `*`, `?`, `[…]` with ranges, classes and `!`, and `\` before a character that
//! stands for itself. Characters are those of UTF-8, and case is that of Unicode: the crates for patterns compare bytes,
//! so that their `?` does not match `ü`, and `Ü` differs from it where case is ignored. Matching takes at most
//! as many steps as the lengths of pattern and name multiplied.

/// Added to a byte that is no part of a UTF-8 character, so that it equals no character.
const NO_CHARACTER: u32 = 0x11_0000;

/// A pattern.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    parts: Vec<Part>,
    ignore_case: bool,
}

#[derive(Debug, Clone)]
enum Part {
    /// `*`
    Any,
    /// `?`
    One,
    /// A character that stands for itself.
    Is(u32),
    /// `[…]`
    Set { negated: bool, items: Vec<Item> },
}

#[derive(Debug, Clone)]
enum Item {
    Range(u32, u32),
    Class(fn(char) -> bool),
}

/// True if the text has a character with a meaning of its own in a pattern.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

impl Pattern {
    /// Parses a pattern. Every text is one: a `[` that is not closed stands for itself.
    pub(super) fn new(text: &str, ignore_case: bool) -> Self {
        let text: Vec<char> = text.chars().collect();
        let fold = |c: char| if ignore_case { folded(c.into()) } else { c.into() };
        let (mut parts, mut at) = (Vec::new(), 0);
        while let Some(&c) = text.get(at) {
            at += 1;
            parts.push(match c {
                '*' if matches!(parts.last(), Some(Part::Any)) => continue,
                '*' => Part::Any,
                '?' => Part::One,
                '\\' if at < text.len() => {
                    at += 1;
                    Part::Is(fold(text[at - 1]))
                }
                '[' => match set(&text[at..]) {
                    Some((set, len)) => {
                        at += len;
                        set
                    }
                    None => Part::Is(fold(c)),
                },
                c => Part::Is(fold(c)),
            });
        }
        Self { parts, ignore_case }
    }

    /// True if the whole of `name` matches.
    pub(super) fn matches(&self, name: &[u8]) -> bool {
        let name = characters(name);
        let (mut part, mut at) = (0, 0);
        // The last `*` passed, and how far it reaches: only that one needs to be tried with more.
        let mut star: Option<(usize, usize)> = None;
        loop {
            match self.parts.get(part) {
                Some(Part::Any) => {
                    part += 1;
                    star = Some((part, at));
                    continue;
                }
                Some(one) if name.get(at).is_some_and(|c| self.is(one, *c)) => {
                    (part, at) = (part + 1, at + 1);
                    continue;
                }
                None if at == name.len() => return true,
                _ => {}
            }
            match &mut star {
                Some((after, reach)) if *reach < name.len() => {
                    *reach += 1;
                    (part, at) = (*after, *reach);
                }
                _ => return false,
            }
        }
    }

    fn is(&self, part: &Part, c: u32) -> bool {
        match part {
            Part::Any => false,
            Part::One => true,
            Part::Is(is) => *is == if self.ignore_case { folded(c) } else { c },
            Part::Set { negated, items } => {
                let has = |c: u32| {
                    items.iter().any(|item| match item {
                        Item::Range(first, last) => (*first..=*last).contains(&c),
                        Item::Class(is) => char::from_u32(c).is_some_and(is),
                    })
                };
                let found = has(c) || self.ignore_case && (has(folded(c)) || has(lower(c)));
                found != *negated
            }
        }
    }
}

/// Parses a set behind its `[`; returns it with its length, the `]` included.
fn set(text: &[char]) -> Option<(Part, usize)> {
    let negated = matches!(text.first(), Some('!' | '^'));
    let first = usize::from(negated);
    let (mut items, mut at) = (Vec::new(), first);
    loop {
        let c = *text.get(at)?;
        // As the first one it stands for itself.
        if c == ']' && at > first {
            return Some((Part::Set { negated, items }, at + 1));
        }
        if c == '[' && text.get(at + 1) == Some(&':') {
            let len = text[at + 2..].windows(2).position(|two| two == [':', ']'])?;
            let name: String = text[at + 2..at + 2 + len].iter().collect();
            items.push(Item::Class(class(&name)?));
            at += len + 4;
            continue;
        }
        let (from, next) = one(text, at)?;
        at = next;
        // A `-` before the end stands for itself.
        let is_range = text.get(at) == Some(&'-') && text.get(at + 1).is_some_and(|c| *c != ']');
        let (to, next) = if is_range { one(text, at + 1)? } else { (from, at) };
        at = next;
        items.push(Item::Range(from.into(), to.into()));
    }
}

/// A character of a set, perhaps behind a `\`, and where the next one begins.
fn one(text: &[char], at: usize) -> Option<(char, usize)> {
    match text.get(at)? {
        '\\' => Some((*text.get(at + 1)?, at + 2)),
        c => Some((*c, at + 1)),
    }
}

fn class(name: &str) -> Option<fn(char) -> bool> {
    Some(match name {
        "alpha" => char::is_alphabetic,
        "digit" => |c| c.is_ascii_digit(),
        "alnum" => char::is_alphanumeric,
        "upper" => char::is_uppercase,
        "lower" => char::is_lowercase,
        "space" => char::is_whitespace,
        "blank" => |c| c == ' ' || c == '\t',
        "punct" => |c| c.is_ascii_punctuation(),
        "cntrl" => char::is_control,
        "xdigit" => |c| c.is_ascii_hexdigit(),
        _ => return None,
    })
}

/// The characters of a name; each byte that belongs to none is one of its own.
fn characters(name: &[u8]) -> Vec<u32> {
    let chunks = name.utf8_chunks();
    let each = chunks.flat_map(|chunk| {
        let bytes = chunk.invalid().iter().map(|byte| NO_CHARACTER + u32::from(*byte));
        chunk.valid().chars().map(u32::from).chain(bytes)
    });
    each.collect()
}

/// The upper case, where that is one character.
fn folded(c: u32) -> u32 {
    mapped(c, char::to_uppercase)
}

fn lower(c: u32) -> u32 {
    mapped(c, char::to_lowercase)
}

fn mapped<I: Iterator<Item = char>>(c: u32, map: impl Fn(char) -> I) -> u32 {
    let mut to = char::from_u32(c).into_iter().flat_map(map);
    match (to.next(), to.next()) {
        (Some(only), None) => only.into(),
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::new(pattern, false).matches(name.as_bytes())
    }

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name) in [
            ("", ""),
            ("*", ""),
            ("*", ".hidden"),
            ("*.txt", "a.txt"),
            ("a*b*c", "a-b-b-c"),
            ("Gr?ße", "Grüße"),
            ("[a-c]x", "bx"),
            ("[!a-c]x", "dx"),
            ("[^a]", "ü"),
            ("[]]", "]"),
            ("[a-]", "-"),
            ("[[:digit:]]*", "1a"),
            (r"\*", "*"),
            (r"[\]]", "]"),
            ("[a", "[a"),
            ("a[", "a["),
            (r"a\", r"a\"),
            ("*/x", "a/b/x"),
            ("{a,b}", "{a,b}"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("", "a"),
            ("?", ""),
            ("*.txt", "a.TXT"),
            ("a*b", "a-b-"),
            ("[a-c]", "d"),
            ("[!a-c]", "b"),
            (r"\*", "x"),
            ("?", "ab"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn case_is_that_of_unicode() {
        for (pattern, name) in [("GRÜ*", "grüße"), ("[Ä-Ü]x", "öX"), ("[ä]", "Ä"), ("straße", "STRAßE")]
        {
            assert!(Pattern::new(pattern, true).matches(name.as_bytes()), "{pattern} {name}");
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn hostile_names_take_no_time() {
        let name = "a".repeat(20_000);
        assert!(!Pattern::new(&("a*".repeat(30) + "b"), true).matches(name.as_bytes()));
    }

    #[test]
    fn bytes_outside_of_utf8_are_characters() {
        assert!(Pattern::new("?x", false).matches(b"\xffx"));
        assert!(!Pattern::new("[a-z]x", true).matches(b"\xffx"));
    }
}
