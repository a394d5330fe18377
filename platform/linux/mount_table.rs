//! The mount table, `/proc/self/mountinfo`. Unlike `stat`, reading it sends no request to a filesystem, so it cannot hang
//! on one.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

/// Subtype of our mounts: the filesystem type is `fuse.vhdmount`.
pub(super) const SUBTYPE: &str = "vhdmount";

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// `major:minor` of the filesystem: unique among those mounted.
    pub(super) device: String,
    /// The absolute path of the mountpoint.
    pub(super) mountpoint: PathBuf,
    /// The filesystem type: `fuse.vhdmount`, `ext4`, …
    pub(super) kind: String,
    /// It is not mounted read-only.
    pub(super) is_writable: bool,
}

impl Mount {
    /// True for a mount of this program.
    pub(super) fn is_ours(&self) -> bool {
        self.kind.strip_prefix("fuse.") == Some(SUBTYPE)
    }
}

/// Symbolic links followed in a path, the kernel's own limit.
const MAX_LINKS: usize = 40;

/// The mount at exactly this path, the topmost of several. Sends no request to it.
pub(super) fn find(mountpoint: &Path) -> io::Result<Option<Mount>> {
    let mut path = mountpoint.to_owned();
    for _ in 0..MAX_LINKS {
        let resolved = in_its_folder(&path)?;
        if let Some(entry) = at(&resolved)? {
            return Ok(Some(entry));
        }
        match fs::read_link(&resolved) {
            Ok(target) => path = resolved.parent().unwrap_or(Path::new("/")).join(target),
            Err(_) => return Ok(None),
        }
    }
    Ok(None)
}

/// The topmost mount at exactly this canonical path.
pub(super) fn at(path: &Path) -> io::Result<Option<Mount>> {
    let table = fs::read("/proc/self/mountinfo")?;
    Ok(table.split(|byte| *byte == b'\n').filter_map(parse).rfind(|entry| entry.mountpoint == path))
}

/// The mountpoints of all our mounts.
pub(super) fn ours() -> Vec<PathBuf> {
    let table = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let entries = table.split(|byte| *byte == b'\n').filter_map(parse);
    entries.filter(Mount::is_ours).map(|entry| entry.mountpoint).collect()
}

/// The path with its parent folder made canonical. The last component is not examined: it may be a dead mount, or one
/// that hangs.
fn in_its_folder(path: &Path) -> io::Result<PathBuf> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            Ok(parent.canonicalize()?.join(name))
        }
        _ => path.canonicalize(),
    }
}

/// Parses a line such as `36 35 98:0 /root /mnt/point rw,noatime master:1 - ext3 /dev/root rw`. The optional fields vary
/// in number and end with a lone `-`.
fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let device = fields.nth(2)?;
    let mountpoint = fields.nth(1)?;
    let options = fields.next()?;
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    Some(Mount {
        device: String::from_utf8(device.to_vec()).ok()?,
        mountpoint: OsString::from_vec(unescape(mountpoint)).into(),
        kind: String::from_utf8_lossy(kind).into_owned(),
        is_writable: !options.split(|byte| *byte == b',').any(|option| option == b"ro"),
    })
}

/// Decodes space, tab, newline and backslash, which the kernel writes as `\` and three octal digits.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, tail)) = rest.split_first() {
        let octal = tail.first_chunk::<3>().filter(|_| *byte == b'\\');
        let code = octal.and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|code| u8::from_str_radix(code, 8).ok()) {
            Some(code) => {
                out.push(code);
                rest = &tail[3..];
            }
            None => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    out
}

/// A path as text for messages, with invalid UTF-8 replaced.
pub(super) fn text(path: &Path) -> String {
    String::from_utf8_lossy(path.as_os_str().as_bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_entries_are_parsed_with_any_number_of_optional_fields() {
        let entry = |line: &str| parse(line.as_bytes()).unwrap();
        let ours = entry(r"36 35 0:52 / /mnt/a\040b\134 ro,nosuid shared:1 master:2 - fuse.vhdmount img ro");
        assert_eq!(ours.mountpoint, Path::new(r"/mnt/a b\"));
        assert!(ours.is_ours() && ours.device == "0:52" && !ours.is_writable);
        let other = entry("36 35 8:1 / / rw - ext4 /dev/root rw");
        assert!(!other.is_ours() && other.is_writable);
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"36 35 8:1 / / rw ext4"), None);
    }

    #[test]
    fn the_root_is_mounted_and_a_plain_directory_is_not() {
        assert!(find(Path::new("/proc")).unwrap().is_some());
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(find(folder.path()).unwrap(), None);
    }
}
