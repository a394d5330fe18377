//! The expression of `vhdmount find`, as find(1) reads it: `-o` binds less than what stands side by side, `!` most.

use vhdmount::fs::{NodeKind, Timestamp};

use crate::cli::{Failure, date, ls::letter, pattern::Pattern};

/// Deepest nesting of `(` and `!`: a limit of the stack, far above what people write.
const MAX_NESTING: usize = 100;
const DAY: i64 = 86_400;

/// A whole command line of words.
#[derive(Debug)]
pub(super) struct Expression {
    pub(super) matching: Test,
    pub(super) min_depth: usize,
    pub(super) max_depth: usize,
    /// Print a NUL behind each path.
    pub(super) nul: bool,
}

#[derive(Debug)]
pub(super) enum Test {
    All(Vec<Test>),
    Any(Vec<Test>),
    Not(Box<Test>),
    Name(Pattern),
    Path(Pattern),
    Kind(Vec<char>),
    Size(Compare, u64),
    Empty,
    /// Later than this moment.
    After(Which, Timestamp),
    /// Modified after this path inside the image, which becomes [`Self::After`] when the image is open.
    AfterFile(String),
    /// Age in units of so many seconds, the rest cut off.
    Age(Which, Compare, i64),
}

/// One of a file's times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Created,
    Modified,
    Changed,
    Accessed,
}

/// `+N`, `N`, `-N`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compare {
    More(u64),
    Exactly(u64),
    Less(u64),
}

impl Compare {
    /// True if the count fits; a negative one is below every number.
    pub(super) fn fits(self, count: i128) -> bool {
        match self {
            Self::More(limit) => count > limit.into(),
            Self::Exactly(limit) => count == limit.into(),
            Self::Less(limit) => count < limit.into(),
        }
    }
}

struct Parser<'a> {
    words: std::iter::Peekable<std::slice::Iter<'a, String>>,
    expression: Expression,
    nesting: usize,
}

impl Expression {
    /// # Errors
    /// When find(1) would not take it, or it has a test or action that is not there.
    pub(super) fn parse(words: &[String]) -> Result<Self, Failure> {
        let expression =
            Self { matching: Test::All(Vec::new()), min_depth: 0, max_depth: usize::MAX, nul: false };
        let mut parser = Parser { words: words.iter().peekable(), expression, nesting: 0 };
        if !words.is_empty() {
            parser.expression.matching = parser.any()?;
        }
        match parser.words.next() {
            None => Ok(parser.expression),
            Some(word) if word == ")" => Err(Failure::usage("find: there is no ( to this )")),
            Some(word) => Err(unknown(word)),
        }
    }
}

impl Parser<'_> {
    fn any(&mut self) -> Result<Test, Failure> {
        let mut either = vec![self.all()?];
        while self.words.next_if(|word| matches!(&***word, "-o" | "-or")).is_some() {
            either.push(self.all()?);
        }
        Ok(if either.len() == 1 { either.remove(0) } else { Test::Any(either) })
    }

    fn all(&mut self) -> Result<Test, Failure> {
        let mut tests = Vec::new();
        loop {
            if !tests.is_empty() && self.words.next_if(|word| matches!(&***word, "-a" | "-and")).is_some() {
                tests.push(self.one()?);
                continue;
            }
            match self.words.peek().map(|word| word.as_str()) {
                None | Some(")" | "-o" | "-or") if tests.is_empty() => {
                    return Err(Failure::usage("find: something is missing beside -o, ! or between ( and )"));
                }
                None | Some(")" | "-o" | "-or") => return Ok(Test::All(tests)),
                Some(_) => tests.push(self.one()?),
            }
        }
    }

    fn one(&mut self) -> Result<Test, Failure> {
        let Some(word) = self.words.next() else {
            return Err(Failure::usage("find: something is missing behind the last word"));
        };
        if !matches!(&**word, "!" | "-not" | "(") {
            return self.test(word);
        }
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(Failure::usage(format_args!("find: more than {MAX_NESTING} ( and ! in each other")));
        }
        let test = if word == "(" {
            let test = self.any()?;
            if self.words.next_if(|word| *word == ")").is_none() {
                return Err(Failure::usage("find: a ( is not closed by )"));
            }
            test
        } else {
            Test::Not(Box::new(self.one()?))
        };
        self.nesting -= 1;
        Ok(test)
    }

    fn test(&mut self, word: &str) -> Result<Test, Failure> {
        let name = word.strip_prefix('-').ok_or_else(|| unknown(word))?;
        let always = Test::All(Vec::new());
        Ok(match name {
            "name" | "iname" => Test::Name(Pattern::new(self.argument(word)?, name == "iname")),
            "path" | "ipath" | "wholename" | "iwholename" => {
                Test::Path(Pattern::new(self.argument(word)?, name.starts_with('i')))
            }
            "type" => Test::Kind(kinds(self.argument(word)?)?),
            "size" => {
                let (compare, unit) = size(self.argument(word)?)?;
                Test::Size(compare, unit)
            }
            "empty" => Test::Empty,
            "newer" => Test::AfterFile(self.argument(word)?.to_owned()),
            "newermt" | "newerat" | "newerct" | "newerBt" => {
                let text = self.argument(word)?;
                let date = date::parse(text).ok_or_else(|| {
                    Failure::usage(format_args!(
                        "find: {word} \"{text}\" is no date; dates are 2026-11-21, '2026-11-21 08:03', 2026-11-21T08:03:00+01:00 or @SECONDS"
                    ))
                })?;
                let which = match &name[5..6] {
                    "m" => Which::Modified,
                    "a" => Which::Accessed,
                    "c" => Which::Changed,
                    _ => Which::Created,
                };
                Test::After(which, date)
            }
            "mtime" | "atime" | "ctime" | "mmin" | "amin" | "cmin" => {
                let text = self.argument(word)?;
                let compare = compare(text).ok_or_else(|| {
                    Failure::usage(format_args!(
                        "find: {word} needs a number, as in +7 or -7, not \"{text}\""
                    ))
                })?;
                let which = match &name[..1] {
                    "m" => Which::Modified,
                    "a" => Which::Accessed,
                    _ => Which::Changed,
                };
                Test::Age(which, compare, if name.ends_with("min") { 60 } else { DAY })
            }
            "maxdepth" => {
                self.expression.max_depth = self.depth(word)?;
                always
            }
            "mindepth" => {
                self.expression.min_depth = self.depth(word)?;
                always
            }
            "print" => always,
            "print0" => {
                self.expression.nul = true;
                always
            }
            _ => return Err(unknown(word)),
        })
    }

    fn argument(&mut self, word: &str) -> Result<&str, Failure> {
        let argument = self.words.next();
        argument
            .map(String::as_str)
            .ok_or_else(|| Failure::usage(format_args!("find: {word} needs something behind it")))
    }

    fn depth(&mut self, word: &str) -> Result<usize, Failure> {
        let text = self.argument(word)?;
        text.parse().map_err(|_| Failure::usage(format_args!("find: {word} needs a number, not \"{text}\"")))
    }
}

