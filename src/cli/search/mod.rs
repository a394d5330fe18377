//! `vhdmount find`: prints the paths inside an image that an expression matches, as they are found.

mod expression;
mod walk;
pub(super) mod words;

use std::{
    cell::OnceCell,
    io::{IsTerminal, Write},
    ops::ControlFlow,
    time::SystemTime,
};

use serde::Serialize;
use vhdmount::{
    Error, Result,
    fs::{
        DirCursor, FileSystem, NameBuf, NodeId, NodeKind, Stat, Streams, Timestamp, Xattrs, deleted, orphans,
        reach,
    },
    tree::Tree,
};

use self::{
    expression::{Expression, Test, Which, kind_letter},
    walk::{Visited, walk},
};
use super::{
    Failure, args,
    config::Source,
    date::iso,
    exit::ended,
    expand::expand_all,
    find,
    ls::{Notes, shown},
};

/// Extended attribute that says what is left of a deleted file.
const STATE: &str = "user.vhdmount.state";

/// The resolved arguments.
pub(crate) struct Config {
    pub(crate) source: Source,
    paths: Vec<String>,
    expression: Expression,
    /// Directories added to each volume that are searched instead of it.
    lost: Vec<&'static str>,
    streams: bool,
    json: bool,
}

impl Config {
    /// # Errors
    /// When the expression is invalid.
    pub(super) fn resolve(find: args::Find) -> std::result::Result<Self, Failure> {
        let expression = Expression::parse(&find.expression)?;
        if find.json && expression.nul {
            return Err(Failure::usage("find: --json and -print0: one form or the other"));
        }
        let lost = [(find.deleted, deleted::NAME), (find.orphans, orphans::NAME)];
        Ok(Self {
            source: Source::new(find.image, &find.open, &find.view),
            paths: find.path,
            expression,
            lost: lost.into_iter().filter(|(wanted, _)| *wanted).map(|(_, name)| name).collect(),
            streams: find.streams,
            json: find.json,
        })
    }
}

pub(super) fn run(command: &Config) -> std::result::Result<(), Failure> {
    let image = command.source.open()?;
    let tree = command.source.tree(&image)?;
    let terminal = std::io::stdout().is_terminal();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    search(&tree, command, &mut out, terminal)
}

/// Prints what the command finds. `terminal`: paths are made printable.
fn search(
    tree: &Tree,
    command: &Config,
    out: &mut dyn Write,
    terminal: bool,
) -> std::result::Result<(), Failure> {
    let mut after = Vec::new();
    files(&command.expression.matching, &mut |path| {
        let stat = find(tree, path)
            .and_then(|node| tree.stat(node).map_err(|error| Failure::inside(path, error)))?;
        after.push((path.to_owned(), stat.times.modified));
        Ok(())
    })?;
    let mut notes = Notes::default();
    let starts = starts(tree, command, &mut notes)?;
    let now = Timestamp::from(SystemTime::now());
    let needs_stats = command.json || asks_stat(&command.expression.matching);
    let mut finder = Finder { tree, command, out, terminal, now, after };
    let mut written = Ok(());
    for (path, node, is_lost) in &starts {
        let text = path.as_bytes();
        let name = text.rsplit(|byte| *byte == b'/').next().unwrap_or(text);
        let text = if text.is_empty() { b"/" } else { text };
        let kind = tree.stat(*node).map_err(|error| Failure::inside(path, error))?.kind;
        let start = Visited { path: text, name, node: *node, kind, dir: *node, depth: 0 };
        let max_depth = command.expression.max_depth;
        let below = (path.as_bytes(), *node);
        written = (|| {
            if !is_lost {
                finder.visit(&mut notes, &start)?;
            }
            match kind {
                NodeKind::Directory => {
                    walk(tree, below, max_depth, needs_stats, &mut notes, &mut |notes, entry| {
                        finder.visit(notes, entry)
                    })
                }
                _ => Ok(()),
            }
        })();
        if written.is_err() {
            break;
        }
    }
    let written = written.and_then(|()| finder.out.flush());
    ended(written, notes.end())
}

