//! The usual refusals of a host, in words that say what to do. Windows' reasons are its error codes ([MS-ERREF] 2.2).

use std::{io, path::Path};

use crate::{Error, bytes::windows_path};

// Error codes of Windows.
const FILE_NOT_FOUND: i32 = 2;
const PATH_NOT_FOUND: i32 = 3;
const ACCESS_DENIED: i32 = 5;
const NOT_READY: i32 = 21;
const SHARING_VIOLATION: i32 = 32;
const LOCK_VIOLATION: i32 = 33;

/// Why the file or device cannot be opened; errors of another kind stay as they are.
pub(super) fn explain(path: &Path, error: Error) -> Error {
    let Error::Io { source, .. } = &error else { return error };
    let shown = path.display();
    if let Some(code) = source.raw_os_error().filter(|_| cfg!(windows))
        && let Some(explained) = of_windows(&shown.to_string(), code)
    {
        return explained;
    }
    match source.kind() {
        io::ErrorKind::NotFound => Error::not_found(format!("{shown}: no such file")),
        io::ErrorKind::PermissionDenied => {
            let devices = if cfg!(windows) { "" } else { " (block devices: root or group disk)" };
            Error::Denied(
                format!("{shown}: permission denied; run as a user who may read it{devices}").into(),
            )
        }
        _ => error,
    }
}

/// By Windows' error code, where that says more than its class.
fn of_windows(path: &str, code: i32) -> Option<Error> {
    let is_device = windows_path::device(path).is_some();
    match code {
        SHARING_VIOLATION | LOCK_VIOLATION => {
            let where_ = if is_device { "" } else { in_a_shadow_copy(path) };
            Some(Error::Denied(
                format!(
                    "{path} is in use by another program, as Windows keeps the image of a disk that is attached or of a \
                     virtual machine that runs: detach the disk (Dismount-DiskImage), shut the machine down{where_}"
                )
                .into(),
            ))
        }
        ACCESS_DENIED if is_device => Some(Error::Denied(
            format!("{path}: disks and volumes are read by administrators alone: start this from an elevated prompt").into(),
        )),
        FILE_NOT_FOUND | PATH_NOT_FOUND if is_device => Some(Error::not_found(format!(
            "{path}: there is no such disk or volume (Get-Disk and mountvol list them)"
        ))),
        NOT_READY if is_device => Some(Error::not_found(format!("{path}: there is no medium in the drive"))),
        _ => None,
    }
}

/// What else to do about a locked image.
fn in_a_shadow_copy(path: &str) -> &'static str {
    match windows_path::shadow_copy(path) {
        Some(_) => "",
        None => {
            r", or name the same file in a shadow copy of its volume, \\?\GLOBALROOT\Device\HarddiskVolumeShadowCopyN\… (`vssadmin list shadows` lists them)"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_reasons_say_what_to_do() {
        for (path, code, parts) in [
            (r"D:\vm\disk.vhdx", 32, &["in use", "detach", r"ShadowCopyN\…"][..]),
            (r"D:\vm\disk.vhdx", 33, &["in use"]),
            (r"\\.\PhysicalDrive1", 5, &["administrators", "elevated"]),
            (r"\\.\PhysicalDrive9", 2, &["no such disk", "Get-Disk"]),
            (r"\\.\E:", 21, &["no medium"]),
        ] {
            let text = of_windows(path, code).unwrap().to_string();
            for part in parts.iter().chain([&path]) {
                assert!(text.contains(part), "{part} in: {text}");
            }
        }
        let copied = of_windows(r"\\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy1\disk.vhdx", 32).unwrap();
        assert!(!copied.to_string().contains("vssadmin"), "{copied}");
        for (path, code) in [(r"D:\disk.vhdx", 5), (r"D:\disk.vhdx", 2), (r"\\.\C:", 1)] {
            assert!(of_windows(path, code).is_none(), "{path} {code}");
        }
    }

    #[cfg(windows)]
    #[test]
    fn a_locked_file_says_what_to_do_and_is_read_when_it_is_free() {
        use std::os::windows::fs::OpenOptionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.raw");
        std::fs::write(&path, [0; 4096]).unwrap();
        let lock = std::fs::OpenOptions::new().read(true).write(true).share_mode(0).open(&path).unwrap();
        let error = super::super::open_file(&path, &crate::host::System).err().unwrap();
        assert!(matches!(error, Error::Denied(_)), "{error:?}");
        assert!(error.to_string().contains("shadow copy"), "{error}");
        drop(lock);
        super::super::open_file(&path, &crate::host::System).unwrap();
    }
}
