//! `vhdmount reg query`

use std::{
    io::{self, BufWriter, Write},
    ops::ControlFlow,
};

use vhdmount::{
    Error,
    image::registry::{Found, FoundKey},
    registry::{Deleted, Key, Value, fold},
};

use super::{
    config::{Query, Which},
    json::{self, DeletedReport, KeyReport, Problem, Problems},
    text::{Printer, notes, time},
};
use crate::cli::{Class, Failure, complain, exit::ended, rows::Rows};

pub(super) fn run(command: &Query) -> Result<(), Failure> {
    let registry = command.place.registry()?;
    // Without a key of a disk: what has hives at all.
    let found = match registry.find(&command.key) {
        Err(Error::Invalid(_)) if command.key.is_empty() => {
            let below = registry.hives();
            return names(command, "", &below);
        }
        found => found.map_err(Failure::inside_text)?,
    };
    match found {
        Found::Names { name, below } => {
            let below: Vec<_> = below.iter().map(|below| format!("{name}\\{below}")).collect();
            names(command, &name, &below)
        }
        Found::Key(found) => of_key(command, &found),
    }
}

/// Above the hives.
fn names(command: &Query, name: &str, below: &[String]) -> Result<(), Failure> {
    if command.recursive || !matches!(command.which, Which::Everything) || command.deleted {
        return Err(Failure::usage("values, and searches, need a key of one hive, as in HKLM\\SOFTWARE"));
    }
    if command.json {
        let mut out = BufWriter::new(io::stdout().lock());
        let key = KeyReport { path: name.to_owned(), subkeys: below.to_vec(), ..KeyReport::default() };
        let mut keys = rows(command, name, "");
        let written = keys.row(&mut out, &key).and_then(|()| {
            end_of_keys(&mut out, &mut keys, None)?;
            Rows::further("deleted").end(&mut out)?;
            json::problems(&mut out, &[])
        });
        return ended(written, None);
    }
    let mut out = Printer::new(BufWriter::new(io::stdout().lock()), &command.show);
    let written = out.as_mut().map_err(|error| io::Error::from(error.kind())).and_then(|out| {
        below.iter().try_for_each(|name| out.name(name, &[]))?;
        out.out.flush()
    });
    ended(written, None)
}

/// The document, up to its keys.
fn rows(command: &Query, key: &str, hive: &str) -> Rows {
    let image = command.place.source.image.display().to_string();
    Rows::new(json::QUERY, &[("image", &image), ("key", key), ("hive", hive)], "keys")
}

/// Ends the list of keys. `matches`: of a search.
fn end_of_keys(out: &mut impl Write, keys: &mut Rows, matches: Option<u64>) -> io::Result<()> {
    keys.end(out)?;
    match matches {
        Some(matches) => write!(out, ",\n\"matches\": {matches}"),
        None => out.write_all(b",\n\"matches\": null"),
    }
}

/// Where a query goes: keys as they are found.
trait Output {
    /// The key that was asked for.
    fn first(&mut self, found: &Item<'_>) -> io::Result<()>;
    /// A key below it; with `values` when the query is recursive or searches.
    fn below(&mut self, found: &Item<'_>, block: bool) -> io::Result<()>;
}

/// A key that is shown.
struct Item<'a> {
    name: String,
    key: &'a Key,
    values: Vec<Value>,
}

fn of_key(command: &Query, found: &FoundKey) -> Result<(), Failure> {
    let mut query = Run { command, found, problems: Problems::default(), matches: 0 };
    if command.json {
        return query.json();
    }
    let written = query.text();
    for Problem { path, problem } in &query.problems.0 {
        complain(&vhdmount::printable::printable(&format!("{path}: {problem}")));
    }
    let failed = match &command.which {
        _ if !query.problems.0.is_empty() => Some(Failure::printed(Class::Inside)),
        Which::Value(name) if query.matches == 0 && !command.recursive => Some(Failure::inside_text(
            format_args!("{} has no value {}", found.name, if name.is_empty() { "(Default)" } else { name }),
        )),
        Which::Everything => None,
        _ if query.matches == 0 => Some(Failure::printed(Class::Inside)),
        _ => None,
    };
    ended(written, failed)
}

/// A query of a key.
struct Run<'a> {
    command: &'a Query,
    found: &'a FoundKey,
    problems: Problems,
    matches: u64,
}

