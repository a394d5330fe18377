//! `vhdmount reg diff`

use std::{
    fmt::Write as _,
    io::{self, BufWriter, Write},
    ops::ControlFlow,
};

use vhdmount::{
    Error,
    image::registry::{
        Found, FoundKey, Registry,
        diff::{Change, Item, KeyDifference, compare, one_side, same_bytes},
    },
    printable::printable,
};

use super::{
    config::{Diff, Place},
    json::{self, DifferenceReport, Problem, Problems, ValuePair},
    source::Opened,
    text::{security, value_line},
};
use crate::cli::{Class, Failure, complain, exit::ended, rows::Rows};

pub(super) fn run(command: &Diff) -> Result<(), Failure> {
    let (old, new) = registries(command)?;
    let out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let json = command.json.then(|| rows(command));
    let mut output = Output { command, out, json, problems: Problems::default() };
    let written = pairs(command, &old, &new, &mut output)?;
    let written = written.and_then(|()| output.end());
    let failed = (!output.problems.0.is_empty()).then(|| Failure::printed(Class::Inside));
    ended(written, failed)
}

/// The document, up to its differences.
fn rows(command: &Diff) -> Rows {
    let [old, new] = [&command.old, command.new.as_ref().unwrap_or(&command.old)]
        .map(|place: &Place| place.source.image.display().to_string());
    let of_parent = if command.new.is_none() { " (its parent)" } else { "" };
    Rows::new(json::DIFF, &[("old", &(old + of_parent)), ("new", &new)], "differences")
}

/// Both registries: of two images, or of an image's parent and of the image.
fn registries(command: &Diff) -> Result<(Registry, Registry), Failure> {
    let place = &command.old;
    let first = place.open()?;
    let Some(new) = &command.new else {
        first.narrow(None);
        let Opened::Disk(image) = first else {
            return Err(Failure::usage("a hive has no parent: name another hive to compare it with"));
        };
        let failure = |error: Error| place.source.failure(&error);
        let below = image.below(&place.source.options).map_err(failure)?;
        let below = below.ok_or_else(|| {
            Failure::usage(format_args!(
                "{} has no parent, as it is no overlay or checkpoint: name another image to compare it with",
                place.source.image.display()
            ))
        })?;
        return Ok((
            place.registry_of(Opened::Disk(Box::new(below)))?,
            place.registry_of(Opened::Disk(image))?,
        ));
    };
    let second = new.open()?;
    first.narrow(Some(&second));
    Ok((place.registry_of(first)?, new.registry_of(second)?))
}

