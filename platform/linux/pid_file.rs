//! The pid file: created where no file exists, or in place of an earlier pid file of this user. Symbolic links and other
//! files are never written to, and it is removed only while it is still the same file.

use std::{
    ffi::OsString,
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, openat, renameat, statat, unlinkat},
    io::Errno,
};

use super::MountError;

/// Longest content of a pid file, in bytes: a longer file holds more than a number with its line feed.
const MAX_LEN: i64 = 24;

/// A pid file that this process created, removed when the mount has ended.
pub(super) struct PidFile(Option<Made>);

struct Made {
    folder: OwnedFd,
    name: OsString,
    /// Kept open, so that no other file gets its inode number.
    file: File,
}

impl PidFile {
    pub(super) fn create(path: Option<&Path>) -> Result<Self, MountError> {
        let Some(path) = path else { return Ok(Self(None)) };
        let fail = |problem: String| MountError::System(format!("pid file {}: {problem}", path.display()));
        let name = path.file_name().ok_or_else(|| fail("is not the name of a file".into()))?.to_owned();
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.map_or_else(|| PathBuf::from("."), Path::to_owned);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(&folder, flags, Mode::empty()).map_err(|e| fail(e.to_string()))?;
        let made = write(&folder, &name).map_err(fail)?;
        Ok(Self(Some(Made { folder, name, file: made })))
    }
}

fn write(folder: &OwnedFd, name: &OsString) -> Result<File, String> {
    let text = |error: Errno| error.to_string();
    match create(folder, name) {
        Err(Errno::EXIST) => {}
        made => return made.map_err(text),
    }
    check_replaceable(folder, name)?;
    // Written under a temporary name first: a reader sees the old number or the new one, never a partial one.
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}", std::process::id()));
    let made = create(folder, &temporary).map_err(text)?;
    renameat(folder, &temporary, folder, name).map_err(|error| {
        let _ = unlinkat(folder, &temporary, AtFlags::empty());
        text(error)
    })?;
    Ok(made)
}

fn create(folder: &OwnedFd, name: &OsString) -> Result<File, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(folder, name, flags, Mode::from_raw_mode(0o644))?);
    if file.write_all(format!("{}\n", std::process::id()).as_bytes()).is_err() {
        let _ = unlinkat(folder, name, AtFlags::empty());
        return Err(Errno::NOSPC);
    }
    Ok(file)
}

/// Accepts an earlier pid file of this user: a regular file with one hard link, empty or holding a number.
fn check_replaceable(folder: &OwnedFd, name: &OsString) -> Result<(), String> {
    let refuse = |problem: &str| Err(format!("{problem}; remove it, or name another file"));
    let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|error| error.to_string())?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {}
        FileType::Symlink => return refuse("there is a symbolic link, which is not followed"),
        _ => return refuse("there is something else than a file"),
    }
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return refuse("there is another user's file");
    }
    if stat.st_nlink != 1 {
        return refuse("there is a file that has other names, too");
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(folder, name, flags, Mode::empty()).map_err(|error| error.to_string())?;
    let mut text = String::new();
    let read = File::from(file).take(MAX_LEN.unsigned_abs()).read_to_string(&mut text);
    let is_number = text.trim_end().bytes().all(|byte| byte.is_ascii_digit());
    match stat.st_size <= MAX_LEN && read.is_ok() && is_number {
        true => Ok(()),
        false => refuse("there is a file that holds something else than a process's number"),
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let Some(Made { folder, name, file }) = self.0.take() else { return };
        let there = statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW);
        match there.and_then(|there| Ok((there, rustix::fs::fstat(&file)?))) {
            Ok((there, ours)) if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino) => {
                if let Err(error) = unlinkat(&folder, &name, AtFlags::empty()) {
                    log::warn!("pid file: {error}");
                }
            }
            // Removed or replaced in the meantime: no longer this process's file.
            _ => log::debug!("the pid file is gone"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn a_pid_file_is_made_replaced_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        for earlier in [None, Some("4711\n"), Some("")] {
            if let Some(text) = earlier {
                fs::write(&path, text).unwrap();
            }
            let made = PidFile::create(Some(&path)).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
            drop(made);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn nothing_else_is_overwritten_followed_or_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, precious) = (folder.path().join("pid"), folder.path().join("precious"));
        fs::write(&precious, "1234\n").unwrap();
        symlink(&precious, &path).unwrap();
        assert!(PidFile::create(Some(&path)).err().unwrap().to_string().contains("symbolic link"));
        fs::remove_file(&path).unwrap();
        fs::hard_link(&precious, &path).unwrap();
        assert!(PidFile::create(Some(&path)).is_err());
        fs::remove_file(&path).unwrap();
        symlink(folder.path().join("nowhere"), &path).unwrap();
        assert!(PidFile::create(Some(&path)).is_err());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "root:x:0:0\n").unwrap();
        assert!(PidFile::create(Some(&path)).is_err());
        fs::remove_file(&path).unwrap();
        let made = PidFile::create(Some(&path)).unwrap();
        fs::remove_file(&path).unwrap();
        symlink(&precious, &path).unwrap();
        drop(made);
        assert!(path.is_symlink() && fs::read_to_string(&precious).unwrap() == "1234\n");
    }
}
