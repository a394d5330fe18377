//! The guard of a keeper: a process that waits for the keeper to end. Should the keeper be killed, the guard takes the mount
//! away, which the server, confined, could not do, with the pid file and a mountpoint that was made for it.

use std::{
    fs,
    io::{Read, Write, pipe},
    path::Path,
};

use super::{
    MountError, MountOptions, background, sandbox,
    session::{Mounted, Site},
};

/// The keeper's end of a pipe; with the keeper it is closed.
pub(super) struct Guard(std::io::PipeWriter);

/// The last line from a keeper that has left nothing behind.
const DONE: &str = "done\n";

impl Guard {
    /// Starts the guard of this process; `confined`: as the keeper is, with or without fusermount3.
    pub(super) fn start(options: &MountOptions, confined: Option<bool>) -> Result<Self, MountError> {
        let failed = |error: std::io::Error| MountError::System(format!("cannot make a pipe: {error}"));
        let (mut reader, writer) = pipe().map_err(failed)?;
        let keeper = std::process::id();
        match background::copy()? {
            Some(_) => Ok(Self(writer)),
            None => {
                drop(writer);
                sandbox::ignore_signals();
                if let Some(fusermount) = confined {
                    sandbox::confine_keeper("guard", None, fusermount);
                }
                let _ = background::detach_from_terminal();
                let mut text = String::new();
                let _ = reader.read_to_string(&mut text);
                if !text.ends_with(DONE) {
                    clean_up(options, keeper, &text);
                }
                std::process::exit(0)
            }
        }
    }

    /// A mount is about to be made.
    pub(super) fn expect(&mut self, site: &Site) {
        let _ = self.0.write_all(site.expected().to_text().as_bytes());
    }

    /// There is a mount.
    pub(super) fn watch(&mut self, mounted: &Mounted) {
        let _ = self.0.write_all(mounted.to_text().as_bytes());
    }

    /// The keeper has left nothing behind.
    pub(super) fn done(mut self) {
        let _ = self.0.write_all(DONE.as_bytes());
    }
}

fn clean_up(options: &MountOptions, keeper: u32, text: &str) {
    if let Some(mounted) = text.lines().last().and_then(Mounted::from_text) {
        mounted.remove();
    }
    if let Some(file) = &options.pid_file {
        remove_pid_file(file, keeper);
    }
    if options.remove_mountpoint {
        let _ = fs::remove_dir(&options.mountpoint);
    }
}

/// Removes the pid file, unless it is another process's by now.
fn remove_pid_file(file: &Path, keeper: u32) {
    if fs::read_to_string(file).is_ok_and(|text| text.trim() == keeper.to_string()) {
        let _ = fs::remove_file(file);
    }
}
