//! Two trees, directory by directory. A directory's entries are held by name, and the directories that are still to be compared.

use std::{collections::BTreeMap, ops::ControlFlow};

use super::{Change, Difference, Sink, VolumeDifferences, content};
use crate::{
    Result,
    fs::{DirCursor, FileSystem, NodeId, NodeKind, Stat, Streams},
};

/// Both filesystems, and where the findings go.
struct Walk<'a, 'b> {
    new: &'a dyn FileSystem,
    old: &'a dyn FileSystem,
    found: &'a mut VolumeDifferences,
    sink: &'a mut Sink<'b>,
}

/// A directory of which one or both sides exist.
struct Pair {
    path: String,
    new: Option<NodeId>,
    old: Option<NodeId>,
}

pub(super) fn compare(
    new: &dyn FileSystem,
    old: &dyn FileSystem,
    found: &mut VolumeDifferences,
    sink: &mut Sink<'_>,
) -> ControlFlow<()> {
    let (new_root, old_root) = (new.root(), old.root());
    let mut walk = Walk { new, old, found, sink };
    let mut open = vec![Pair { path: String::new(), new: Some(new_root), old: Some(old_root) }];
    while let Some(pair) = open.pop() {
        walk.directory(&pair, &mut open)?;
    }
    ControlFlow::Continue(())
}

/// All of a tree that only one side has.
pub(super) fn one_side(
    fs: &dyn FileSystem,
    change: Change,
    found: &mut VolumeDifferences,
    sink: &mut Sink<'_>,
) -> ControlFlow<()> {
    let root = fs.root();
    // The other side has no node, so that nothing is asked of it.
    let mut walk = Walk { new: fs, old: fs, found, sink };
    let (new, old) = if change == Change::Removed { (None, Some(root)) } else { (Some(root), None) };
    let mut open = vec![Pair { path: String::new(), new, old }];
    while let Some(pair) = open.pop() {
        walk.directory(&pair, &mut open)?;
    }
    ControlFlow::Continue(())
}

/// The entries of a directory: by the bytes of the name, how it is shown, and the node.
type Entries = BTreeMap<Vec<u8>, (String, NodeId)>;

fn entries(fs: &dyn FileSystem, dir: NodeId) -> (Entries, Result<()>) {
    let mut entries = Entries::new();
    let read = fs.read_dir(dir, DirCursor::default(), &mut |entry| {
        entries.insert(entry.name.to_text(), (entry.name.to_string(), entry.node));
        ControlFlow::Continue(())
    });
    (entries, read)
}

impl Walk<'_, '_> {
    fn directory(&mut self, pair: &Pair, open: &mut Vec<Pair>) -> ControlFlow<()> {
        let (new, old) =
            (self.list(self.new, pair.new, &pair.path), self.list(self.old, pair.old, &pair.path));
        // A listing that is damaged on one side would make files of the other ones that were removed or added.
        let (Some(new), Some(mut old)) = (new, old) else { return ControlFlow::Continue(()) };
        for (name, (shown, node)) in new {
            let path = format!("{}{shown}", pair.path);
            let before = old.remove(&name).map(|(_, node)| node);
            self.entry(path, Some(node), before, open)?;
        }
        for (shown, node) in old.into_values() {
            self.entry(format!("{}{shown}", pair.path), None, Some(node), open)?;
        }
        ControlFlow::Continue(())
    }

    fn list(&mut self, fs: &dyn FileSystem, dir: Option<NodeId>, path: &str) -> Option<Entries> {
        let Some(dir) = dir else { return Some(Entries::new()) };
        let (entries, read) = entries(fs, dir);
        match read {
            Ok(()) => Some(entries),
            Err(error) => {
                self.found.problem(path, &error);
                None
            }
        }
    }

    fn entry(
        &mut self,
        path: String,
        new: Option<NodeId>,
        old: Option<NodeId>,
        open: &mut Vec<Pair>,
    ) -> ControlFlow<()> {
        let Some(now) = self.stat(self.new, new, &path) else { return ControlFlow::Continue(()) };
        let Some(before) = self.stat(self.old, old, &path) else { return ControlFlow::Continue(()) };
        let is_dir = |stat: &Option<Stat>| stat.as_ref().is_some_and(|stat| stat.kind == NodeKind::Directory);
        match (&now, &before) {
            (Some(now), Some(before)) if now.kind == before.kind => {
                let (Some(new), Some(old)) = (new, old) else { return ControlFlow::Continue(()) };
                let differs = self.differs(now, before, new, old).unwrap_or_else(|error| {
                    self.found.problem(&path, &error);
                    false
                });
                if differs {
                    self.report(&path, Change::Changed, now)?;
                }
                self.streams(&path, Some(new), Some(old))?;
            }
            _ => {
                if let Some(before) = &before {
                    self.report(&path, Change::Removed, before)?;
                    self.streams(&path, None, old)?;
                }
                if let Some(now) = &now {
                    self.report(&path, Change::Added, now)?;
                    self.streams(&path, new, None)?;
                }
            }
        }
        let new = new.filter(|_| is_dir(&now));
        let old = old.filter(|_| is_dir(&before));
        if new.is_some() || old.is_some() {
            open.push(Pair { path: format!("{path}/"), new, old });
        }
        ControlFlow::Continue(())
    }

