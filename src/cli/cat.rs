//! `vhdmount cat`

use std::io::{ErrorKind, Write};

use vhdmount::{
    fs::{FileSystem, NodeKind},
    image::Image,
};

use super::{Failure, args::Cat, find};

const PIECE: usize = 1 << 20;

pub(super) fn run(command: &Cat) -> Result<(), Failure> {
    let fail = |error| Failure::image(&command.image, &error);
    let image = Image::open(&command.image, &command.open.options(&command.view)).map_err(fail)?;
    let tree = image.tree(command.view.partition).map_err(fail)?;
    let mut out = std::io::stdout().lock();
    let mut buf = vec![0; PIECE];
    for path in &command.path {
        let inside = |error| Failure::inside(path, error);
        let node = find(&tree, path)?;
        if tree.stat(node).map_err(inside)?.kind == NodeKind::Directory {
            return Err(Failure::inside(path, format_args!("{path} is a directory; vhdmount ls lists it")));
        }
        let file = tree.open(node).map_err(inside)?;
        let mut offset = 0;
        while offset < file.size() {
            let take = usize::try_from(file.size() - offset).unwrap_or(PIECE).min(PIECE);
            file.read_exact_at(offset, &mut buf[..take]).map_err(inside)?;
            match out.write_all(&buf[..take]) {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                other => other.map_err(|error| Failure::output(&error))?,
            }
            offset += take as u64;
        }
    }
    out.flush().map_err(|error| Failure::output(&error))
}