/// Calls `each` with the paths of all `-newer`.
fn files(
    test: &Test,
    each: &mut dyn FnMut(&str) -> std::result::Result<(), Failure>,
) -> std::result::Result<(), Failure> {
    match test {
        Test::All(tests) | Test::Any(tests) => tests.iter().try_for_each(|test| files(test, each)),
        Test::Not(test) => files(test, each),
        Test::AfterFile(path) => each(path),
        _ => Ok(()),
    }
}

/// True if the metadata of most entries is asked for.
fn asks_stat(test: &Test) -> bool {
    match test {
        Test::All(tests) | Test::Any(tests) => tests.first().is_some_and(asks_stat),
        Test::Not(test) => asks_stat(test),
        Test::Name(_) | Test::Path(_) => false,
        _ => true,
    }
}

/// Where the search begins: the path, its node, and whether it is the directory of lost files.
fn starts(
    tree: &Tree,
    command: &Config,
    notes: &mut Notes,
) -> std::result::Result<Vec<(String, NodeId, bool)>, Failure> {
    let mut starts = Vec::new();
    let missed = &mut |path: &str, error| notes.error(path.as_bytes(), error);
    for path in expand_all(tree, &command.paths, missed)? {
        let node = find(tree, &path)?;
        let path = path.trim_matches('/').to_owned();
        if node == Tree::ROOT {
            notes.hidden(tree);
        }
        if command.lost.is_empty() {
            starts.push((path, node, false));
            continue;
        }
        let volumes: Vec<_> = match tree.volume_at(node) {
            Some(volume) => vec![(path, node, volume)],
            None if node == Tree::ROOT => {
                let named = tree.volumes().iter();
                named
                    .map(|volume| Ok((volume.name.clone(), find(tree, &volume.name)?, volume)))
                    .collect::<std::result::Result<_, Failure>>()?
            }
            None => {
                let text = "--deleted and --orphans search whole volumes, as in `find --deleted IMAGE p3`";
                return Err(Failure::inside(path, text));
            }
        };
        for (path, root, volume) in volumes {
            for name in &command.lost {
                let is_examined = match *name {
                    deleted::NAME => volume.fs.deleted().is_some(),
                    _ => volume.fs.orphans().is_some(),
                };
                if !is_examined {
                    let what = if *name == deleted::NAME { "deleted files" } else { "files without a name" };
                    notes.not_examined(volume, what);
                    continue;
                }
                let inside = |error: Error| Failure::inside(&path, error);
                let at = if path.is_empty() { (*name).to_owned() } else { format!("{path}/{name}") };
                let dir = tree.lookup(root, NameBuf::literal(name).as_name()).map_err(inside)?;
                starts.extend(dir.map(|dir| (at, dir, true)));
            }
        }
    }
    Ok(starts)
}

struct Finder<'a> {
    tree: &'a Tree,
    command: &'a Config,
    out: &'a mut dyn Write,
    terminal: bool,
    now: Timestamp,
    /// Paths of `-newer` and when they were modified.
    after: Vec<(String, Timestamp)>,
}

/// A file or stream under test, whose metadata is read when something asks for it.
struct Candidate<'a> {
    tree: &'a Tree,
    path: &'a [u8],
    name: &'a [u8],
    /// True in the directories of lost files.
    lost: bool,
    node: NodeId,
    stat: OnceCell<Result<Stat>>,
}

/// A line of `--json`.
#[derive(Serialize)]
struct Row<'a> {
    schema: &'static str,
    path: &'a str,
    #[serde(rename = "type")]
    kind: char,
    /// `null`, as the other ones, where the metadata cannot be read.
    size: Option<u64>,
    allocated: Option<u64>,
    modified: Option<String>,
    created: Option<String>,
    changed: Option<String>,
    accessed: Option<String>,
    /// `FILE_ATTRIBUTE_*` bits.
    attributes: Option<u32>,
    /// Of a lost file: the path that it had or should have, and what is left of it.
    former_path: Option<String>,
    state: Option<String>,
}