    /// `None` when it cannot be read, which was noted; `Some(None)` when there is no such node.
    fn stat(&mut self, fs: &dyn FileSystem, node: Option<NodeId>, path: &str) -> Option<Option<Stat>> {
        let Some(node) = node else { return Some(None) };
        match fs.stat(node) {
            Ok(stat) => Some(Some(stat)),
            Err(error) => {
                self.found.problem(path, &error);
                None
            }
        }
    }

    /// Whether two nodes of one kind differ. A directory's times change with its entries, which are listed by themselves.
    fn differs(&self, now: &Stat, before: &Stat, new: NodeId, old: NodeId) -> Result<bool> {
        if now.attributes != before.attributes {
            return Ok(true);
        }
        match now.kind {
            NodeKind::Directory => Ok(false),
            NodeKind::Symlink => Ok(self.new.read_link(new)? != self.old.read_link(old)?),
            NodeKind::File => {
                // That of the last access is no change.
                let times = |stat: &Stat| (stat.times.created, stat.times.modified);
                if now.size != before.size || times(now) != times(before) {
                    return Ok(true);
                }
                content::differ(&*self.new.open(new)?, &*self.old.open(old)?)
            }
            _ => Ok(false),
        }
    }

    fn streams(&mut self, path: &str, new: Option<NodeId>, old: Option<NodeId>) -> ControlFlow<()> {
        let compared = self.compared_streams(path, new, old);
        match compared {
            Ok(differences) => {
                differences.into_iter().try_for_each(|(path, change, size)| self.pass(path, change, size))
            }
            Err(error) => {
                self.found.problem(path, &error);
                ControlFlow::Continue(())
            }
        }
    }

    fn compared_streams(
        &self,
        path: &str,
        new: Option<NodeId>,
        old: Option<NodeId>,
    ) -> Result<Vec<(String, Change, u64)>> {
        let list = |fs: &dyn FileSystem, node: Option<NodeId>| {
            let streams = match node {
                Some(node) => fs.streams().list_streams(node)?,
                None => Vec::new(),
            };
            let named = streams.into_iter().map(|stream| (stream.name.to_string(), stream));
            Ok::<_, crate::Error>(named.collect::<BTreeMap<_, _>>())
        };
        let (now, mut before) = (list(self.new, new)?, list(self.old, old)?);
        let mut differences = Vec::new();
        for (name, stream) in now {
            let shown = format!("{path}:{name}");
            match before.remove(&name) {
                None => differences.push((shown, Change::Added, stream.size)),
                Some(old_stream) => {
                    let open = |fs: &dyn FileSystem, node: Option<NodeId>| -> Result<_> {
                        let Some(node) = node else { return Ok(None) };
                        let found = fs.streams().lookup_stream(node, stream.name.as_name())?;
                        found.map(|node| fs.open(node)).transpose()
                    };
                    let differs = stream.size != old_stream.size
                        || match (open(self.new, new)?, open(self.old, old)?) {
                            (Some(new), Some(old)) => content::differ(&*new, &*old)?,
                            _ => false,
                        };
                    if differs {
                        differences.push((shown, Change::Changed, stream.size));
                    }
                }
            }
        }
        differences.extend(
            before.into_iter().map(|(name, stream)| (format!("{path}:{name}"), Change::Removed, stream.size)),
        );
        Ok(differences)
    }

    fn report(&mut self, path: &str, change: Change, stat: &Stat) -> ControlFlow<()> {
        let (end, size) = match stat.kind {
            NodeKind::Directory => ("/", 0),
            _ => ("", stat.size),
        };
        self.pass(format!("{path}{end}"), change, size)
    }

    fn pass(&mut self, path: String, change: Change, size: u64) -> ControlFlow<()> {
        match change {
            Change::Added => self.found.added += 1,
            Change::Removed => self.found.removed += 1,
            Change::Changed => self.found.changed += 1,
        }
        (self.sink)(Difference { volume: self.found.name.clone(), path, change, size })
    }
}
