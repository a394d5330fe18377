//! Windows as the host of image files: passes the results of its calls to the library, which interprets them.

use std::{
    fs::File,
    io,
    os::windows::{ffi::OsStrExt, fs::MetadataExt},
    path::Path,
};

use vhdmount::{
    Error, Result,
    bytes::{ByteSource, FileSource, windows_path},
    host::{Host, HostMap, HostSpace, Running, WindowsAnswers},
};

use super::{calls, running};

/// Most ranges examined per file; the rest of the file counts as a hole.
const MAX_RANGES: usize = 3 << 20;

/// The running Windows.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Windows;

impl Host for Windows {
    fn device_size(&self, device: &File) -> io::Result<(u64, u32)> {
        calls::device(device)
    }

    fn space(&self, file: &FileSource) -> Result<HostSpace> {
        match file.is_windows_device() {
            true => Ok(HostSpace::of_device(file.size())),
            false => Ok(answers(file.file(), file.path())?.space()),
        }
    }

    fn map(&self, file: &FileSource, _: &HostSpace) -> Option<HostMap> {
        let answers = (!file.is_windows_device()).then(|| answers(file.file(), file.path()).ok())??;
        let mut ranges = Vec::new();
        let mut found = |range| {
            ranges.push(range);
            ranges.len() <= MAX_RANGES
        };
        let asked = answers.has_holes() && answers.reports_ranges;
        let reported = asked && calls::allocated_ranges(file.file(), answers.file_size, &mut found).is_ok();
        answers.map(reported.then_some(ranges))
    }

    fn running(&self) -> Result<Running> {
        running::running()
    }
}

/// All answers of Windows about `file`, which was opened by `path`.
pub(super) fn answers(file: &File, path: &Path) -> Result<WindowsAnswers> {
    let failed = |error: io::Error| Error::io(format!("{}: asking for its space", path.display()), error);
    let metadata = file.metadata().map_err(failed)?;
    let text = path.to_string_lossy();
    let copy = windows_path::shadow_copy(&text);
    let root = match copy {
        // A shadow copy, for which GetVolumePathName knows no volume.
        Some(root) => root.encode_utf16().collect(),
        None => root_of(path).map_err(failed)?,
    };
    let (free_for_user, free) = calls::free_space(&root).map_err(failed)?;
    let (filesystem, volume_flags) = calls::filesystem(&root).unwrap_or_default();
    let allocated = calls::allocation_size(file).map_err(failed)?;
    Ok(WindowsAnswers {
        file_size: metadata.file_size(),
        allocated,
        attributes: metadata.file_attributes(),
        root: String::from_utf16_lossy(calls::until_nul(&root)),
        filesystem,
        volume_flags,
        cluster: calls::cluster_size(&root).unwrap_or(0),
        free_for_user,
        free,
        remote: calls::is_remote(&root),
        shadow_copy: copy.is_some(),
        reports_ranges: calls::reports_ranges(file),
    })
}

fn root_of(path: &Path) -> io::Result<Vec<u16>> {
    // Symbolic links may lead to other volumes; a volume without a letter has no canonical path of this form.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let path: Vec<u16> = path.as_os_str().encode_wide().collect();
    calls::volume_root(&path)
}