fn unknown(word: &str) -> Failure {
    match word {
        "-exec" | "-execdir" | "-ok" | "-okdir" => Failure::usage(format_args!(
            "find: {word} is not offered: files inside an image are no arguments of other programs; `vhdmount cat IMAGE` and cp take what find prints (-print0 with xargs -0)"
        )),
        "-delete" => Failure::usage("find: -delete is not offered: nothing inside the image is changed"),
        _ => Failure::usage(format_args!(
            "find: \"{word}\" is no word of an expression; `vhdmount find --help` lists them"
        )),
    }
}

fn kinds(text: &str) -> Result<Vec<char>, Failure> {
    let letters: Vec<char> = text.split(',').filter_map(|part| part.parse().ok()).collect();
    match letters.len() == text.split(',').count() && letters.iter().all(|letter| "fdlpscb".contains(*letter))
    {
        true => Ok(letters),
        false => Err(Failure::usage(format_args!(
            "find: -type takes f, d, l, p, s, c and b, several as in f,l, not \"{text}\""
        ))),
    }
}

/// A size as find(1) writes it, and its unit in bytes.
fn size(text: &str) -> Result<(Compare, u64), Failure> {
    let (number, unit) = match text.chars().last() {
        Some('c') => (&text[..text.len() - 1], 1),
        Some('w') => (&text[..text.len() - 1], 2),
        Some('b') => (&text[..text.len() - 1], 512),
        Some('k') => (&text[..text.len() - 1], 1 << 10),
        Some('M') => (&text[..text.len() - 1], 1 << 20),
        Some('G') => (&text[..text.len() - 1], 1 << 30),
        Some('T') => (&text[..text.len() - 1], 1 << 40),
        _ => (text, 512),
    };
    let compare = compare(number).ok_or_else(|| {
        Failure::usage(format_args!(
            "find: -size \"{text}\" is no size; sizes are +10M, -4k, 100c (c w b k M G T, b by itself)"
        ))
    })?;
    Ok((compare, unit))
}

fn compare(text: &str) -> Option<Compare> {
    let digits =
        |text: &str| text.starts_with(|c: char| c.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    match text.as_bytes().first()? {
        b'+' => digits(&text[1..]).map(Compare::More),
        b'-' => digits(&text[1..]).map(Compare::Less),
        _ => digits(text).map(Compare::Exactly),
    }
}

/// The letter of `-type`: that of `ls -l`, but for files.
pub(super) fn kind_letter(kind: NodeKind) -> char {
    match letter(kind) {
        '-' => 'f',
        letter => letter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Expression, Failure> {
        Expression::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn what_find_refuses_is_refused() {
        for line in [
            "-name",
            "-o",
            "-name x -o",
            "( -name x",
            "-name x )",
            "!",
            "( )",
            "-type x",
            "-type f,",
            "-type ff",
            "-size",
            "-size M",
            "-size +-1",
            "-newermt Tuesday",
            "-mtime x",
            "-maxdepth -1",
            "-exec",
            "-delete",
            "x",
            "-name x -a",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        let deep = "! ".repeat(101) + "-empty";
        assert!(parse(&deep).is_err());
        assert!(parse(&("-not -empty ".repeat(500))).is_ok());
    }

    #[test]
    fn or_binds_less_than_and() {
        let Test::Any(either) = parse("-empty -type f -o -type d -a -name x").unwrap().matching else {
            panic!("an -o");
        };
        assert!(either.iter().all(|all| matches!(all, Test::All(two) if two.len() == 2)), "{either:?}");
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("+10M").unwrap(), (Compare::More(10), 1 << 20));
        assert_eq!(size("-4").unwrap(), (Compare::Less(4), 512));
        assert_eq!(size("7c").unwrap(), (Compare::Exactly(7), 1));
        assert!(Compare::Less(1).fits(-3) && !Compare::More(0).fits(0));
    }
}
