//! Windows: mounts a tree through WinFsp, in the foreground or behind the caller's back, and unmounts it; and the system calls
//! behind the library's `Host`.
//!
//! `adapter` answers requests and needs no Windows, `winfsp` is the binding, `session` holds a mount, `background` is the
//! process that serves it, `mount_registry` is how `-u` finds that.

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

/// Everything that a mount needs beside its content.
#[derive(Debug, Clone)]
pub(crate) struct MountOptions {
    /// Where.
    pub(crate) mountpoint: Mountpoint,
    /// What a whole disk is called, which has no label: the image's name.
    pub(crate) name: String,
    /// Serve in this process instead of in a background one.
    pub(crate) foreground: bool,
    /// Log each request, in the foreground.
    pub(crate) debug: bool,
    /// Check the rights that the volume's security descriptors grant.
    pub(crate) check_access: bool,
    /// Keep nothing in the kernel's caches.
    pub(crate) uncached: bool,
    /// Worker threads; 0 lets WinFsp choose.
    pub(crate) threads: u32,
    /// A file for the serving process's number, removed at the end.
    pub(crate) pid_file: Option<PathBuf>,
}

/// Why a mount or an unmount did not happen. The text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum MountError {
    /// The mountpoint cannot be used.
    #[error("{at} as the mountpoint: {problem}")]
    Mountpoint {
        /// As the user named it.
        at: String,
        /// What is wrong with it, and its cure.
        problem: String,
    },
    /// WinFsp is not to be had here.
    #[error("{0}")]
    WinFsp(String),
    /// The pid file, a process, an event.
    #[error("{0}")]
    System(String),
    /// The background process has failed and has said why: nothing is to be added but its exit status.
    #[error("the background process ended with status {0}")]
    Reported(u8),
}

/// What is to be mounted.
pub(crate) struct Prepared {
    /// Its content.
    pub(crate) tree: Arc<Tree>,
    /// Printed when the mount is usable, and not otherwise.
    pub(crate) announcement: String,
    /// Say where it is mounted, and how that ends.
    pub(crate) say_where: bool,
    /// False when there is less in it than an image should hold; passed on to the caller of [`mount`].
    pub(crate) complete: bool,
}

/// Prepares the tree, mounts it and serves it until it is unmounted: in this process if `foreground`, otherwise in a background
/// process, and then this one returns as soon as the mount is usable, with [`Prepared::complete`]. `prepare` opens the image, in the
/// process that serves.
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

/// Where it is mounted, how that ends, and who sees it.
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

/// A mount is not given up because nobody reads what it says.
fn announce(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Unmounts what is mounted at `mountpoint`. With `wait` it returns after the serving process has closed the image.
///
/// # Errors
/// When nothing of ours is mounted there, or this user may not.
pub(crate) fn unmount(mountpoint: &Path, wait: bool) -> Result<(), MountError> {
    let mountpoint = Mountpoint::parse(mountpoint);
    match mount_registry::lower(&mountpoint, wait) {
        Ok(Lowered::Ended) => Ok(()),
        Ok(Lowered::Nothing) => Err(mountpoint.refuse("nothing is mounted here by vhdmount")),
        Ok(Lowered::Stuck) => {
            Err(mountpoint.refuse("its process was told to unmount, but has not ended after 30 s"))
        }
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Err(mountpoint
            .refuse("an administrator or another user has mounted it: unmount it as that user, or elevated")),
        Err(error) => Err(mountpoint.refuse(error.to_string())),
    }
}
