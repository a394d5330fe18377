//! The process outside of the sandbox: opens the parents that an image names, where the confined process may not, and asks
//! for quotas. It parses nothing of an image: it compares the signatures of VHD and VHDX, which is also all that an image can
//! make it open outside of the folders that the user named.

mod wire;

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt, ffi::OsStringExt, fs::FileExt},
    },
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use nix::unistd::ForkResult;
use rustix::fs::{Mode, OFlags};
use vhdmount::{
    bytes::{FileSource, is_of_the_kernel},
    container,
    host::{Quota, quotas_of_owner},
};

pub(super) use self::wire::pair;
use self::wire::{Reply, Request, receive, send};
use crate::rights::Rights;

/// Most bytes of names in one answer.
const MAX_NAMES: usize = 64 << 10;
/// Most files of a folder that are examined, as for the search itself.
const MAX_EXAMINED: usize = 2000;

/// The confined process's end.
pub(super) struct Client(Mutex<OwnedFd>);

impl Client {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self(Mutex::new(socket))
    }

    fn ask(&self, request: &Request) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
        let socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        send(&socket, &request.to_bytes(), None)?;
        let (bytes, file) = receive(&socket)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok((Reply::parse(bytes)?, file))
    }

    /// Opens a virtual disk.
    pub(super) fn open(&self, path: &Path) -> io::Result<File> {
        let (_, file) = self.ask(&Request::Open(std::path::absolute(path)?))?;
        file.map(File::from).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// The name that differs from `name` at most in case.
    pub(super) fn similar_name(&self, folder: &Path, name: &str) -> io::Result<Option<OsString>> {
        let (found, _) = self.ask(&Request::SimilarName(std::path::absolute(folder)?, name.into()))?;
        Ok((!found.is_empty()).then(|| OsString::from_vec(found)))
    }

    /// The names of the virtual disks in a folder.
    pub(super) fn disks_in(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        let (names, _) = self.ask(&Request::DisksIn(std::path::absolute(folder)?))?;
        let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        Ok(names.map(|name| OsString::from_vec(name.to_vec())).collect())
    }

    pub(super) fn quotas(&self, device: &Path, uid: u32, gid: u32) -> io::Result<[Quota; 2]> {
        let (bytes, _) = self.ask(&Request::Quotas(device.to_owned(), uid, gid))?;
        wire::quotas(&bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Makes the other process open nothing but virtual disks, wherever they lie.
    pub(super) fn narrow(&self) {
        if let Err(error) = self.ask(&Request::Narrow) {
            log::debug!("sandbox: {error}");
        }
    }
}

/// What the process outside opens when it is asked.
pub(super) struct Broker {
    /// Files that the user named.
    named: Vec<PathBuf>,
    /// Canonical folders that the user named, or in which named files lie.
    folders: Vec<PathBuf>,
    /// Nothing outside of `folders` is opened.
    confined: bool,
    /// The chain is open: what is opened again are virtual disks.
    disks_only: bool,
}

impl Broker {
    pub(super) fn new(rights: &Rights) -> Self {
        let absolute = |path: &PathBuf| std::path::absolute(path).ok();
        Self {
            named: rights.images.iter().filter_map(absolute).collect(),
            folders: rights.folders.iter().filter_map(|folder| folder.canonicalize().ok()).collect(),
            confined: rights.confined,
            disks_only: false,
        }
    }

    /// Answers one request; false when the other process has ended.
    pub(super) fn answer(&mut self, socket: &OwnedFd) -> io::Result<bool> {
        let Some((bytes, _)) = receive(socket)? else { return Ok(false) };
        let answered = match Request::parse(&bytes) {
            Some(request) => self.perform(request),
            None => Err(io::ErrorKind::InvalidInput.into()),
        };
        // A process that does not read its answers does not get them.
        let _ = match answered {
            Ok((bytes, file)) => send(socket, &Reply::Done(bytes).to_bytes(), file.as_ref()),
            Err(error) => send(socket, &Reply::Failed(error).to_bytes(), None),
        };
        Ok(true)
    }

    fn perform(&mut self, request: Request) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
        Ok(match request {
            Request::Open(path) => (Vec::new(), Some(self.open(&path)?.into())),
            Request::SimilarName(folder, name) => {
                self.check_folder(&folder)?;
                let found = container::similar_name(&folder, &name)?;
                (found.map(OsString::into_vec).unwrap_or_default(), None)
            }
            Request::DisksIn(folder) => {
                self.check_folder(&folder)?;
                (self.disks_in(&folder)?, None)
            }
            Request::Quotas(device, uid, gid) => {
                (wire::quotas_to_bytes(quotas_of_owner(&device, uid, gid)), None)
            }
            Request::Narrow => {
                self.disks_only = true;
                (Vec::new(), None)
            }
        })
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        if self.named.iter().any(|named| named == path) {
            return open_named(path);
        }
        let may = |real: &Path| self.holds(real) || !self.confined && !is_of_the_kernel(real);
        let opened = FileSource::open_guarded(path, &may).map_err(|_| io::ErrorKind::PermissionDenied)?;
        let file = opened.file.file();
        let free = !self.disks_only && self.holds(&opened.real);
        match free || is_virtual_disk(file) {
            true => file.try_clone(),
            false => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }

    fn holds(&self, real: &Path) -> bool {
        self.folders.iter().any(|folder| real.starts_with(folder))
    }

    fn check_folder(&self, folder: &Path) -> io::Result<()> {
        let real = folder.canonicalize()?;
        match self.holds(&real) || !self.confined && !is_of_the_kernel(&real) {
            true => Ok(()),
            false => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }

    fn disks_in(&self, folder: &Path) -> io::Result<Vec<u8>> {
        let mut names = Vec::new();
        for name in container::names(folder)?.into_iter().take(MAX_EXAMINED) {
            let is_disk = self.open(&folder.join(&name)).is_ok_and(|file| is_virtual_disk(&file));
            if is_disk && names.len() + name.len() < MAX_NAMES {
                names.extend_from_slice(OsStr::as_bytes(&name));
                names.push(0);
            }
        }
        Ok(names)
    }
}

/// Opens a file or block device that the user named. A pipe is not waited for.
fn open_named(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::FileTypeExt;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags | OFlags::NOATIME, Mode::empty());
    let file = File::from(match opened {
        Err(rustix::io::Errno::PERM) => rustix::fs::open(path, flags, Mode::empty())?,
        opened => opened?,
    });
    let kind = file.metadata()?.file_type();
    match kind.is_file() || kind.is_block_device() {
        true => Ok(file),
        false => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// True for the signature of VHDX at the front, or of VHD at the front or at the end, where versions of it differ by a byte.
fn is_virtual_disk(file: &File) -> bool {
    let has = |at: Option<u64>, signature: &[u8; 8]| {
        let mut bytes = [0; 8];
        at.is_some_and(|at| file.read_exact_at(&mut bytes, at).is_ok()) && bytes == *signature
    };
    let len = file.metadata().map_or(0, |metadata| metadata.len());
    has(Some(0), b"vhdxfile")
        || [Some(0), len.checked_sub(512), len.checked_sub(511)].into_iter().any(|at| has(at, b"conectix"))
}

/// Starts the process outside. This one must have one thread.
pub(super) fn start(rights: &Rights) -> io::Result<Client> {
    let (inside, outside) = pair()?;
    // SAFETY: the program has one thread so far, so no lock or allocator state is copied half-changed.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { .. } => Ok(Client::new(inside)),
        ForkResult::Child => {
            drop(inside);
            serve(&outside, rights)
        }
    }
}

/// Answers until the confined process has ended.
fn serve(socket: &OwnedFd, rights: &Rights) -> ! {
    // What reads this program's output waits until nobody holds the other end; and the confined process decides about Ctrl-C.
    if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdin(&null).and_then(|()| rustix::stdio::dup2_stdout(&null));
        let _ = rustix::stdio::dup2_stderr(&null);
    }
    super::privileges::ignore_signals();
    let mut broker = Broker::new(rights);
    while broker.answer(socket).unwrap_or(false) {}
    std::process::exit(0)
}

#[cfg(test)]
mod tests;
