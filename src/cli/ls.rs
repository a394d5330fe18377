//! `vhdmount ls`

mod notes;

use std::{
    borrow::Cow,
    io::{IsTerminal, Write},
    ops::ControlFlow,
};

use vhdmount::{
    Error, Result,
    fs::{DirCursor, FileSystem, NameBuf, NodeId, NodeKind, Stat, reach},
    printable::printable_bytes,
    size::human,
    tree::{Namespace, Tree},
};

pub(super) use self::notes::Notes;
use super::{Failure, config::Ls, date::date, deleted, exit::ended, expand::expand_all, find};

/// Longest path in bytes: Windows' longest has 32,767 units of at most three bytes each. Deeper directories are listed,
/// not entered: each listing prints its path, so a chain of a million directories would print a million long paths.
pub(super) const MAX_PATH: usize = 96 << 10;

pub(super) fn run(command: &Ls) -> std::result::Result<(), Failure> {
    let image = command.source.open()?;
    let tree = command.source.tree(&image)?;
    let terminal = std::io::stdout().is_terminal();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    list(&tree, command, &mut out, terminal)
}

/// Lists what the command names. `terminal`: names are made printable.
pub(super) fn list(
    tree: &Tree,
    command: &Ls,
    mut out: impl Write,
    terminal: bool,
) -> std::result::Result<(), Failure> {
    if let Some(lost) = command.lost {
        return deleted::list(tree, command, lost, out, terminal);
    }
    let notes = Notes::default();
    let mut list = Listing { tree, command, out: &mut out, terminal, begun: false, headings: false, notes };
    let written = list.paths()?;
    let failed = list.notes.end();
    ended(written.and_then(|()| out.flush()), failed)
}

/// A directory on the path to the current one.
struct Level {
    /// Length of its path in bytes.
    path: usize,
    /// Its subdirectories still to be entered, the next one last.
    below: Vec<(Vec<u8>, NodeId)>,
}

struct Listing<'a, W> {
    tree: &'a Tree,
    command: &'a Ls,
    out: &'a mut W,
    terminal: bool,
    /// True after the first directory: later headings are preceded by an empty line.
    begun: bool,
    /// Directories are preceded by their paths.
    headings: bool,
    /// Notes on entries that could not be listed.
    notes: Notes,
}

