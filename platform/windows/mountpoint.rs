//! Mountpoints: `X:`, `\\.\X:`, `*`, or a folder that does not exist yet.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    os::windows::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::MountError;

/// A mountpoint as the user named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mountpoint {
    /// The next free drive letter, from Z: down.
    NextFree,
    /// A drive letter of this logon session.
    Drive(char),
    /// A drive letter of the whole system, by the Mount Manager.
    GlobalDrive(char),
    /// A folder that WinFsp creates, and removes after the unmount.
    Folder(PathBuf),
}

impl Mountpoint {
    /// Parses a mountpoint argument.
    pub(crate) fn parse(text: &Path) -> Self {
        let drive = |text: &str| -> Option<char> {
            let text = text.strip_suffix(['\\', '/']).unwrap_or(text);
            let letter = text.strip_suffix(':').filter(|letter| letter.len() == 1)?;
            letter.chars().next().filter(char::is_ascii_alphabetic).map(|letter| letter.to_ascii_uppercase())
        };
        let text_of = text.to_str().unwrap_or_default();
        if matches!(text_of, "*" | "*:") {
            return Self::NextFree;
        }
        if let Some(letter) = drive(text_of) {
            return Self::Drive(letter);
        }
        match text_of.strip_prefix(r"\\.\").and_then(drive) {
            Some(letter) => Self::GlobalDrive(letter),
            None => Self::Folder(std::path::absolute(text).unwrap_or_else(|_| text.to_owned())),
        }
    }

    /// Checks made before the image is opened.
    pub(super) fn check(&self) -> Result<(), MountError> {
        match self {
            Self::Folder(folder) if folder.symlink_metadata().is_ok() => Err(self.refuse(
                "exists; on Windows a mountpoint is made by mounting: name a folder that does not exist yet, or X:",
            )),
            Self::Folder(folder) if !folder.parent().is_some_and(Path::is_dir) => {
                Err(self.refuse("the folder that is to hold it does not exist"))
            }
            Self::Drive(letter) | Self::GlobalDrive(letter) if Path::new(&format!("{letter}:\\")).exists() => {
                Err(self.refuse("the drive letter is in use; * takes the next one that is free"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn refuse(&self, problem: impl Into<String>) -> MountError {
        MountError::Mountpoint { at: self.to_string(), problem: problem.into() }
    }

    /// The mountpoint as WinFsp takes it, without NUL; `None` for the next free letter.
    pub(super) fn wide(&self) -> Option<Vec<u16>> {
        (*self != Self::NextFree).then(|| self.text().encode_wide().collect())
    }

    fn text(&self) -> OsString {
        match self {
            Self::NextFree => "*".into(),
            Self::Drive(letter) => format!("{letter}:").into(),
            Self::GlobalDrive(letter) => format!(r"\\.\{letter}:").into(),
            Self::Folder(folder) => folder.clone().into(),
        }
    }

    /// A text that is equal for all spellings of this mountpoint.
    pub(super) fn identity(&self) -> String {
        match self {
            Self::Drive(letter) | Self::GlobalDrive(letter) => format!("{letter}:"),
            Self::NextFree | Self::Folder(_) => self.to_string().to_uppercase(),
        }
    }
}

impl From<&OsStr> for Mountpoint {
    fn from(text: &OsStr) -> Self {
        Self::parse(Path::new(text))
    }
}

impl fmt::Display for Mountpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text().to_string_lossy())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drives_folders_and_the_next_free_letter() {
        let parse = |text: &str| Mountpoint::parse(Path::new(text));
        assert_eq!(parse("*"), Mountpoint::NextFree);
        for text in ["x:", "X:", r"X:\", "x:/"] {
            assert_eq!(parse(text), Mountpoint::Drive('X'), "{text}");
        }
        assert_eq!(parse(r"\\.\x:"), Mountpoint::GlobalDrive('X'));
        assert_eq!(parse(r"C:\mnt\disk"), Mountpoint::Folder(r"C:\mnt\disk".into()));
        assert!(matches!(parse("xy:"), Mountpoint::Folder(_)));
        assert_eq!(parse(r"\\.\x:").identity(), parse("X:").identity());
        assert_eq!(parse(r"C:\Mnt").identity(), parse(r"c:\mnt").identity());
    }

    #[test]
    fn a_folder_that_exists_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = Mountpoint::parse(folder.path()).check().unwrap_err().to_string();
        assert!(error.contains("does not exist yet"), "{error}");
        assert!(Mountpoint::parse(&folder.path().join("new")).check().is_ok());
        assert!(Mountpoint::parse(&folder.path().join("no").join("new")).check().is_err());
    }
}
