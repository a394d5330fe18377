//! The process outside of the sandbox: opens the parents that an image names, where the confined process may not, and asks
//! for quotas. It parses nothing of an image: it compares the signatures of VHD and VHDX, which is also all that an image can
//! make it open outside of the folders that the user named.

mod wire;

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{ffi::OsStrExt, ffi::OsStringExt, fs::FileExt},
    },
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    fs::{Mode, OFlags},
};
use vhdmount::{
    bytes::{FileSource, is_of_the_kernel},
    container,
    host::{Quota, quotas_of_owner},
};

use self::wire::{Answer, Reply, receive, send};
pub(in super::super) use self::wire::{Request, pair};
use super::super::{MountError, background};
use crate::rights::Rights;

/// Most bytes of names in one answer.
const MAX_NAMES: usize = 64 << 10;
/// Most files of a folder that are examined, as for the search itself.
const MAX_EXAMINED: usize = 2000;

/// The confined process's end.
pub(in super::super) struct Client(Mutex<OwnedFd>);

impl Client {
    pub(in super::super) fn new(socket: OwnedFd) -> Self {
        Self(Mutex::new(socket))
    }

    /// Asks, and returns the answer with its descriptors.
    pub(in super::super) fn ask(&self, request: &Request) -> io::Result<Answer> {
        let socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        send(&socket, &request.to_bytes(), &[])?;
        let (bytes, files) = receive(&socket)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok((Reply::parse(bytes)?, files))
    }

    /// As [`Self::ask`], as long as `go_on` returns true.
    pub(in super::super) fn ask_while(
        &self,
        request: &Request,
        mut go_on: impl FnMut() -> bool,
    ) -> io::Result<()> {
        const POLL: Timespec = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
        let socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        send(&socket, &request.to_bytes(), &[])?;
        while rustix::event::poll(&mut [PollFd::new(&*socket, PollFlags::IN)], Some(&POLL))? == 0 {
            if !go_on() {
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
        let (bytes, _) = receive(&socket)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        Reply::parse(bytes).map(drop)
    }

    /// Opens a virtual disk.
    pub(super) fn open(&self, path: &Path) -> io::Result<File> {
        let (_, files) = self.ask(&Request::Open(std::path::absolute(path)?))?;
        files.into_iter().next().map(File::from).ok_or_else(|| io::ErrorKind::InvalidData.into())
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
pub(in super::super) struct Broker {
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
    pub(in super::super) fn new(rights: &Rights) -> Self {
        let absolute = |path: &PathBuf| std::path::absolute(path).ok();
        Self {
            named: rights.images.iter().filter_map(absolute).collect(),
            folders: rights.folders.iter().filter_map(|folder| folder.canonicalize().ok()).collect(),
            confined: rights.confined,
            disks_only: false,
        }
    }

    /// Answers one request about files; returns any other.
    pub(in super::super) fn answer(&mut self, socket: &OwnedFd) -> io::Result<Event> {
        let Some((bytes, _)) = receive(socket)? else { return Ok(Event::Ended) };
        let answered = match Request::parse(&bytes) {
            Some(request @ (Request::Mount | Request::Serving | Request::Announced(_))) => {
                return Ok(Event::OfMount(request));
            }
            Some(request) => self.perform(request),
            None => Err(io::ErrorKind::InvalidInput.into()),
        };
        reply(socket, answered);
        Ok(Event::Answered)
    }

    fn perform(&mut self, request: Request) -> io::Result<Answer> {
        Ok(match request {
            Request::Open(path) => (Vec::new(), vec![self.open(&path)?.into()]),
            Request::SimilarName(folder, name) => {
                self.check_folder(&folder)?;
                let found = container::similar_name(&folder, &name)?;
                (found.map(OsString::into_vec).unwrap_or_default(), Vec::new())
            }
            Request::DisksIn(folder) => {
                self.check_folder(&folder)?;
                (self.disks_in(&folder)?, Vec::new())
            }
            Request::Quotas(device, uid, gid) => {
                (wire::quotas_to_bytes(quotas_of_owner(&device, uid, gid)), Vec::new())
            }
            Request::Narrow => {
                self.disks_only = true;
                (Vec::new(), Vec::new())
            }
            Request::Mount | Request::Serving | Request::Announced(_) => {
                return Err(io::ErrorKind::Unsupported.into());
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

/// What came of waiting for a request.
pub(in super::super) enum Event {
    Answered,
    /// The confined process has ended.
    Ended,
    /// A request about a mount, to be answered with [`reply`].
    OfMount(Request),
}

/// Answers a request. A process that does not read its answers does not get them.
pub(in super::super) fn reply(socket: &OwnedFd, answer: io::Result<Answer>) {
    let _ = match answer {
        Ok((bytes, files)) => send(socket, &Reply::Done(bytes).to_bytes(), &files),
        Err(error) => send(socket, &Reply::Failed(error).to_bytes(), &[]),
    };
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
pub(super) fn start(rights: &Rights) -> Result<Client, MountError> {
    let (inside, outside) = pair().map_err(|error| MountError::System(error.to_string()))?;
    match background::copy()? {
        Some(_) => Ok(Client::new(inside)),
        None => {
            drop(inside);
            serve(&outside, rights)
        }
    }
}

/// Answers until the confined process has ended.
fn serve(socket: &OwnedFd, rights: &Rights) -> ! {
    let errors =
        super::self_test::is_wanted().then(|| io::stderr().as_fd().try_clone_to_owned().ok()).flatten();
    // What reads this program's output waits until the other end is closed everywhere; and the confined process decides about
    // Ctrl-C.
    let _ = background::close_output();
    super::privileges::ignore_signals();
    super::confine_broker(rights, errors.map(File::from));
    let mut broker = Broker::new(rights);
    while matches!(broker.answer(socket), Ok(Event::Answered)) {}
    std::process::exit(0)
}

#[cfg(test)]
mod tests;
