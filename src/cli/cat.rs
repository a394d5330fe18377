//! `vhdmount cat`

mod ahead;

use std::io::Write;

use vhdmount::fs::{FileSystem, NodeKind};

use super::{Failure, config::Cat, expand::expand_all, find, ls::Notes, system};

pub(super) fn run(command: &Cat) -> Result<(), Failure> {
    let image = command.source.open()?;
    let tree = command.source.tree(&image)?;
    let mut out = system::stdout();
    let mut notes = Notes::default();
    let missed = &mut |path: &str, error| notes.error(path.as_bytes(), error);
    for path in &expand_all(&tree, &command.paths, missed)? {
        let inside = |error| Failure::inside(path, error);
        let node = find(&tree, path)?;
        if tree.stat(node).map_err(inside)?.kind == NodeKind::Directory {
            let text = format!("{path} is a directory; vhdmount ls lists it, cp -r copies it");
            return Err(Failure::inside(path, text));
        }
        let file = tree.open(node).map_err(inside)?;
        let written = ahead::read(&*file, |piece| out.write_all(piece)).map_err(inside)?;
        written.map_err(|error| Failure::output(&error))?;
    }
    out.flush().map_err(|error| Failure::output(&error))?;
    notes.end().map_or(Ok(()), Err)
}