impl Finder<'_> {
    fn visit(&mut self, notes: &mut Notes, entry: &Visited<'_>) -> std::io::Result<()> {
        if entry.depth < self.command.expression.min_depth {
            return Ok(());
        }
        let lost = !self.command.lost.is_empty();
        let candidate = Candidate {
            tree: self.tree,
            path: entry.path,
            name: if entry.name.is_empty() { b"/" } else { entry.name },
            lost,
            node: entry.node,
            stat: OnceCell::new(),
        };
        self.test(notes, &candidate, entry.kind)?;
        if !self.command.streams {
            return Ok(());
        }
        let settled = candidate.settled(entry);
        let streams = match settled.and_then(|node| self.tree.streams().list_streams(node)) {
            Ok(streams) => streams,
            Err(error) => {
                notes.error(entry.path, error);
                return Ok(());
            }
        };
        for stream in streams {
            let text = stream.name.as_name().to_text();
            let node = self.tree.streams().lookup_stream(entry.node, stream.name.as_name());
            let (path, name) = ([entry.path, b":", &text].concat(), [entry.name, b":", &text].concat());
            match node {
                Ok(Some(node)) => {
                    let stat = OnceCell::new();
                    let candidate = Candidate { tree: self.tree, path: &path, name: &name, lost, node, stat };
                    self.test(notes, &candidate, NodeKind::File)?;
                }
                Ok(None) => {}
                Err(error) => notes.error(&path, error),
            }
        }
        Ok(())
    }

    /// Prints the candidate if it matches; what cannot be decided is noted.
    fn test(&mut self, notes: &mut Notes, candidate: &Candidate<'_>, kind: NodeKind) -> std::io::Result<()> {
        let matches = self.matches(&self.command.expression.matching, candidate);
        let problem = match matches {
            Some(false) => return Ok(()),
            Some(true) => None,
            None => candidate.stat.get().and_then(|stat| stat.as_ref().err()),
        };
        if matches.is_none() {
            let text = problem.map_or_else(|| "its entries cannot be read".to_owned(), ToString::to_string);
            notes.error(candidate.path, Error::invalid(format!("{text}; not known whether it matches")));
            return Ok(());
        }
        if self.command.json {
            return self.row(candidate, kind);
        }
        let end = if self.command.expression.nul { b"\0" } else { b"\n" };
        let terminal = self.terminal && !self.command.expression.nul;
        self.out.write_all(&shown(candidate.path, terminal))?;
        self.out.write_all(end)
    }

    fn row(&mut self, candidate: &Candidate<'_>, kind: NodeKind) -> std::io::Result<()> {
        let stat = candidate.stat().ok();
        let text = |name: &str| {
            let value = self.tree.xattrs().xattr(candidate.node, name).ok().flatten()?;
            Some(String::from_utf8_lossy(&value).into_owned())
        };
        let of_lost = |name: &str| candidate.lost.then(|| text(name)).flatten();
        let row = Row {
            schema: "find/1",
            path: &String::from_utf8_lossy(candidate.path),
            kind: kind_letter(stat.map_or(kind, |stat| stat.kind)),
            size: stat.map(|stat| stat.size),
            allocated: stat.map(|stat| stat.allocated),
            modified: stat.map(|stat| iso(stat.times.modified)),
            created: stat.map(|stat| iso(stat.times.created)),
            changed: stat.map(|stat| iso(stat.times.changed)),
            accessed: stat.map(|stat| iso(stat.times.accessed)),
            attributes: stat.map(|stat| stat.attributes),
            former_path: of_lost(deleted::PATH),
            state: of_lost(STATE),
        };
        serde_json::to_writer(&mut *self.out, &row)?;
        self.out.write_all(b"\n")
    }

    /// Evaluates a test as find(1) does, from the left, no further than needed. `None`: what it depends on cannot be read.
    fn matches(&self, test: &Test, candidate: &Candidate<'_>) -> Option<bool> {
        let stat = || candidate.stat().ok();
        Some(match test {
            Test::All(tests) => {
                for test in tests {
                    if !self.matches(test, candidate)? {
                        return Some(false);
                    }
                }
                true
            }
            Test::Any(tests) => {
                for test in tests {
                    if self.matches(test, candidate)? {
                        return Some(true);
                    }
                }
                false
            }
            Test::Not(test) => !self.matches(test, candidate)?,
            Test::Name(pattern) => {
                pattern.matches(candidate.name)
                    || candidate.own_name().is_some_and(|name| pattern.matches(name))
            }
            Test::Path(pattern) => {
                pattern.matches(candidate.path)
                    || candidate.former_path().is_some_and(|path| pattern.matches(&path))
            }
            Test::Kind(letters) => letters.contains(&kind_letter(stat()?.kind)),
            Test::Size(compare, unit) => compare.fits(stat()?.size.div_ceil(*unit).into()),
            Test::Empty => self.is_empty(candidate)?,
            Test::After(which, date) => time(*which, stat()?) > *date,
            Test::AfterFile(path) => {
                let (_, date) = self.after.iter().find(|(file, _)| file == path)?;
                stat()?.times.modified > *date
            }
            Test::Age(which, compare, unit) => {
                let nanos =
                    |time: Timestamp| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
                let age = nanos(self.now) - nanos(time(*which, stat()?));
                compare.fits(age.div_euclid(i128::from(*unit) * 1_000_000_000))
            }
        })
    }

    fn is_empty(&self, candidate: &Candidate<'_>) -> Option<bool> {
        let stat = candidate.stat().ok()?;
        match stat.kind {
            NodeKind::File => Some(stat.size == 0),
            NodeKind::Directory => {
                let mut empty = true;
                let read = self.tree.read_dir(candidate.node, DirCursor::default(), &mut |_| {
                    empty = false;
                    ControlFlow::Break(())
                });
                // An unreadable directory may have held something.
                match read {
                    Err(_) if empty => None,
                    _ => Some(empty),
                }
            }
            _ => Some(false),
        }
    }
}