impl Run<'_> {
    fn text(&mut self) -> io::Result<()> {
        let command = self.command;
        let mut out = Texts {
            printer: Printer::new(BufWriter::with_capacity(1 << 16, io::stdout().lock()), &command.show)?,
            found: self.found,
            problems: Problems::default(),
        };
        if let (Which::Value(name), false) = (&command.which, command.recursive) {
            self.one_value(name, &mut out)?;
        } else {
            self.keys(&mut out)?;
        }
        let counted = match &command.which {
            Which::Everything => false,
            Which::Value(_) => command.recursive,
            Which::Found(_) => true,
        };
        if counted {
            out.printer.gap()?;
            out.printer.line(&format!("End of search: {} match(es) found.", self.matches))?;
        }
        if command.deleted {
            self.deleted_text(&mut out.printer)?;
        }
        self.problems.0.append(&mut out.problems.0);
        out.printer.out.flush()
    }

    /// The value that was asked for; the default value is shown even if it is not there.
    fn one_value(&mut self, name: &str, out: &mut Texts<'_, impl Write>) -> io::Result<()> {
        let values = self.values(&self.found.key.clone(), &[]);
        if values.is_empty() && name.is_empty() {
            self.matches += 1;
            out.printer.name(&self.found.name, &[])?;
            out.printer.line("    (Default)    REG_SZ    (value not set)")?;
            return out.printer.gap();
        }
        if values.is_empty() {
            return Ok(());
        }
        let found = self.found;
        out.first(&Item { name: found.name.clone(), key: &found.key, values })
    }

    /// All keys that are asked for.
    fn keys(&mut self, out: &mut dyn Output) -> io::Result<()> {
        let found = self.found;
        let mut written = Ok(());
        let recursive = self.command.recursive;
        if recursive {
            let _ = found.hive.hive.walk(&found.key, &mut |path, key| {
                match key {
                    Ok(key) => written = self.key(path, key, out, true),
                    Err(error) => self.problem(path, &error),
                }
                if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            return written;
        }
        self.key(&[], &found.key, out, false)?;
        let mut subkeys = Vec::new();
        let listed = found.hive.hive.each_subkey(&found.key, &mut |key| subkeys.push(key));
        if let Err(error) = listed {
            self.problem(&[], &error);
        }
        for subkey in subkeys {
            match subkey {
                Ok(subkey) => self.key(&subkey.name.clone(), &subkey, out, false)?,
                Err(error) => self.problem(&[], &error),
            }
        }
        Ok(())
    }

    /// A key at a path below the first one.
    fn key(&mut self, path: &[u16], key: &Key, out: &mut dyn Output, recursive: bool) -> io::Result<()> {
        let name = self.name(path);
        let is_first = path.is_empty();
        // Of subkeys that are listed alone values are not looked at.
        let values = if is_first || recursive { self.values(key, path) } else { Vec::new() };
        let item = Item { name, key, values };
        match &self.command.which {
            Which::Everything if is_first => out.first(&item),
            Which::Everything => out.below(&item, recursive),
            Which::Value(_) if item.values.is_empty() => Ok(()),
            Which::Value(_) => out.below(&item, true),
            Which::Found(search) => {
                let by_name = !is_first && search.finds_key(key);
                self.matches += u64::from(by_name);
                match (by_name, item.values.is_empty()) {
                    (_, false) => out.below(&item, true),
                    (true, true) => out.below(&item, false),
                    (false, true) => Ok(()),
                }
            }
        }
    }

    /// The name of the key at a path below the first one.
    fn name(&self, path: &[u16]) -> String {
        match path.is_empty() {
            true => self.found.name.clone(),
            false => format!("{}\\{}", self.found.name, String::from_utf16_lossy(path)),
        }
    }

    /// The values of a key that are asked for.
    fn values(&mut self, key: &Key, path: &[u16]) -> Vec<Value> {
        let (mut values, mut errors) = (Vec::new(), Vec::new());
        let command = self.command;
        let is_wanted = |value: &Value| match &command.which {
            Which::Everything => true,
            Which::Value(name) => fold(&value.name) == fold(&name.encode_utf16().collect::<Vec<_>>()),
            Which::Found(search) => search.finds_value(value, &command.show.separator),
        };
        let listed = self.found.hive.hive.each_value(key, usize::MAX, &mut |value| match value {
            Ok(value) if is_wanted(&value) => values.push(value),
            Ok(_) => {}
            Err(error) if errors.len() < Problems::MAX => errors.push(error),
            Err(_) => {}
        });
        for error in errors.iter().chain(listed.as_ref().err()) {
            self.problem(path, error);
        }
        self.matches += values.len() as u64;
        values
    }

    fn problem(&mut self, path: &[u16], error: &Error) {
        self.problems.add(&self.name(path), error);
    }

    fn json(&mut self) -> Result<(), Failure> {
        let written = self.document();
        let nothing = self.matches == 0 && !matches!(self.command.which, Which::Everything);
        let failed = nothing || !self.problems.0.is_empty();
        ended(written, failed.then(|| Failure::printed(Class::Inside)))
    }

    fn document(&mut self) -> io::Result<()> {
        let found = self.found;
        let mut keys = Documents {
            out: BufWriter::with_capacity(1 << 16, io::stdout().lock()),
            rows: rows(self.command, &found.name, &found.hive.file),
            last: None,
            found,
            security: self.command.show.security,
            search: matches!(self.command.which, Which::Found(_)),
            problems: Problems::default(),
        };
        self.keys(&mut keys)?;
        keys.write_last()?;
        self.problems.0.append(&mut keys.problems.0);
        let Documents { mut out, mut rows, .. } = keys;
        let searched = !matches!(self.command.which, Which::Everything);
        end_of_keys(&mut out, &mut rows, searched.then_some(self.matches))?;
        let mut deleted = Rows::further("deleted");
        if self.command.deleted {
            self.each_deleted(&mut |path, last_written, values| {
                let values = values.iter().map(Into::into).collect();
                deleted.row(&mut out, &DeletedReport { path, last_written: last_written.map(time), values })
            })?;
        }
        deleted.end(&mut out)?;
        json::problems(&mut out, &self.problems.0)
    }

    fn deleted_text(&mut self, printer: &mut Printer<'_, impl Write>) -> io::Result<()> {
        printer.gap()?;
        printer.note("deleted keys and values, as far as they are still there:")?;
        let times = self.command.show.times;
        self.each_deleted(&mut |path, last_written, values| {
            let name = path.unwrap_or_else(|| "(place unknown)".to_owned());
            let notes = match last_written {
                Some(written) if times => vec![format!("last written {} UTC", time(written))],
                _ => Vec::new(),
            };
            printer.block(&name, &notes, &values)
        })
    }

    /// Calls `f` with what was deleted below the key: path, time, values. What is nowhere any more belongs to the root.
    fn each_deleted(
        &mut self,
        f: &mut dyn FnMut(Option<String>, Option<u64>, Vec<Value>) -> io::Result<()>,
    ) -> io::Result<()> {
        let found = self.found;
        let above: Vec<Vec<u16>> =
            found.path.iter().map(|name| fold(&name.encode_utf16().collect::<Vec<_>>())).collect();
        let mut written = Ok(());
        let searched = found.hive.hive.each_deleted(&mut |deleted| {
            written = match deleted {
                Deleted::Value(value) if above.is_empty() => f(None, None, vec![value]),
                Deleted::Value(_) => Ok(()),
                Deleted::Key { key, path, values } => {
                    let values: Vec<Value> = values.into_iter().filter_map(Result::ok).collect();
                    match path {
                        None if above.is_empty() => {
                            let name = String::from_utf16_lossy(&key.name);
                            f(Some(format!("(place unknown)\\{name}")), Some(key.last_written), values)
                        }
                        None => Ok(()),
                        Some(path) => {
                            let is_below = path.len() >= above.len()
                                && above.iter().zip(&path).all(|(above, name)| *above == fold(name));
                            let rest = path.iter().skip(above.len()).chain([&key.name]);
                            let name = rest.fold(found.name.clone(), |path, name| {
                                path + "\\" + &String::from_utf16_lossy(name)
                            });
                            if is_below { f(Some(name), Some(key.last_written), values) } else { Ok(()) }
                        }
                    }
                }
            };
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        if let Err(error) = searched {
            self.problem(&[], &error);
        }
        written
    }
}

/// Text, as reg.exe prints it.
struct Texts<'a, W> {
    printer: Printer<'a, W>,
    found: &'a FoundKey,
    problems: Problems,
}

impl<W: Write> Texts<'_, W> {
    fn notes(&mut self, item: &Item<'_>) -> Vec<String> {
        let problems = &mut self.problems;
        notes(&self.found.hive.hive, item.key, self.printer.show, &mut |error| {
            problems.add(&item.name, error)
        })
    }
}

impl<W: Write> Output for Texts<'_, W> {
    fn first(&mut self, item: &Item<'_>) -> io::Result<()> {
        let notes = self.notes(item);
        // Without values the heading has nothing to head.
        if !item.values.is_empty() || !notes.is_empty() {
            self.printer.block(&item.name, &notes, &item.values)?;
        }
        match self.found.link {
            Some(link) => self.printer.name(&format!("{}\\{link}", self.found.name), &[]),
            None => Ok(()),
        }
    }

    fn below(&mut self, item: &Item<'_>, block: bool) -> io::Result<()> {
        let notes = self.notes(item);
        match block {
            true => self.printer.block(&item.name, &notes, &item.values),
            false => self.printer.name(&item.name, &notes),
        }
    }
}

