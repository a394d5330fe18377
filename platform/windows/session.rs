//! A mount served by this process: start, wait, and its end by Ctrl-C, by `-u`, or by the driver.

use std::{
    io, panic,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use vhdmount::tree::Tree;

use super::{
    MountError, MountOptions,
    adapter::{Adapter, Face, Status},
    control,
    mount_registry::{RegisteredMount, Trigger},
    mountpoint::Mountpoint,
    winfsp::{Refused, Settings, Volume, WinFsp},
};

/// Panics of requests that are logged in full: a program may repeat a failed read, and so fill the log.
const MAX_PANICS: usize = 16;

/// A mounted tree, served by WinFsp's threads. Dropping it unmounts.
pub(super) struct Session {
    volume: Volume,
    registered: RegisteredMount,
    mountpoint: Mountpoint,
    pid_file: Option<PathBuf>,
}

impl Session {
    pub(super) fn start(winfsp: WinFsp, options: &MountOptions, tree: Arc<Tree>) -> Result<Self, MountError> {
        log_panics();
        let face = Face::of(&tree, &options.name);
        let adapter = Adapter::new(tree, face, options.check_access);
        let settings = Settings { uncached: options.uncached, debug: options.debug };
        let ended = Arc::new(OnceLock::<Trigger>::new());
        let by_driver = ended.clone();
        let stopped = move || {
            log::warn!("WinFsp has ended the mount");
            if let Some(trigger) = by_driver.get() {
                trigger.pull();
            }
        };
        let mut volume = Volume::create(winfsp, adapter, settings, stopped).map_err(no_volume)?;
        let wanted = &options.mountpoint;
        let mounted =
            volume.mount(wanted.wide().as_deref(), options.threads).map_err(|e| refused(wanted, e))?;
        // WinFsp has chosen the letter, if none was given.
        let mountpoint = Mountpoint::from(&*mounted);
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => mountpoint.refuse("an image is mounted here already"),
            _ => MountError::System(format!("cannot be found by vhdmount -u: {error}")),
        };
        let registered = RegisteredMount::register(&mountpoint).map_err(failed)?;
        let trigger = registered.trigger().map_err(failed)?;
        ended.get_or_init(|| trigger);
        let trigger = registered.trigger().map_err(failed)?;
        if let Err(error) = control::on_control(move || trigger.pull()) {
            log::debug!("Ctrl-C will not unmount: {error}");
        }
        if let Some(path) = &options.pid_file {
            std::fs::write(path, format!("{}\n", std::process::id()))
                .map_err(|error| MountError::System(format!("pid file {}: {error}", path.display())))?;
        }
        Ok(Self { volume, registered, mountpoint, pid_file: options.pid_file.clone() })
    }

    pub(super) fn mountpoint(&self) -> &Mountpoint {
        &self.mountpoint
    }

    /// Serves until an unmount is requested. Afterwards nothing of the image is open.
    pub(super) fn until_unmounted(self) -> Result<(), MountError> {
        let Self { volume, registered, pid_file, .. } = self;
        let waited = registered.wait();
        drop(volume);
        if let Some(Err(error)) = pid_file.map(std::fs::remove_file) {
            log::warn!("pid file: {error}");
        }
        // Only now may processes that wait for this mount go on.
        drop(registered);
        waited.map_err(|error| MountError::System(format!("waiting for the unmount: {error}")))
    }
}

/// Sends a request's panic to the log, without a backtrace: it fails only that request.
fn log_panics() {
    let count = AtomicUsize::new(0);
    panic::set_hook(Box::new(move |info| {
        if count.fetch_add(1, Ordering::Relaxed) < MAX_PANICS {
            log::error!("{} (a bug, please report it)", info.to_string().replace('\n', " "));
        }
    }));
}

const NO_SUCH_DEVICE: u32 = 0xC000_000E;
const OBJECT_NAME_INVALID: u32 = 0xC000_0033;
const OBJECT_NAME_COLLISION: u32 = 0xC000_0035;

fn no_volume(Refused(status): Refused) -> MountError {
    let why = match status.cast_unsigned() {
        NO_SUCH_DEVICE => {
            "it is not running: restart Windows, or install WinFsp again (winget install WinFsp.WinFsp)"
        }
        code if code == Status::ACCESS_DENIED.0 => "this user may not use it",
        _ => "install WinFsp again: winget install WinFsp.WinFsp",
    };
    MountError::WinFsp(format!("WinFsp's driver gives no volume (status {status:#010x}): {why}"))
}

fn refused(mountpoint: &Mountpoint, Refused(status): Refused) -> MountError {
    let code = status.cast_unsigned();
    mountpoint.refuse(match (mountpoint, code) {
        (Mountpoint::GlobalDrive(_), code) if code == Status::ACCESS_DENIED.0 => {
            "only an administrator mounts for all users: run this elevated, or name X: alone".into()
        }
        (_, OBJECT_NAME_COLLISION) => "is in use; * takes the next drive letter that is free".into(),
        (Mountpoint::NextFree, _) => format!("no drive letter is free (status {code:#010x})"),
        (Mountpoint::Folder(_), OBJECT_NAME_INVALID) => {
            "WinFsp cannot make this folder: is it on NTFS?".into()
        }
        _ => format!("WinFsp refuses it (status {code:#010x})"),
    })
}
