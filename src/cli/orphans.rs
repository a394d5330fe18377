//! `vhdmount ls --orphans`: prints one row for each orphan, with `-R` also for the entries below orphaned directories, as
//! they are found.

use std::{io::Write, ops::ControlFlow};

use vhdmount::{
    Error,
    fs::{
        DirCursor, FileSystem, NodeId, NodeKind,
        orphans::{BIT, DIRECTORY, NAME, Orphans, View},
        reach,
    },
    tree::Volume,
};

use super::{
    date::date,
    deleted::{Listing, Row},
    ls::{MAX_PATH, letter},
};

/// A directory on the path to the current one.
struct Level {
    node: NodeId,
    /// Length of its path in bytes.
    path: usize,
    /// Its subdirectories still to be entered, the next one last.
    below: Vec<(Vec<u8>, NodeId)>,
}

impl<W: Write> Listing<'_, W> {
    /// Lists the orphans of a volume. `Err` when the output is closed; unreadable entries are noted, the rest is listed.
    pub(super) fn orphans(&mut self, volume: &Volume) -> std::io::Result<()> {
        let view = View::new(volume.fs.clone());
        let Some(orphans) = volume.fs.orphans() else {
            self.notes.not_examined(volume, "files without a name");
            return Ok(());
        };
        let mut path = format!("{}/{NAME}", volume.name).into_bytes();
        let mut levels = vec![Level { node: DIRECTORY, path: path.len(), below: Vec::new() }];
        let mut listed = false;
        while let Some(level) = levels.last_mut() {
            path.truncate(level.path);
            if !listed {
                self.level(&view, &*orphans, volume, &path, level)?;
                listed = true;
            }
            match level.below.pop() {
                None => drop(levels.pop()),
                // Listed, not entered, as in `ls -R`.
                Some((name, _)) if path.len() + 1 + name.len() > MAX_PATH => {}
                Some((name, node)) => {
                    path.push(b'/');
                    path.extend_from_slice(&name);
                    if reach::is_misplaced(node) {
                        let read =
                            || view.read_dir(node, DirCursor::default(), &mut |_| ControlFlow::Break(()));
                        let why = || read().err().unwrap_or_else(|| Error::not_found("no way leads there"));
                        self.notes.misplaced(&path, why);
                        continue;
                    }
                    levels.push(Level { node, path: path.len(), below: Vec::new() });
                    listed = false;
                }
            }
        }
        Ok(())
    }

    /// Prints the rows of one directory.
    fn level(
        &mut self,
        view: &View,
        orphans: &dyn Orphans,
        volume: &Volume,
        path: &[u8],
        level: &mut Level,
    ) -> std::io::Result<()> {
        let mut written = Ok(());
        let read = view.read_dir(level.node, DirCursor::default(), &mut |entry| {
            let name = entry.name.to_text();
            let local = NodeId(entry.node.0 & !BIT);
            let stat = view.stat(entry.node).ok();
            let times = stat.map(|stat| stat.times).unwrap_or_default();
            // Where names are not unique, the entry's name begins with the number.
            let number = orphans.number(local);
            let own = name.strip_prefix(format!("{number}-").as_bytes()).unwrap_or(&name);
            let should_be = orphans.path(local).ok().flatten();
            written = self.row(&Row {
                volume: volume.name.clone(),
                number,
                entry: String::from_utf8_lossy(&[path, b"/", &name].concat()).into_owned(),
                path: should_be.map(|path| String::from_utf8_lossy(&path).into_owned()),
                name: String::from_utf8_lossy(own).into_owned(),
                kind: letter(stat.map_or(entry.kind, |stat| stat.kind)),
                size: stat.map_or(0, |stat| stat.size),
                modified: date(times.modified),
                created: date(times.created),
                changed: date(times.changed),
                accessed: date(times.accessed),
                ..Row::default()
            });
            if self.recursive() && entry.kind == NodeKind::Directory {
                level.below.push((name, entry.node));
            }
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        level.below.reverse();
        if let Err(error) = read {
            self.notes.error(path, error);
        }
        written
    }
}
