//! The keeper of a mount: a process that parses nothing of an image. It makes the mount and ends it, writes and removes the pid
//! file, and opens parents for the other process, the server (`server`), which is confined before it reads the first byte of
//! the image. When one of the two dies, the other ends the mount; when the keeper is killed, its guard (`guard`) does.

use std::{
    fs,
    io::{self, Read, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
};

use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitStatus, waitpid},
    },
    unistd::Pid,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::{
    MountError, MountOptions, Prepared,
    background::{self, Parent},
    connection::Connection,
    guard::Guard,
    options::Attributes,
    pid_file::PidFile,
    sandbox::{Broker, Event, Request, Restriction, confine_keeper, ignore_signals, pair, reply},
    server::{self, Server},
    session::{self, Detached, MAX_START, Mounted, Site, Unserved},
    unmount,
};

/// Mounts, and returns when the filesystem has been unmounted. `parent` is released when the mount is usable.
///
/// # Errors
/// In the keeper: why there is no mount, or how the server ended. In the server, which ends otherwise: why the image
/// cannot be opened or served.
pub(super) fn keep<E: From<MountError>, F>(
    options: &MountOptions,
    restriction: Option<Restriction>,
    parent: Option<Parent>,
    open_written: impl FnOnce() -> Result<F, E>,
    prepare: impl FnOnce(F) -> Result<Prepared, E>,
) -> Result<bool, E> {
    // What would fail later is refused before the image is opened.
    let attributes = Attributes::of(options)?;
    let clone_device = session::may_clone_device(options)?;
    let broker = Broker::new(&restriction.clone().unwrap_or_default().rights);
    let fusermount = attributes.auto_unmount;
    let guard = Guard::start(options, restriction.is_some().then_some(fusermount))?;
    let (inside, outside) = pair().map_err(system)?;
    let keeper = Pid::this();
    match background::copy()? {
        None => {
            drop((outside, guard));
            let detaches = parent.is_some();
            drop(parent);
            server::run(
                Server { options, restriction, keeper, keepers: inside, clone_device, detaches },
                open_written,
                prepare,
            )
        }
        Some(server) => {
            drop(inside);
            if restriction.is_some() {
                confine_keeper("keeper", Some(server), fusermount);
            }
            let keeper = Keeper {
                options,
                broker,
                server,
                socket: outside,
                guard,
                parent,
                mount: Mount::None,
                pid_file: None,
                complete: false,
                detached: false,
                ending: false,
                failure: None,
                early: None,
                signal: None,
            };
            Ok(keeper.until_unmounted()?)
        }
    }
}

fn system(error: impl Into<io::Error>) -> MountError {
    MountError::System(error.into().to_string())
}

struct Keeper<'a> {
    options: &'a MountOptions,
    broker: Broker,
    server: Pid,
    /// To the server; it ends with that process.
    socket: OwnedFd,
    guard: Guard,
    /// The process that the user started and that waits for the mount.
    parent: Option<Parent>,
    mount: Mount,
    pid_file: Option<PidFile>,
    /// The mount holds all that the image should.
    complete: bool,
    /// It was unmounted, and files are still open.
    detached: bool,
    /// The server was asked to publish and to end.
    ending: bool,
    failure: Option<MountError>,
    /// A signal that arrived before the mount was usable.
    early: Option<i32>,
    /// The signal that ended all at once.
    signal: Option<i32>,
}

enum Mount {
    None,
    Made(Site, Unserved),
    Served(Mounted),
}

