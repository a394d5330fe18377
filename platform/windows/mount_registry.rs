//! Registers mounts so that `vhdmount -u` finds and ends those of another process: an event, named after the mountpoint,
//! requests the unmount, and a mutex is held as long as the serving process lives. Windows releases the mutex of a
//! process however it ends.

use std::{
    io,
    os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle},
    ptr::null,
};

use sha2::{Digest, Sha256};
use windows_sys::Win32::{
    Foundation::{ERROR_ALREADY_EXISTS, WAIT_ABANDONED, WAIT_OBJECT_0},
    System::Threading::{
        CreateEventW, CreateMutexW, EVENT_MODIFY_STATE, INFINITE, OpenEventW, OpenMutexW, ReleaseMutex,
        SetEvent, WaitForSingleObject,
    },
};

use super::mountpoint::Mountpoint;

/// Longest wait for the serving process, in ms. It has nothing to write; one that takes longer is stuck on its storage.
const MAX_WAIT_MS: u32 = 30_000;
/// `SYNCHRONIZE`: the right to wait for a mutex and to release it.
const SYNCHRONIZE: u32 = 0x0010_0000;

/// A mount of this process.
pub(super) struct RegisteredMount {
    event: OwnedHandle,
    /// The mutex, held by the thread that registered the mount until that thread ends.
    _alive: OwnedHandle,
}

/// The result of a request to unmount.
pub(super) enum Lowered {
    /// The mount has ended.
    Ended,
    /// No process serves this mountpoint.
    Nothing,
    /// The serving process was signalled, but has not ended.
    Stuck,
}

impl RegisteredMount {
    /// Registers this process for its mountpoint; fails with `AlreadyExists` when another one is registered.
    pub(super) fn register(mountpoint: &Mountpoint) -> io::Result<Self> {
        let name = names(mountpoint).next().expect("two namespaces");
        let event = event(&name)?;
        let alive = wide(&format!("{name}.alive"));
        // SAFETY: the name ends with NUL; the other arguments are plain values.
        let alive = owned(unsafe { CreateMutexW(null(), 1, alive.as_ptr()) })?;
        Ok(Self { event, _alive: alive })
    }

    /// Waits for a request to unmount.
    pub(super) fn wait(&self) -> io::Result<()> {
        // SAFETY: the handle is open.
        match unsafe { WaitForSingleObject(self.event.as_raw_handle(), INFINITE) } {
            WAIT_OBJECT_0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// A handle that requests the unmount from within the process.
    pub(super) fn trigger(&self) -> io::Result<Trigger> {
        Ok(Trigger(self.event.try_clone()?))
    }
}

/// Requests the unmount of the process's own mount.
pub(super) struct Trigger(OwnedHandle);

impl Trigger {
    pub(super) fn pull(&self) {
        // SAFETY: the handle is open.
        unsafe { SetEvent(self.0.as_raw_handle()) };
    }
}

/// True when a process is registered for this mountpoint.
pub(super) fn is_registered(mountpoint: &Mountpoint) -> bool {
    names(mountpoint).any(|name| matches!(open(&name), Ok(Some(_))))
}

/// Signals the process that serves `mountpoint` to unmount; with `wait` also waits for its end.
pub(super) fn lower(mountpoint: &Mountpoint, wait: bool) -> io::Result<Lowered> {
    let mut lowered = Lowered::Nothing;
    for name in names(mountpoint) {
        let Some(event) = open(&name)? else { continue };
        let alive = wide(&format!("{name}.alive"));
        // SAFETY: the name ends with NUL.
        let alive = owned(unsafe { OpenMutexW(SYNCHRONIZE, 0, alive.as_ptr()) });
        // SAFETY: the handle is open.
        if unsafe { SetEvent(event.as_raw_handle()) } == 0 {
            return Err(io::Error::last_os_error());
        }
        // An open handle here would keep the event's name after the process has ended.
        drop(event);
        lowered = match alive {
            Ok(alive) if wait => wait_for(&alive)?,
            _ => Lowered::Ended,
        };
    }
    Ok(lowered)
}

fn wait_for(alive: &OwnedHandle) -> io::Result<Lowered> {
    // SAFETY: the handle is open.
    match unsafe { WaitForSingleObject(alive.as_raw_handle(), MAX_WAIT_MS) } {
        WAIT_OBJECT_0 | WAIT_ABANDONED => {
            // SAFETY: this thread holds the mutex now.
            unsafe { ReleaseMutex(alive.as_raw_handle()) };
            Ok(Lowered::Ended)
        }
        windows_sys::Win32::Foundation::WAIT_TIMEOUT => Ok(Lowered::Stuck),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Creates the event of this name.
fn event(name: &str) -> io::Result<OwnedHandle> {
    let name = wide(name);
    // SAFETY: the name ends with NUL; the other arguments are plain values.
    let event = owned(unsafe { CreateEventW(null(), 1, 0, name.as_ptr()) });
    let existed = io::Error::last_os_error().raw_os_error() == Some(ERROR_ALREADY_EXISTS.cast_signed());
    match event {
        Ok(_) if existed => Err(io::ErrorKind::AlreadyExists.into()),
        event => event,
    }
}

/// Opens the event of this name, if a process has created it.
fn open(name: &str) -> io::Result<Option<OwnedHandle>> {
    let name = wide(name);
    // SAFETY: the name ends with NUL.
    match owned(unsafe { OpenEventW(EVENT_MODIFY_STATE, 0, name.as_ptr()) }) {
        Ok(event) => Ok(Some(event)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The object names of a mount: the one under which it is registered, and the other. Drives of the whole system are in
/// the global namespace, others in that of their session.
fn names(mountpoint: &Mountpoint) -> impl Iterator<Item = String> {
    let digest = Sha256::digest(mountpoint.identity());
    let digest: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let namespaces = match mountpoint {
        Mountpoint::GlobalDrive(_) => ["Global", "Local"],
        _ => ["Local", "Global"],
    };
    namespaces.into_iter().map(move |namespace| format!(r"{namespace}\vhdmount.{digest}"))
}

fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

fn owned(handle: windows_sys::Win32::Foundation::HANDLE) -> io::Result<OwnedHandle> {
    match handle.is_null() {
        true => Err(io::Error::last_os_error()),
        // SAFETY: the handle was just opened, and has no other owner.
        false => Ok(unsafe { OwnedHandle::from_raw_handle(handle) }),
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, thread};

    use super::*;

    #[test]
    fn a_mount_is_found_asked_and_waited_for() {
        let mountpoint = Mountpoint::parse(Path::new(r"C:\no such folder\of a test"));
        assert!(matches!(lower(&mountpoint, true), Ok(Lowered::Nothing)) && !is_registered(&mountpoint));
        let (sender, receiver) = std::sync::mpsc::channel();
        let at = mountpoint.clone();
        let server = thread::spawn(move || {
            let registered = RegisteredMount::register(&at).unwrap();
            sender.send(()).unwrap();
            registered.wait().unwrap();
        });
        receiver.recv().unwrap();
        assert!(is_registered(&mountpoint));
        assert_eq!(
            RegisteredMount::register(&mountpoint).err().map(|error| error.kind()),
            Some(io::ErrorKind::AlreadyExists)
        );
        assert!(matches!(lower(&mountpoint, true), Ok(Lowered::Ended)));
        server.join().unwrap();
        assert!(!is_registered(&mountpoint));
    }
}
