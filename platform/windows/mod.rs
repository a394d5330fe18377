//! Windows: mounts a tree through WinFsp, served in the foreground or by a background process, and unmounts it; and the
//! system calls behind the library's `Host`.
//!
//! `adapter` answers requests and needs no Windows, `winfsp` is the binding, `session` holds a mount, `background` is the
//! process that serves it, `mount_registry` lets `-u` find that process.

mod adapter;
mod background;
mod calls;
mod console;
mod control;
mod elevation;
mod files;
mod host;
mod mount_registry;
mod mountpoint;
mod running;
pub(crate) mod sandbox;
mod session;
mod winfsp;

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use vhdmount::tree::Tree;

pub(crate) use console::understand_escapes;
pub(crate) use control::on_control;
pub(crate) use files::{file_id, rename_new, set_attributes, set_sparse};
pub(crate) use host::Windows;
pub(crate) use mountpoint::Mountpoint;

use self::{mount_registry::Lowered, session::Session, winfsp::WinFsp};

/// The options of a mount.
#[derive(Debug, Clone)]
pub(crate) struct MountOptions {
    /// The drive or folder to mount on.
    pub(crate) mountpoint: Mountpoint,
    /// The volume name of a whole disk, which has no label: the image's name.
    pub(crate) name: String,
    /// Serve in this process instead of in a background one.
    pub(crate) foreground: bool,
    /// Log each request, in the foreground.
    pub(crate) debug: bool,
    /// Check the access rights in the volume's security descriptors.
    pub(crate) check_access: bool,
    /// Keep nothing in the kernel's caches.
    pub(crate) uncached: bool,
    /// Worker threads; 0 lets WinFsp choose.
    pub(crate) threads: u32,
    /// A file for the serving process's id, removed at the end.
    pub(crate) pid_file: Option<PathBuf>,
}

/// Why a mount or an unmount failed. The text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum MountError {
    /// The mountpoint cannot be used.
    #[error("{at} as the mountpoint: {problem}")]
    Mountpoint {
        /// The mountpoint as the user wrote it.
        at: String,
        /// The problem, and its remedy.
        problem: String,
    },
    /// WinFsp is not available.
    #[error("{0}")]
    WinFsp(String),
    /// A failure of the pid file, a process or an event.
    #[error("{0}")]
    System(String),
    /// The background process has failed and has printed its error: only its exit status is passed on.
    #[error("the background process ended with status {0}")]
    Reported(u8),
}

/// The content to be mounted, as `prepare` returns it.
pub(crate) struct Prepared {
    /// The content of the mount.
    pub(crate) tree: Arc<Tree>,
    /// Printed when the mount is usable, and only then.
    pub(crate) announcement: String,
    /// Print the mountpoint and how to unmount it.
    pub(crate) say_where: bool,
    /// False when the image should hold more than could be mounted; passed on to the caller of [`mount`].
    pub(crate) complete: bool,
}

/// Prepares the tree, mounts it and serves it until it is unmounted: in this process if `foreground`, otherwise in a
/// background process; this one then returns [`Prepared::complete`] as soon as the mount is usable. `prepare` opens the
/// image, in the serving process.
///
/// # Errors
/// [`MountError::Reported`] in the original process when the background one failed and has printed its error; all others
/// before or during the mount.
pub(crate) fn mount<E: From<MountError>>(
    options: MountOptions,
    prepare: impl FnOnce() -> Result<Prepared, E>,
) -> Result<bool, E> {
    let winfsp = WinFsp::load().map_err(MountError::WinFsp)?;
    check(&options.mountpoint)?;
    let serving = background::is_serving();
    if !(options.foreground || options.debug || serving) {
        return Ok(background::start()?);
    }
    let Prepared { tree, mut announcement, say_where, complete } = prepare()?;
    let session = Session::start(winfsp, &options, tree)?;
    if say_where {
        announcement += &how_to_end(session.mountpoint(), serving);
    }
    announce(&announcement);
    if serving {
        background::release(complete)
            .map_err(|error| MountError::System(format!("cannot leave the console: {error}")))?;
    }
    session.until_unmounted()?;
    Ok(complete)
}

fn check(mountpoint: &Mountpoint) -> Result<(), MountError> {
    if mount_registry::is_registered(mountpoint) {
        return Err(mountpoint.refuse("an image is mounted here already; unmount it first (vhdmount -u)"));
    }
    mountpoint.check()
}

/// The text that names the mountpoint, how to unmount it, and which programs see it.
fn how_to_end(mountpoint: &Mountpoint, background: bool) -> String {
    let quoted = format!("\"{mountpoint}\"");
    let at = if quoted.contains(' ') { quoted } else { mountpoint.to_string() };
    let mut text = match background {
        true => format!("Mounted at {at}; unmount with: vhdmount -u {at}\n"),
        false => format!("Mounted at {at}; Ctrl-C unmounts\n"),
    };
    if let Mountpoint::Drive(letter) = mountpoint
        && elevation::is_elevated()
    {
        text += &format!(
            "Only elevated programs see this drive, as it was mounted by an administrator; \\\\.\\{letter}: is one that all \
             see, Explorer included\n"
        );
    }
    text
}

/// Prints the announcement; a failed write (a closed pipe) does not end the mount.
fn announce(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Unmounts the volume at `mountpoint`. With `wait` it returns after the serving process has closed the image.
///
/// # Errors
/// When the mountpoint holds no mount of ours, or this user may not unmount it.
pub(crate) fn unmount(mountpoint: &Path, wait: bool) -> Result<(), MountError> {
    let mountpoint = Mountpoint::parse(mountpoint);
    match mount_registry::lower(&mountpoint, wait) {
        Ok(Lowered::Ended) => Ok(()),
        Ok(Lowered::Nothing) => Err(mountpoint.refuse("nothing is mounted here by vhdmount")),
        Ok(Lowered::Stuck) => {
            Err(mountpoint.refuse("its process was asked to unmount, but has not ended after 30 s"))
        }
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Err(mountpoint
            .refuse("an administrator or another user has mounted it: unmount it as that user, or elevated")),
        Err(error) => Err(mountpoint.refuse(error.to_string())),
    }
}
