//! How `vhdmount -u` finds and ends a mount of another process: an event, named after the mountpoint, that asks the process to
//! unmount, and a mutex that it holds as long as it lives. A mutex whose owner has ended is free, however it ended.

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

/// The serving process has nothing to write; what takes longer than this is stuck on its storage.
const MAX_WAIT_MS: u32 = 30_000;
/// `SYNCHRONIZE`: to wait for a mutex and to release it.
const SYNCHRONIZE: u32 = 0x0010_0000;

/// A mount of this process.
pub(super) struct RegisteredMount {
    event: OwnedHandle,
    /// Held by the thread that registered the mount, until that ends.
    _alive: OwnedHandle,
}

/// What came of asking a mount to end.
pub(super) enum Lowered {
    /// It has ended.
    Ended,
    /// There is none.
    Nothing,
    /// It was asked to end, but has not.
    Stuck,
}

impl RegisteredMount {
    /// Makes this process findable by its mountpoint; the error `AlreadyExists` when another one is found there.
    pub(super) fn register(mountpoint: &Mountpoint) -> io::Result<Self> {
        let name = names(mountpoint).next().expect("two namespaces");
        let event = event(&name)?;
        let alive = wide(&format!("{name}.alive"));
        // SAFETY: the name ends with NUL; the other arguments are plain values.
        let alive = owned(unsafe { CreateMutexW(null(), 1, alive.as_ptr()) })?;
        Ok(Self { event, _alive: alive })
    }

    /// Waits until somebody asks for the unmount.
    pub(super) fn wait(&self) -> io::Result<()> {
        // SAFETY: the handle is open.
        match unsafe { WaitForSingleObject(self.event.as_raw_handle(), INFINITE) } {
            WAIT_OBJECT_0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// A way to ask from within the process.
    pub(super) fn trigger(&self) -> io::Result<Trigger> {
        Ok(Trigger(self.event.try_clone()?))
    }
}

/// Asks the process's own mount to end.
pub(super) struct Trigger(OwnedHandle);

impl Trigger {
    pub(super) fn pull(&self) {
        // SAFETY: the handle is open.
        unsafe { SetEvent(self.0.as_raw_handle()) };
    }
}

/// True when a process serves this mountpoint.
pub(super) fn is_registered(mountpoint: &Mountpoint) -> bool {
    names(mountpoint).any(|name| matches!(open(&name), Ok(Some(_))))
}

/// Asks the process that serves `mountpoint` to unmount; with `wait` it is waited for.
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
        // An event that is open here would keep its name after its process.
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

/// The event of this name, made anew.
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

/// The event of this name, if some process has made it.
fn open(name: &str) -> io::Result<Option<OwnedHandle>> {
    let name = wide(name);
    // SAFETY: the name ends with NUL.
    match owned(unsafe { OpenEventW(EVENT_MODIFY_STATE, 0, name.as_ptr()) }) {
        Ok(event) => Ok(Some(event)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The names that a mount may have: that by which it is made, and the other. Drives of the whole system are known to all
/// sessions, others to that of their user.
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
        // SAFETY: the handle was just opened, and nobody else has it.
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
        let (tell, told) = std::sync::mpsc::channel();
        let at = mountpoint.clone();
        let server = thread::spawn(move || {
            let registered = RegisteredMount::register(&at).unwrap();
            tell.send(()).unwrap();
            registered.wait().unwrap();
        });
        told.recv().unwrap();
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
