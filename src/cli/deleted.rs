//! `vhdmount ls --deleted`, and the code that `--orphans` shares: one row for each deleted file, and for each of its
//! named streams, printed as they are found: nothing is collected, as there may be millions.

use std::{io::Write, ops::ControlFlow};

use serde::Serialize;
use vhdmount::{
    Result,
    fs::{
        Name, NodeId, NodeKind, Timestamp,
        deleted::{NAME, NumberedFile, State, Undelete},
    },
    size::human,
    tree::{Tree, Volume},
};

use super::{
    Failure,
    config::{Ls, Unlisted},
    date::date,
    exit::ended,
    expand::expand_all,
    find,
    ls::{Notes, letter, shown},
    rows::Rows,
};

/// The row of one file or stream.
#[derive(Default, Serialize)]
pub(super) struct Row {
    pub(super) volume: String,
    /// The MFT record, or the number of the FAT directory entry: the inode in The Sleuth Kit.
    pub(super) number: u64,
    /// The path for `vhdmount cat`.
    pub(super) entry: String,
    /// `null` when the directory that held it is lost.
    pub(super) path: Option<String>,
    pub(super) name: String,
    pub(super) kind: char,
    pub(super) size: u64,
    /// As text; `null` for directories and orphans, `damaged` where it is unknown.
    pub(super) state: Option<String>,
    pub(super) clusters: u64,
    pub(super) free: u64,
    pub(super) unstored: u64,
    pub(super) modified: String,
    pub(super) created: String,
    pub(super) changed: String,
    pub(super) accessed: String,
}

/// Lists the volumes that the command's paths name, or all of them.
pub(super) fn list(
    tree: &Tree,
    command: &Ls,
    lost: Unlisted,
    out: impl Write,
    terminal: bool,
) -> Result<(), Failure> {
    let (mut volumes, mut notes) = (Vec::<&Volume>::new(), Notes::default());
    let missed = &mut |path: &str, error| notes.error(path.as_bytes(), error);
    for path in &expand_all(tree, &command.paths, missed)? {
        let node = find(tree, path)?;
        match tree.volume_at(node) {
            Some(volume) => volumes.push(volume),
            None if node == Tree::ROOT => {
                volumes.extend(tree.volumes());
                notes.hidden(tree);
            }
            None => {
                let option = lost.option();
                let text = format!("{path}: {option} lists whole volumes, as in `ls {option} IMAGE p3`");
                return Err(Failure::inside(path, text));
            }
        }
    }
    let headings = volumes.len() > 1 && !command.json;
    let schema = if lost == Unlisted::Orphans { "orphans/1" } else { "deleted/1" };
    let json = command.json.then(|| Rows::new(schema, &[], "files"));
    let mut list = Listing { command, out, terminal, begun: false, json, notes };
    let mut failed = None;
    let written = volumes.iter().try_for_each(|volume| {
        if headings {
            let gap = if list.begun { "\n" } else { "" };
            writeln!(list.out, "{gap}{}:", volume.name)?;
        }
        if lost == Unlisted::Orphans {
            list.orphans(volume)?;
        } else if let Err(error) = list.volume(volume)? {
            failed.get_or_insert_with(|| Failure::inside(&volume.name, error));
        }
        Ok(())
    });
    let written = written.and_then(|()| list.end());
    let noted = list.notes.end();
    ended(written, failed.or(noted))
}

pub(super) struct Listing<'a, W> {
    command: &'a Ls,
    out: W,
    terminal: bool,
    /// True after the first row: later headings are preceded by an empty line.
    begun: bool,
    /// `None`: text.
    json: Option<Rows>,
    pub(super) notes: Notes,
}

