//! A file or device of the host, as an image or a piece of one.

use std::{io::ErrorKind, path::Path};

use super::refusal::explain;
use crate::{
    Error, Result,
    bytes::{FileSource, windows_path},
    host::Host,
};

/// Opens a file or device of the host.
///
/// # Errors
/// Of what is wrong with the file itself; the text says what to do.
pub fn open_file(path: &Path, host: &dyn Host) -> Result<FileSource> {
    match open_directly(path, host) {
        // Another process may hand it over: to another user, or into a sandbox.
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::PermissionDenied => {
            let refused = || explain(path, Error::io(path.display().to_string(), source));
            let file = host.open_parent(path).map_err(|_| refused())?;
            FileSource::of_open(file, path).map_err(|error| explain(path, error))
        }
        opened => opened.map_err(|error| explain(path, error)),
    }
}

fn open_directly(path: &Path, host: &dyn Host) -> Result<FileSource> {
    let shown = path.display();
    // Nothing can be asked of a disk of Windows that is not open.
    let is_device = cfg!(windows) && path.to_str().and_then(windows_path::device).is_some();
    if !is_device {
        let metadata = std::fs::metadata(path).map_err(|e| Error::io(shown.to_string(), e))?;
        if metadata.is_dir() {
            // Which Windows would call a matter of rights.
            return Err(Error::invalid(format!("{shown} is a directory, not a disk image")));
        }
        if !readable_kind(&metadata) {
            // Opening a pipe would wait for a writer.
            return Err(Error::invalid(format!("{shown} is neither a file nor a block device")));
        }
    }
    FileSource::open_with(path, &|device| host.device_size(device))
}

#[cfg(unix)]
fn readable_kind(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    !(kind.is_fifo() || kind.is_socket() || kind.is_char_device())
}

#[cfg(not(unix))]
fn readable_kind(_metadata: &std::fs::Metadata) -> bool {
    true
}
