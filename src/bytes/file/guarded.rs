//! Files of the host that an image names, not the user. Guards: opening has no side effect (devices, pipes) and never
//! reaches a file that the kernel generates. The path is resolved to an `O_PATH` descriptor and checked through it; then
//! exactly that file is opened.

use std::{fs::File, io, path::Path, path::PathBuf};

use super::FileSource;
use crate::{Error, Result};

/// An opened file and its canonical path.
pub struct Guarded {
    /// The file.
    pub file: FileSource,
    /// Its canonical path.
    pub real: PathBuf,
}

/// Opens the file at a canonical path on behalf of a process that may not open it itself (a sandbox).
pub type Opener<'a> = dyn Fn(&Path) -> io::Result<File> + 'a;

impl FileSource {
    /// Opens a regular file on a filesystem that stores files, if `allows` accepts its canonical path.
    ///
    /// # Errors
    /// As [`Self::open`]; [`Error::Invalid`] for any other kind of file; [`Error::Denied`] when the path is not allowed.
    pub fn open_guarded(path: &Path, allows: &dyn Fn(&Path) -> bool) -> Result<Guarded> {
        Self::open_guarded_with(path, allows, &|_| Err(io::ErrorKind::PermissionDenied.into()))
    }

    /// As [`Self::open_guarded`]; where this process may not open the file, `opener` is asked for exactly that file.
    ///
    /// # Errors
    /// As [`Self::open_guarded`].
    pub fn open_guarded_with(
        path: &Path,
        allows: &dyn Fn(&Path) -> bool,
        opener: &Opener<'_>,
    ) -> Result<Guarded> {
        let fail = |error| Error::io(path.display().to_string(), error);
        let place = Place::find(path).map_err(fail)?;
        if !place.is_stored_file().map_err(fail)? {
            return Err(Error::invalid("not a regular file"));
        }
        if !allows(&place.real) {
            return Err(Error::Denied("outside of the folders that may be read".into()));
        }
        let file = match place.open() {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                opener(&place.real).and_then(|file| place.same(file)).map_err(|_| fail(error))?
            }
            opened => opened.map_err(fail)?,
        };
        let size = file.metadata().map_err(fail)?.len();
        Ok(Guarded { file: Self::new(file, size, path, None), real: place.real })
    }
}

/// True for a path in a kernel-generated tree (`/proc`, …), however it is spelled.
pub fn is_of_the_kernel(real: &Path) -> bool {
    cfg!(unix) && ["/proc", "/sys", "/dev"].iter().any(|tree| real.starts_with(tree))
}

#[cfg(target_os = "linux")]
struct Place {
    /// Opened with `O_PATH`: no device starts, no pipe waits, no access time changes.
    at: std::os::fd::OwnedFd,
    real: PathBuf,
}

#[cfg(target_os = "linux")]
impl Place {
    fn find(path: &Path) -> io::Result<Self> {
        use rustix::fs::{Mode, OFlags};
        let at = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let real = std::fs::read_link(Self::link(&at)).or_else(|_| std::fs::canonicalize(path))?;
        Ok(Self { at, real })
    }

    /// The descriptor's name in a mounted `/proc`.
    fn link(at: &std::os::fd::OwnedFd) -> PathBuf {
        use std::os::fd::AsRawFd;
        format!("/proc/self/fd/{}", at.as_raw_fd()).into()
    }

    fn is_stored_file(&self) -> io::Result<bool> {
        use rustix::fs::{FileType, fstat, fstatfs};
        let is_file = FileType::from_raw_mode(fstat(&self.at)?.st_mode).is_file();
        // The magic numbers are 32 bits wide, their type is the machine's word.
        let kind = fstatfs(&self.at)?.f_type & 0xffff_ffff;
        Ok(is_file && !KERNEL_FILESYSTEMS.iter().any(|magic| kind.try_into() == Ok(*magic)))
    }

    fn open(&self) -> io::Result<File> {
        match super::system::open(&Self::link(&self.at)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.open_by_name(),
            opened => opened,
        }
    }

    /// Without `/proc` the path is opened again by name, and must lead to the same file.
    fn open_by_name(&self) -> io::Result<File> {
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
        self.same(super::system::open_with(&self.real, flags)?)
    }

    /// Passes on `file` if it is the one that was checked.
    fn same(&self, file: File) -> io::Result<File> {
        let (now, then) = (rustix::fs::fstat(&file)?, rustix::fs::fstat(&self.at)?);
        match (now.st_dev, now.st_ino) == (then.st_dev, then.st_ino) {
            true => Ok(file),
            false => Err(io::Error::other("was replaced while it was opened")),
        }
    }
}

/// `linux/magic.h`: filesystems whose files the kernel generates.
#[cfg(target_os = "linux")]
const KERNEL_FILESYSTEMS: [u32; 18] = [
    0x9fa0,      // proc
    0x6265_6572, // sysfs
    0x1cd1,      // devpts
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x7363_6673, // securityfs
    0x0027_e0eb, // cgroup
    0x6367_7270, // cgroup2
    0x6165_676c, // pstore
    0xde5e_81e4, // efivarfs
    0xcafe_4a11, // bpf
    0x6265_6570, // configfs
    0xf97c_ff8c, // selinux
    0x4341_5d53, // smack
    0x4249_4e4d, // binfmt_misc
    0x1980_0202, // mqueue
    0x6573_5543, // fusectl
    0x6e73_6673, // nsfs
];

#[cfg(not(target_os = "linux"))]
struct Place {
    real: PathBuf,
}

#[cfg(not(target_os = "linux"))]
impl Place {
    fn find(path: &Path) -> io::Result<Self> {
        Ok(Self { real: std::fs::canonicalize(path)? })
    }

    fn is_stored_file(&self) -> io::Result<bool> {
        Ok(std::fs::symlink_metadata(&self.real)?.is_file())
    }

    fn open(&self) -> io::Result<File> {
        super::system::open(&self.real)
    }

    fn same(&self, _: File) -> io::Result<File> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_stored_files_are_opened_whatever_leads_to_them() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, [7; 600]).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let opened = FileSource::open_guarded(&link, &|_| true).unwrap();
        assert_eq!(opened.real, file.canonicalize().unwrap());
        assert_eq!(crate::bytes::read_vec(&opened.file, 599, 1).unwrap(), [7]);
        for path in ["/proc/self/status", "/sys/kernel/uevent_seqnum", "/dev/null", "/", "/proc/self/fd/0"] {
            let error = FileSource::open_guarded(path.as_ref(), &|_| true).err();
            assert!(error.is_some(), "{path}");
        }
        std::os::unix::fs::symlink("/proc/self/status", folder.path().join("trap")).unwrap();
        let trap = FileSource::open_guarded(&folder.path().join("trap"), &|_| true);
        assert!(matches!(trap, Err(Error::Invalid(_))));
    }

    #[test]
    fn what_is_not_allowed_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, outside) = (folder.path().join("in"), folder.path().join("out"));
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(&outside, [7; 600]).unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("link")).unwrap();
        let root = inside.canonicalize().unwrap();
        let opened = FileSource::open_guarded(&inside.join("link"), &|real| real.starts_with(&root));
        assert!(matches!(opened, Err(Error::Denied(_))));
    }
}