impl<W: Write> Listing<'_, W> {
    /// Lists every path of the command: `Err` when one cannot be found, `Ok(Err)` when the output is closed.
    fn paths(&mut self) -> std::result::Result<std::io::Result<()>, Failure> {
        let notes = &mut self.notes;
        let missed = &mut |path: &str, error| notes.error(path.as_bytes(), error);
        let paths = expand_all(self.tree, &self.command.paths, missed)?;
        self.headings = self.command.recursive || paths.len() > 1;
        for path in &paths {
            let node = find(self.tree, path)?;
            let inside = |error| Failure::inside(path, error);
            if node == Tree::ROOT {
                self.notes.hidden(self.tree);
            }
            let written = match self.tree.stat(node).map_err(inside)?.kind {
                NodeKind::Directory => self.directory(path, node),
                _ => self.entry(b"", path.as_bytes(), node, None),
            };
            if written.is_err() {
                return Ok(written);
            }
        }
        Ok(Ok(()))
    }

    /// Lists a directory, with `-R` and everything below it, in the format of ls(1): `path:` before each. Keeps one path
    /// and, for each directory on it, the subdirectories still to be entered.
    fn directory(&mut self, path: &str, root: NodeId) -> std::io::Result<()> {
        let mut path = path.trim_end_matches('/').as_bytes().to_vec();
        let mut levels = vec![Level { path: path.len(), below: self.list(&path, root)? }];
        while let Some(level) = levels.last_mut() {
            path.truncate(level.path);
            let Some((name, node)) = level.below.pop() else {
                levels.pop();
                continue;
            };
            if path.len() + 1 + name.len() > MAX_PATH {
                let shown = [&path[..path.len().min(40)], b"\xe2\x80\xa6/", &name].concat();
                let problem =
                    format!("{} directories deep, in a path of over {MAX_PATH} bytes", levels.len());
                self.notes.error(&shown, Error::unsupported(problem + ": listed, not entered"));
                continue;
            }
            path.push(b'/');
            path.extend_from_slice(&name);
            if reach::is_misplaced(node) {
                self.notes.misplaced(&path, || {
                    entries(self.tree, node).1.unwrap_or_else(|| Error::not_found("no way"))
                });
                continue;
            }
            let below = self.list(&path, node)?;
            levels.push(Level { path: path.len(), below });
        }
        Ok(())
    }

    /// Lists one directory; returns the subdirectories to enter, the first one last.
    fn list(&mut self, path: &[u8], dir: NodeId) -> std::io::Result<Vec<(Vec<u8>, NodeId)>> {
        if self.headings {
            let shown = if path.is_empty() { b"/" } else { path };
            let gap: &[u8] = if self.begun { b"\n" } else { b"" };
            self.out.write_all(&[gap, &self.shown(shown), b":\n"].concat())?;
        }
        self.begun = true;
        let (entries, error) = entries(self.tree, dir);
        if let Some(error) = error {
            self.notes.error(path, error);
        }
        let mut below = Vec::new();
        for (name, node, kind) in entries {
            self.entry(path, &name, node, Some((dir, kind)))?;
            if self.command.recursive && kind == NodeKind::Directory {
                below.push((name, node));
            }
        }
        below.reverse();
        Ok(below)
    }

    /// Prints one line; `listed`: the directory that lists the entry, and the kind that it states.
    fn entry(
        &mut self,
        dir: &[u8],
        name: &[u8],
        node: NodeId,
        listed: Option<(NodeId, NodeKind)>,
    ) -> std::io::Result<()> {
        if self.command.long {
            match self.tree.stat(node) {
                Ok(stat) => {
                    let time = date(stat.times.modified);
                    let size = match self.command.human_readable {
                        true => human(stat.size),
                        false => stat.size.to_string(),
                    };
                    write!(self.out, "{} {size:>14} {time} ", letter(stat.kind))?;
                    if stat.kind == NodeKind::Symlink {
                        let target = self.listed_target(node, name, listed, &stat);
                        let target = target.unwrap_or_else(|_| b"?".to_vec());
                        let (name, target) = (self.shown(name), self.shown(&target));
                        return self.out.write_all(&[&name, &b" -> "[..], &target, b"\n"].concat());
                    }
                }
                Err(error) => {
                    self.notes.error(&[dir, if dir.is_empty() { b"" } else { b"/" }, name].concat(), error);
                    write!(self.out, "? {:>14} {:19} ", "?", "?")?;
                }
            }
        }
        self.out.write_all(&[&self.shown(name), &b"\n"[..]].concat())
    }

    /// As [`Self::target`]; a link that the directory lists as a file may not be reachable from it.
    fn listed_target(
        &self,
        node: NodeId,
        name: &[u8],
        listed: Option<(NodeId, NodeKind)>,
        stat: &Stat,
    ) -> Result<Vec<u8>, Error> {
        let node = match (listed, NameBuf::from_text(name)) {
            (Some((dir, kind)), Some(name)) => {
                reach::settle(self.tree, dir, name.as_name(), node, kind, stat)?
            }
            _ => node,
        };
        self.target(node)
    }

    /// The target of a link inside the image. An absolute POSIX path, which may refer to a place outside, is returned as
    /// stored.
    fn target(&self, node: NodeId) -> Result<Vec<u8>, Error> {
        match self.tree.read_link(node)?.posix().filter(|path| path.starts_with(b"/")) {
            Some(path) => Ok(path),
            None => self.tree.read_link_text(node),
        }
    }

    fn shown<'n>(&self, name: &'n [u8]) -> Cow<'n, [u8]> {
        shown(name, self.terminal)
    }
}

/// A name from the image without control characters for a terminal, which it must not control. A file or a pipe gets the
/// name unchanged, as with ls(1) and find(1): programs that read it look for that very file.
pub(super) fn shown(name: &[u8], terminal: bool) -> Cow<'_, [u8]> {
    match terminal {
        true => printable_bytes(name).into_bytes().into(),
        false => name.into(),
    }
}

type NamedNode = (Vec<u8>, NodeId, NodeKind);

/// The readable entries of a directory by name, and the error if some are missing.
fn entries(tree: &Tree, dir: NodeId) -> (Vec<NamedNode>, Option<Error>) {
    let mut entries = Vec::new();
    let listed: Result<()> = tree.read_dir(dir, DirCursor::default(), &mut |entry| {
        entries.push((entry.name.to_text(), entry.node, entry.kind));
        ControlFlow::Continue(())
    });
    entries.sort();
    (entries, listed.err())
}

pub(super) fn letter(kind: NodeKind) -> char {
    match kind {
        NodeKind::File => '-',
        NodeKind::Directory => 'd',
        NodeKind::Symlink => 'l',
        NodeKind::Fifo => 'p',
        NodeKind::Socket => 's',
        NodeKind::CharDevice(..) => 'c',
        NodeKind::BlockDevice(..) => 'b',
    }
}