/// Compares the key that was named, or all hives.
fn pairs(
    command: &Diff,
    old: &Registry,
    new: &Registry,
    output: &mut Output<'_>,
) -> Result<io::Result<()>, Failure> {
    let keys = match &command.key {
        Some(key) => vec![key.clone()],
        None => {
            let mut keys = old.hives();
            for key in new.hives() {
                if !keys.iter().any(|known| known.eq_ignore_ascii_case(&key)) {
                    keys.push(key);
                }
            }
            keys
        }
    };
    if keys.is_empty() {
        return Err(Failure::image_text("neither side has a registry that can be read"));
    }
    let asked = command.key.is_some();
    for key in keys {
        let (old, new) = match (old.find(&key), new.find(&key)) {
            (Err(Error::NotFound(_)), Err(error @ Error::NotFound(_))) if asked => {
                return Err(Failure::inside_text(error));
            }
            (Err(error), _) | (_, Err(error)) if asked && !matches!(error, Error::NotFound(_)) => {
                return Err(Failure::inside_text(error));
            }
            both => both,
        };
        let Some((old, new)) = output.both(&key, old, new) else { continue };
        let flow = output.pair(old.as_ref(), new.as_ref());
        if let ControlFlow::Break(error) = flow {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}

struct Output<'a> {
    command: &'a Diff,
    out: BufWriter<io::StdoutLock<'static>>,
    /// `None`: text.
    json: Option<Rows>,
    problems: Problems,
}

impl Output<'_> {
    /// The keys of both sides, where they are; `None` when they cannot be compared.
    fn both(
        &mut self,
        key: &str,
        old: vhdmount::Result<Found>,
        new: vhdmount::Result<Found>,
    ) -> Option<(Option<FoundKey>, Option<FoundKey>)> {
        let mut side = |found| match found {
            Ok(Found::Key(found)) => Some(Some(found)),
            Ok(Found::Names { name, .. }) => {
                self.problem(&name, "it is above the hives: name one of them");
                None
            }
            Err(Error::NotFound(_)) => Some(None),
            Err(error) => {
                self.problem(key, &error.to_string());
                None
            }
        };
        let (old, new) = (side(old), side(new));
        Some((old?, new?))
    }

    /// Compares two keys; the break is why the output ended.
    fn pair(&mut self, old: Option<&FoundKey>, new: Option<&FoundKey>) -> ControlFlow<io::Error> {
        let name = new.or(old).map(|found| found.name.clone()).unwrap_or_default();
        let with_security = self.command.security;
        let mut ended = None;
        let mut sink = |item| match self.item(&name, item) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                ended = Some(error);
                ControlFlow::Break(())
            }
        };
        let _ = match (old, new) {
            (Some(old), Some(new)) => match same_bytes(&old.hive, &new.hive) {
                Ok(true) if old.path == new.path => ControlFlow::Continue(()),
                _ => compare(old, new, with_security, &mut sink),
            },
            (Some(old), None) => one_side(old, Change::Removed, &mut sink),
            (None, Some(new)) => one_side(new, Change::Added, &mut sink),
            (None, None) => ControlFlow::Continue(()),
        };
        ended.map_or(ControlFlow::Continue(()), ControlFlow::Break)
    }

    fn item(&mut self, top: &str, item: Item) -> io::Result<()> {
        let full = |path: &[u16]| match path.is_empty() {
            true => top.to_owned(),
            false => format!("{top}\\{}", String::from_utf16_lossy(path)),
        };
        match item {
            Item::Problem(path, error) => {
                self.problem(&full(&path), &error.to_string());
                Ok(())
            }
            Item::Difference(difference) => {
                let path = full(&difference.path);
                match &mut self.json {
                    Some(rows) => rows.row(&mut self.out, &report(path, &difference)),
                    None => self.out.write_all(text(&path, &difference).as_bytes()),
                }
            }
        }
    }

    fn problem(&mut self, path: &str, problem: &str) {
        self.problems.add(path, problem);
    }

    fn end(&mut self) -> io::Result<()> {
        if let Some(rows) = &mut self.json {
            rows.end(&mut self.out)?;
            return json::problems(&mut self.out, &self.problems.0);
        }
        self.out.flush()?;
        for Problem { path, problem } in &self.problems.0 {
            complain(&printable(&format!("{path}: {problem}")));
        }
        Ok(())
    }
}

/// A key, and below it what it had and what it has.
fn text(path: &str, difference: &KeyDifference) -> String {
    let change = match difference.change {
        Change::Added => "added",
        Change::Removed => "removed",
        Change::Changed => "changed",
    };
    let mut text = format!("{change:7}  {}\n", printable(path));
    for value in &difference.values {
        for (sign, value) in [("-", &value.old), ("+", &value.new)] {
            if let Some(value) = value {
                let _ = writeln!(text, "{sign}{}", value_line(value, "\\0"));
            }
        }
    }
    if let Some(pair) = &difference.security {
        for (sign, descriptor) in [("-", &pair.old), ("+", &pair.new)] {
            let descriptor = descriptor.as_ref().map_or_else(|| "none".to_owned(), |bytes| security(bytes));
            let _ = writeln!(text, "{sign}    security {}", printable(&descriptor));
        }
    }
    text
}

fn report(path: String, difference: &KeyDifference) -> DifferenceReport {
    let pair = |value: &vhdmount::image::registry::diff::ValueDifference| ValuePair {
        old: value.old.as_ref().map(Into::into),
        new: value.new.as_ref().map(Into::into),
    };
    let sddl = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| security(bytes));
    DifferenceReport {
        path,
        change: difference.change,
        values: difference.values.iter().map(pair).collect(),
        security: difference.security.as_ref().map(|pair| [sddl(&pair.old), sddl(&pair.new)]),
    }
}