impl Candidate<'_> {
    fn stat(&self) -> std::result::Result<&Stat, &Error> {
        self.stat.get_or_init(|| self.tree.stat(self.node)).as_ref()
    }

    /// The node to ask for streams: that of a link or directory that the listing states as a file is found by its name.
    fn settled(&self, entry: &Visited<'_>) -> Result<NodeId> {
        let Ok(stat) = self.stat() else { return Ok(self.node) };
        match NameBuf::from_text(entry.name).filter(|_| entry.depth > 0) {
            Some(name) => reach::settle(self.tree, entry.dir, name.as_name(), entry.node, entry.kind, stat),
            None => Ok(self.node),
        }
    }

    /// The name of a lost file without the number in front.
    fn own_name(&self) -> Option<&[u8]> {
        let digits = self.name.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.name[digits..].strip_prefix(b"-").filter(|_| self.lost && digits > 0)
    }

    /// The path that a lost file had, with its volume in front as in every other path.
    fn former_path(&self) -> Option<Vec<u8>> {
        if !self.lost {
            return None;
        }
        let path = self.tree.xattrs().xattr(self.node, deleted::PATH).ok().flatten()?;
        let volume = self.path.split(|byte| *byte == b'/').next().filter(|first| !first.starts_with(b"."));
        Some(volume.map_or_else(|| path.clone(), |volume| [volume, b"/", &path].concat()))
    }
}

fn time(which: Which, stat: &Stat) -> Timestamp {
    match which {
        Which::Created => stat.times.created,
        Which::Modified => stat.times.modified,
        Which::Changed => stat.times.changed,
        Which::Accessed => stat.times.accessed,
    }
}