impl Keeper<'_> {
    /// Serves the server and the user's signals until the server has ended; then leaves nothing behind.
    fn until_unmounted(mut self) -> Result<bool, MountError> {
        let waited = self.wait();
        if let Err(error) = waited {
            self.failure.get_or_insert(system(error));
            let _ = kill(self.server, Signal::SIGKILL);
        }
        let ended = waitpid(self.server, None);
        match std::mem::replace(&mut self.mount, Mount::None) {
            Mount::None => {}
            // Dropped, it is undone.
            Mount::Made(..) => {}
            Mount::Served(mounted) => mounted.remove(),
        }
        if let Some(image) = &self.options.redo_of
            && let Err(error) = vhdmount::container::redo::remove_retired(image)
        {
            log::warn!("{error}");
        }
        drop(self.pid_file.take());
        if self.options.remove_mountpoint {
            let removed = fs::remove_dir(&self.options.mountpoint);
            if let (Err(error), None) = (removed, &self.failure) {
                log::warn!("the mountpoint was made for this mount, but stays: {error}");
            }
        }
        self.guard.done();
        if let Some(signal) = self.signal {
            std::process::exit(128 + signal);
        }
        match (self.failure, ended) {
            (Some(failure), _) => Err(failure),
            (None, Ok(WaitStatus::Exited(_, 0))) => Ok(self.complete),
            (None, Ok(WaitStatus::Exited(_, status))) => {
                Err(MountError::Reported(u8::try_from(status).unwrap_or(1)))
            }
            (None, Ok(WaitStatus::Signaled(_, signal, _))) => Err(MountError::System(format!(
                "the serving process was ended by {signal}; nothing is left mounted"
            ))),
            (None, _) => Err(MountError::System("the serving process failed".into())),
        }
    }

    fn wait(&mut self) -> io::Result<()> {
        let (mut signals, sender) = UnixStream::pair()?;
        signals.set_nonblocking(true)?;
        // One handler writes the signal's number.
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let sender = sender.try_clone()?;
            register(signal, sender)?;
        }
        loop {
            let (server, signaled) = {
                let mut ready =
                    [PollFd::new(&self.socket, PollFlags::IN), PollFd::new(&signals, PollFlags::IN)];
                match poll(&mut ready, None) {
                    Err(rustix::io::Errno::INTR) => continue,
                    polled => polled?,
                };
                (!ready[0].revents().is_empty(), !ready[1].revents().is_empty())
            };
            let mut numbers = [0; 16];
            if signaled && let Ok(len) = signals.read(&mut numbers) {
                numbers[..len].iter().for_each(|number| self.on_signal((*number).into()));
            }
            if server {
                match self.broker.answer(&self.socket)? {
                    Event::Answered => {}
                    Event::Ended => return Ok(()),
                    Event::OfMount(request) => self.on_request(&request),
                }
            }
        }
    }

    fn on_request(&mut self, request: &Request) {
        let done = match (request, std::mem::replace(&mut self.mount, Mount::None)) {
            (Request::Mount, Mount::None) if self.failure.is_none() => self.make(),
            (Request::Serving, Mount::Made(site, unserved)) => {
                self.serve(site, unserved).map(|()| Vec::new())
            }
            (Request::Announced(complete), mount @ Mount::Served(_)) => {
                self.mount = mount;
                self.announced(*complete).map(|()| Vec::new())
            }
            (_, mount) => {
                self.mount = mount;
                Err(MountError::System("the serving process asks for what cannot be".into()))
            }
        };
        match done {
            Ok(files) => reply(&self.socket, Ok((Vec::new(), files))),
            Err(error) => {
                // The server has nothing to say about it.
                self.failure.get_or_insert(error);
                reply(&self.socket, Err(io::ErrorKind::PermissionDenied.into()));
            }
        }
    }

    /// Makes the mount, without workers so far. Returns its connection, and the socket to fusermount3, which unmounts when it
    /// is closed and the mount is dead: both have to end with the server, so no copy stays here.
    fn make(&mut self) -> Result<Vec<OwnedFd>, MountError> {
        let site = Site::new(self.options)?;
        self.guard.expect(&site);
        let (Connection { device, auto_unmount }, unserved) = site.connect()?;
        self.guard.watch(&site.mounted());
        self.mount = Mount::Made(site, unserved);
        Ok([device].into_iter().chain(auto_unmount).collect())
    }

    fn serve(&mut self, site: Site, unserved: Unserved) -> Result<(), MountError> {
        let Some(answered) = self.is_answered(&site)? else { return Ok(()) };
        if !answered {
            let problem = "the mount cannot be served: no worker answers; it is undone";
            return Err(MountError::System(problem.into()));
        }
        self.pid_file = Some(PidFile::create(self.options.pid_file.as_deref())?);
        self.mount = Mount::Served(site.into_served(unserved));
        Ok(())
    }

    /// Waits for the first answer of a worker; `None` when the server has ended, which then says why. Asked by another process:
    /// this one must be able to end when no answer comes.
    fn is_answered(&self, site: &Site) -> Result<Option<bool>, MountError> {
        let (answer, mut sender) = io::pipe().map_err(system)?;
        let Some(asker) = background::copy()? else {
            // They are for this process's parent, whose handlers it has.
            ignore_signals();
            let text = unmount::pid_text(site.mountpoint()).unwrap_or_default();
            let _ = sender.write_all(&text);
            std::process::exit(0);
        };
        drop(sender);
        let limit = Timespec { tv_sec: MAX_START.as_secs().cast_signed(), tv_nsec: 0 };
        let mut ready = [PollFd::new(&answer, PollFlags::IN), PollFd::new(&self.socket, PollFlags::empty())];
        while poll(&mut ready, Some(&limit)) == Err(rustix::io::Errno::INTR) {}
        let answered = ready[0].revents().contains(PollFlags::IN);
        if answered {
            // It has ended, or will at once.
            let _ = waitpid(asker, None);
        }
        Ok(ready[1].revents().is_empty().then_some(answered))
    }

    fn announced(&mut self, complete: bool) -> Result<(), MountError> {
        self.complete = complete;
        if let Some(parent) = self.parent.take() {
            background::detach_from_terminal()?;
            parent.release(complete);
        }
        if let Some(signal) = self.early.take() {
            self.on_signal(signal);
        }
        Ok(())
    }

    /// Unmounts at the first signal. If files are open, they stay readable until they are closed or the next signal arrives.
    fn on_signal(&mut self, signal: i32) {
        let mounted = match &self.mount {
            Mount::Served(mounted) => mounted,
            // Usable in a moment, and unmounted then.
            Mount::Made(..) if self.early.is_none() => {
                self.early = Some(signal);
                return;
            }
            Mount::Made(..) | Mount::None => return self.end(signal),
        };
        if self.detached && self.options.writable && !self.ending {
            log::warn!(
                "ended by a second signal; what open files have not synced is lost, all else is published"
            );
            (self.ending, self.signal) = (true, Some(signal));
            let _ = kill(self.server, Signal::SIGTERM);
            return;
        }
        if self.detached {
            log::warn!("ended by a further signal; open files are lost");
            return self.end(signal);
        }
        match mounted.detach() {
            Ok(Detached::Ended) => {}
            Ok(Detached::StillOpen) => {
                log::warn!(
                    "unmounted; this process ends when the last open file is closed, or at the next signal"
                );
                self.detached = true;
            }
            Err(error) => log::error!("{error}"),
        }
    }

    fn end(&mut self, signal: i32) {
        self.signal = Some(signal);
        let _ = kill(self.server, Signal::SIGKILL);
    }
}

/// Writes the signal's number to a socket when it arrives.
pub(super) fn register(signal: i32, sender: UnixStream) -> io::Result<()> {
    let number = [u8::try_from(signal).unwrap_or(0)];
    let act = move || {
        let flags = rustix::net::SendFlags::NOSIGNAL | rustix::net::SendFlags::DONTWAIT;
        let _ = rustix::net::send(&sender, &number, flags);
    };
    // SAFETY: the handler makes one system call, which may be made in a handler; it neither allocates nor locks nor panics.
    unsafe { signal_hook::low_level::register(signal, act) }?;
    Ok(())
}