impl<W: Write> Listing<'_, W> {
    /// Lists a volume: `Err` when the output is closed, `Ok(Err)` when the volume cannot be read any further.
    fn volume(&mut self, volume: &Volume) -> std::io::Result<Result<()>> {
        let Some(undelete) = volume.fs.deleted() else {
            self.notes.not_examined(volume, "deleted files");
            return Ok(Ok(()));
        };
        let mut written = Ok(());
        let listed = undelete.each(0, &mut |found| {
            written = rows(&*undelete, volume, &found).try_for_each(|row| self.row(&row));
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        written.map(|()| listed)
    }

    pub(super) fn recursive(&self) -> bool {
        self.command.recursive
    }

    pub(super) fn row(&mut self, row: &Row) -> std::io::Result<()> {
        self.begun = true;
        if let Some(json) = &mut self.json {
            return json.row(&mut self.out, row);
        }
        let size = if self.command.human_readable { human(row.size) } else { row.size.to_string() };
        write!(self.out, "{} {size:>14} {} ", row.kind, row.modified)?;
        if self.command.long {
            write!(self.out, "{} {} {} ", row.created, row.changed, row.accessed)?;
        }
        let state = row.state.as_deref().unwrap_or("-");
        write!(self.out, "{state:<12} {:>8} ", row.number)?;
        let path = match &row.path {
            Some(path) => path.clone(),
            None => format!("?/{}", row.name),
        };
        self.out.write_all(&[&shown(path.as_bytes(), self.terminal), &b"\n"[..]].concat())
    }

    fn end(&mut self) -> std::io::Result<()> {
        if let Some(json) = &mut self.json {
            json.end(&mut self.out)?;
            self.out.write_all(b"}\n")?;
        }
        self.out.flush()
    }
}

/// The row of the file itself, then those of its streams.
fn rows<'a>(
    undelete: &'a dyn Undelete,
    volume: &'a Volume,
    found: &NumberedFile<'_>,
) -> impl Iterator<Item = Row> + use<'a> {
    let (number, node, kind) = (found.number, found.node, found.kind);
    let name = text(found.name);
    let path = undelete.path(node).ok().flatten().map(|path| String::from_utf8_lossy(&path).into_owned());
    let own = row(undelete, volume, number, node, kind, name.clone(), path.clone());
    let streams = undelete.streams(node).unwrap_or_default();
    let streams = streams.into_iter().filter_map(move |stream| {
        let node = undelete.lookup_stream(node, stream.name.as_name()).ok().flatten()?;
        let suffix = format!(":{}", text(stream.name.as_name()));
        let path = path.as_ref().map(|path| format!("{path}{suffix}"));
        Some(row(undelete, volume, number, node, NodeKind::File, format!("{name}{suffix}"), path))
    });
    std::iter::once(own).chain(streams)
}

fn row(
    undelete: &dyn Undelete,
    volume: &Volume,
    number: u64,
    node: NodeId,
    kind: NodeKind,
    name: String,
    path: Option<String>,
) -> Row {
    let stat = undelete.stat(node).ok();
    let times = stat.map(|stat| stat.times).unwrap_or_default();
    let at = |time: Timestamp| date(time);
    let state = match kind {
        NodeKind::Directory => None,
        _ => Some(undelete.state(node)),
    };
    let counts = state.as_ref().and_then(|state| state.as_ref().ok()).copied().unwrap_or_default();
    let State { clusters, free, unstored, .. } = counts;
    let separator = if name.is_empty() { "" } else { "-" };
    Row {
        entry: format!("{}/{NAME}/{number}{separator}{name}", volume.name),
        volume: volume.name.clone(),
        number,
        path,
        name,
        kind: letter(stat.map_or(kind, |stat| stat.kind)),
        size: stat.map_or(0, |stat| stat.size),
        state: state.map(|state| state.map_or_else(|_| "damaged".into(), |state| state.to_string())),
        clusters,
        free,
        unstored,
        modified: at(times.modified),
        created: at(times.created),
        changed: at(times.changed),
        accessed: at(times.accessed),
    }
}

fn text(name: Name<'_>) -> String {
    String::from_utf8_lossy(&name.to_text()).into_owned()
}