/// JSON, a key a line. One key is kept, to which the names of its subkeys are added.
struct Documents<'a, W> {
    out: W,
    rows: Rows,
    last: Option<KeyReport>,
    found: &'a FoundKey,
    security: bool,
    /// Keys are found by their names; otherwise they are subkeys of the first one.
    search: bool,
    problems: Problems,
}

impl<W: Write> Documents<'_, W> {
    fn write_last(&mut self) -> io::Result<()> {
        self.last.take().map_or(Ok(()), |key| self.rows.row(&mut self.out, &key))
    }
}

impl<W: Write> Output for Documents<'_, W> {
    fn first(&mut self, item: &Item<'_>) -> io::Result<()> {
        self.below(item, true)?;
        let link = self.found.link.map(str::to_owned);
        self.last.iter_mut().for_each(|key| key.subkeys.extend(link.clone()));
        Ok(())
    }

    fn below(&mut self, item: &Item<'_>, block: bool) -> io::Result<()> {
        match &mut self.last {
            Some(first) if !block && !self.search => {
                first.subkeys.push(String::from_utf16_lossy(&item.key.name));
            }
            _ => {
                self.write_last()?;
                let problems = &mut self.problems;
                self.last = Some(KeyReport::new(
                    &self.found.hive.hive,
                    item.name.clone(),
                    item.key,
                    self.security,
                    &item.values,
                    &mut |error| problems.add(&item.name, error),
                ));
            }
        }
        Ok(())
    }
}
