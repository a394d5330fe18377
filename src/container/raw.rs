//! Raw images and block devices: the bytes are the disk.

use std::{path::Path, sync::Arc};

use super::{Format, Growth, Kind, Layer, LayerInfo, Place, Segment, vhdx};
use crate::{
    Error, Result,
    bytes::{ByteSource, read_around_bad_sectors},
    check::{Finding, FindingSink, Severity},
};

/// An image without a container.
pub struct Raw {
    source: Arc<dyn ByteSource>,
    info: LayerInfo,
}

/// Takes `file` as it is; `path` is for messages and [`LayerInfo::path`]. `sectors`: bytes per logical and per physical
/// sector where the device states them.
pub fn open(file: Arc<dyn ByteSource>, path: &str, sectors: Option<(u32, u32)>) -> Raw {
    let size = file.size();
    let (logical, physical) = sectors.unwrap_or_default();
    let mut problems = Vec::new();
    if !size.is_multiple_of(512) {
        problems.push(format!("{size} bytes are not whole sectors: the file may be cut off"));
    }
    problems.extend(unreadable_ends(&*file).map(|(problem, meaning)| format!("{problem}: {meaning}")));
    problems.extend(
        misnamed(&*file, Path::new(path)).map(|(_, problem, meaning)| format!("{problem}: {meaning}")),
    );
    let info = LayerInfo {
        path: path.to_owned(),
        format: Format::Raw,
        kind: Kind::Fixed,
        version: String::new(),
        creator: String::new(),
        file_size: size,
        virtual_size: size,
        block_size: 0,
        logical_sector_size: logical,
        physical_sector_size: physical,
        disk_id: None,
        data_id: None,
        parent_id: None,
        parent_paths: Vec::new(),
        log: None,
        problems,
    };
    Raw { source: file, info }
}

/// What a container's name on a raw image means: a file that was a container once and has lost what it is known by looks
/// like a raw disk. The problem and what follows from it.
fn misnamed(file: &dyn ByteSource, path: &Path) -> Option<(Severity, String, &'static str)> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "vhdx" | "avhdx" | "vhds" => Some(match vhdx::find_remains(file) {
            Some(at) => (
                Severity::Error,
                format!(
                    "named .{extension}, and a VHDX's metadata lies at byte {at:#x}, but the headers are lost"
                ),
                "what is shown is the file itself, not the disk in it; restore the first MiB from a backup",
            ),
            None => (
                Severity::Warning,
                format!("named .{extension}, but no structure of a VHDX is in it"),
                "taken for a raw disk; if it was a VHDX, it was overwritten",
            ),
        }),
        "vhd" | "avhd" => Some((
            Severity::Warning,
            format!("named .{extension}, but there is no VHD footer in it"),
            "taken for a raw disk, as which a fixed VHD that has lost its footer is read rightly",
        )),
        _ => None,
    }
}

/// Whether a signature could not be looked for where containers have theirs.
fn unreadable_ends(file: &dyn ByteSource) -> Option<(String, &'static str)> {
    let size = file.size();
    let unread = |offset, len: u64| {
        let len = usize::try_from(len.min(size)).expect("at most 4096");
        match read_around_bad_sectors(file, offset, len) {
            Ok((_, unread)) => !unread.is_empty(),
            Err(_) => true,
        }
    };
    let ends = [(0, 4096, "first 4096"), (size.saturating_sub(512), 512, "last 512")];
    let (_, _, which) = ends.into_iter().find(|(offset, len, _)| unread(*offset, *len))?;
    let meaning = "taken for a raw disk; whether it is another format, a fixed VHD for one, cannot be seen";
    Some((format!("the {which} bytes cannot all be read"), meaning))
}

/// Reports what is wrong with a raw image.
pub(super) fn check(file: &dyn ByteSource, path: &Path, report: &mut dyn FindingSink) {
    let size = file.size();
    if !size.is_multiple_of(512) {
        let problem = format!("{size} bytes are not whole sectors");
        let meaning = "the file may be cut off, or something was appended";
        report.finding(Finding::warning("raw image", problem, meaning));
    }
    if let Some((problem, meaning)) = unreadable_ends(file) {
        report.finding(Finding::warning("raw image", problem, meaning));
    }
    if let Some((severity, problem, meaning)) = misnamed(file, path) {
        report.finding(Finding::new(severity, "raw image", problem, meaning));
    }
}

impl Layer for Raw {
    fn virtual_size(&self) -> u64 {
        self.info.virtual_size
    }

    fn source(&self) -> &Arc<dyn ByteSource> {
        &self.source
    }

    fn resolve(&self, offset: u64) -> Result<Segment> {
        match self.virtual_size().checked_sub(offset) {
            None | Some(0) => Err(Error::invalid(format!("{offset:#x} lies beyond the end of the disk"))),
            Some(len) => Ok(Segment { place: Place::File(offset), len }),
        }
    }

    fn allocation(&self, offset: u64) -> Result<Segment> {
        self.resolve(offset)
    }

    fn growth(&self) -> Growth {
        Growth { block_size: 1, block_cost: 1, group: None }
    }

    fn info(&self) -> &LayerInfo {
        &self.info
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::MemorySource;

    fn problems(name: &str, bytes: Vec<u8>) -> Vec<String> {
        open(Arc::new(MemorySource(bytes)), name, None).info().problems.clone()
    }

    #[test]
    fn containers_name_on_what_is_none_is_a_problem() {
        for name in ["a.raw", "a.img", "a", ""] {
            assert_eq!(problems(name, vec![0; 4096]), Vec::<String>::new(), "{name}");
        }
        for name in ["a.vhdx", "dir/b.AVHDX", "a.vhd"] {
            assert!(problems(name, vec![0; 4096])[0].contains("taken for a raw disk"), "{name}");
        }
        let mut headless = vec![0; 4 << 20];
        headless[2 << 20..][..8].copy_from_slice(b"metadata");
        assert!(problems("a.vhdx", headless)[0].contains("metadata lies at byte 0x200000"));
    }
}
