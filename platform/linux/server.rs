//! The server of a mount: the process that reads the image and answers the kernel. It is confined before the first byte and
//! before its first thread; what it may not do, its keeper does when asked.

use std::{
    fs::File,
    io::Read,
    os::{fd::OwnedFd, unix::net::UnixStream},
    panic,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use nix::unistd::Pid;

use super::{
    MountError, MountOptions, Prepared, announce, background, keeper,
    sandbox::{self, Client, Request, Restriction},
    session,
    writing::Writing,
};

/// What the server is started with.
pub(super) struct Server<'a> {
    pub(super) options: &'a MountOptions,
    /// `None`: it keeps all rights.
    pub(super) restriction: Option<Restriction>,
    pub(super) keeper: Pid,
    /// The connection to the keeper.
    pub(super) keepers: OwnedFd,
    pub(super) clone_device: bool,
    /// It leaves the terminal when the mount is usable.
    pub(super) detaches: bool,
}

/// Opens the image and serves it until it is unmounted; the process ends here then.
///
/// # Errors
/// When the image cannot be opened or served.
pub(super) fn run<E: From<MountError>, F>(
    server: Server<'_>,
    open_written: impl FnOnce() -> Result<F, E>,
    prepare: impl FnOnce(F) -> Result<Prepared, E>,
) -> Result<bool, E> {
    let Server { options, restriction, keeper, keepers, clone_device, detaches } = server;
    sandbox::end_with(keeper);
    if options.writable {
        sandbox::may_be_needed_for_memory();
    }
    let files = open_written()?;
    let client = Arc::new(Client::new(keepers));
    if let Some(restriction) = &restriction {
        sandbox::confine_server(restriction, client.clone())?;
    }
    let Prepared { fs, announcement, complete, written } = prepare(files)?;
    log_panics();
    let pid = u32::try_from(keeper.as_raw()).ok();
    let mut files = ask(&client, &Request::Mount).into_iter();
    let (device, _auto_unmount) = (files.next(), files.next());
    let Some(device) = device else {
        return Err(MountError::System("there is no connection to the kernel".into()).into());
    };
    let mut options = options.clone();
    // The kernel admits the owner of the mount alone, who is not the user of this process.
    options.allow_other |=
        restriction.is_some_and(|restriction| restriction.user.is_some()) && !options.allow_root;
    // Another user may not open the device again.
    let clone_device = clone_device && File::options().read(true).write(true).open("/dev/fuse").is_ok();
    let (workers, writing) = session::serve(&options, fs, written, pid, device, clone_device)?;
    if let Some(writing) = &writing {
        end_at_signal(writing.clone())?;
    }
    if client.ask_while(&Request::Serving, || !workers.guard.is_finished()).is_err() {
        if !workers.guard.is_finished() {
            // The keeper says why.
            std::process::exit(1);
        }
        let why = session::join(workers).err().map_or_else(|| "no worker".into(), |error| error.to_string());
        return Err(MountError::System(format!("the mount cannot be served: {why}; it is undone")).into());
    }
    announce(&announcement);
    if detaches {
        background::detach_from_terminal()?;
    }
    ask(&client, &Request::Announced(complete));
    // The keeper has already returned to its caller, or will with this status.
    let served = session::join(workers).inspect_err(|error| log::error!("FUSE: {error}")).is_ok();
    let ended = writing.is_none_or(|writing| session::end(&writing));
    std::process::exit(i32::from(!(served && ended)))
}

/// Publishes and ends when the keeper says so, though files are open.
fn end_at_signal(writing: Arc<Writing>) -> Result<(), MountError> {
    let wait = move |mut signals: UnixStream| {
        let mut number = [0];
        if signals.read_exact(&mut number).is_ok() {
            let ended = session::end(&writing);
            std::process::exit(if ended { 0 } else { 1 });
        }
    };
    let start = || {
        let (signals, sender) = UnixStream::pair()?;
        keeper::register(signal_hook::consts::SIGTERM, sender)?;
        std::thread::Builder::new().name("signals".into()).spawn(move || wait(signals)).map(drop)
    };
    start().map_err(|error: std::io::Error| MountError::System(error.to_string()))
}

/// Asks the keeper. Where it cannot do what it is asked for, it says so itself, and this process has to end.
fn ask(client: &Client, request: &Request) -> Vec<OwnedFd> {
    match client.ask(request) {
        Ok((_, files)) => files,
        Err(_) => std::process::exit(1),
    }
}

/// Handler panics that are logged in full. The kernel repeats a failed read, so a broken file could fill the log.
const MAX_PANICS: usize = 16;

/// Sends a handler's panic to the log, without a backtrace: it fails only its own request.
fn log_panics() {
    let count = AtomicUsize::new(0);
    panic::set_hook(Box::new(move |info| {
        if count.fetch_add(1, Ordering::Relaxed) < MAX_PANICS {
            log::error!("{} (a bug, please report it)", info.to_string().replace('\n', " "));
        }
    }));
}
