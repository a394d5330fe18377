//! `vhdmount cat`

mod ahead;

use std::io::{ErrorKind, Write};

use vhdmount::{
    fs::{FileSystem, NodeKind},
    image::Image,
};

use super::{Failure, args::Cat, find};

pub(super) fn run(command: &Cat) -> Result<(), Failure> {
    let fail = |error| Failure::image(&command.image, &error);
    let image = Image::open(&command.image, &command.open.options(&command.view)).map_err(fail)?;
    let tree = image.tree(command.view.partition).map_err(fail)?;
    let mut out = output();
    for path in &command.path {
        let inside = |error| Failure::inside(path, error);
        let node = find(&tree, path)?;
        if tree.stat(node).map_err(inside)?.kind == NodeKind::Directory {
            let text = format!("{path} is a directory; vhdmount ls lists it, cp -r copies it");
            return Err(Failure::inside(path, text));
        }
        let file = tree.open(node).map_err(inside)?;
        match ahead::read(&*file, |piece| out.write_all(piece)).map_err(inside)? {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            written => written.map_err(|error| Failure::output(&error))?,
        }
    }
    match out.flush() {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        flushed => flushed.map_err(|error| Failure::output(&error)),
    }
}

/// Standard output without a buffer of its own: pieces are large, and lines mean nothing here.
#[cfg(unix)]
fn output() -> impl Write {
    use std::os::fd::AsFd;

    /// A pipe that holds a whole piece needs fewer changes between its two ends. What other systems allow they decide.
    #[cfg(target_os = "linux")]
    const PIPE: usize = 1 << 20;
    let stdout = std::io::stdout();
    #[cfg(target_os = "linux")]
    let _ = rustix::pipe::fcntl_setpipe_size(&stdout, PIPE);
    let own = stdout.as_fd().try_clone_to_owned().map(std::fs::File::from);
    // Without another descriptor the shared one does.
    let out: Box<dyn Write> = match own {
        Ok(file) => Box::new(file),
        Err(_) => Box::new(stdout.lock()),
    };
    out
}

#[cfg(not(unix))]
fn output() -> impl Write {
    std::io::stdout().lock()
}
