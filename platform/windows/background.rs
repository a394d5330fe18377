//! The background process that serves a mount: a second process of the same command, detached from the console. Its
//! output is forwarded through pipes until the mount is usable, and discarded from then on.

use std::{
    fs::OpenOptions,
    io::{self, Read, Write},
    os::windows::{io::IntoRawHandle, process::CommandExt},
    process::{Child, Command, Stdio},
    thread,
};

use windows_sys::Win32::System::{
    Console::{STD_ERROR_HANDLE, STD_OUTPUT_HANDLE, SetStdHandle},
    Threading::{CREATE_NEW_PROCESS_GROUP, DETACHED_PROCESS},
};

use super::MountError;

/// Environment variable that marks the serving process.
const SERVING: &str = "VHDMOUNT_SERVING";
/// Bytes that the serving process writes when the mount is usable, and when it holds less than the image should; neither
/// occurs in text.
const READY: u8 = 0;
const READY_INCOMPLETE: u8 = 1;

/// True in the serving process.
pub(super) fn is_serving() -> bool {
    std::env::var_os(SERVING).is_some()
}

/// Starts the serving process. Returns when the mount is usable, with whether it is complete, or with the exit status of
/// that process.
pub(super) fn start() -> Result<bool, MountError> {
    let failed = |error: io::Error| MountError::System(format!("cannot start a background process: {error}"));
    let program = std::env::current_exe().map_err(failed)?;
    let mut child = Command::new(program)
        .args(std::env::args_os().skip(1))
        .env(SERVING, "1")
        .creation_flags(DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut errors = child.stderr.take();
    let errors = thread::spawn(move || errors.as_mut().map(|from| pass_on(from, &mut io::stderr())));
    let ready = match child.stdout.take() {
        Some(mut from) => pass_on(&mut from, &mut io::stdout()),
        None => None,
    };
    match ready {
        // The thread for standard error may keep running: this process ends.
        Some(complete) => Ok(complete),
        None => {
            let ended = status(child);
            let _ = errors.join();
            Err(ended)
        }
    }
}

/// Forwards the process's output until it reports that the mount is usable, with whether it is complete; `None` when it
/// ends.
fn pass_on(from: &mut dyn Read, to: &mut dyn Write) -> Option<bool> {
    let mut buffer = [0; 4096];
    loop {
        let said = match from.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(len) => &buffer[..len],
        };
        let mark = said.iter().position(|byte| matches!(*byte, READY | READY_INCOMPLETE));
        let text = &said[..mark.unwrap_or(said.len())];
        // A failed write (a closed pipe) does not end the mount.
        let _ = to.write_all(text).and_then(|()| to.flush());
        if let Some(mark) = mark {
            return Some(said[mark] == READY);
        }
    }
}

fn status(mut child: Child) -> MountError {
    match child.wait().map(|status| status.code()) {
        Ok(Some(code)) => MountError::Reported(u8::try_from(code).unwrap_or(1).max(1)),
        _ => MountError::System("the background process failed".into()),
    }
}

/// In the serving process: leaves the working directory, which could not be removed otherwise, lets the waiting process
/// return, and discards all further output.
pub(super) fn release(complete: bool) -> io::Result<()> {
    // The volume that holds this program is in use anyway.
    if let Some(root) = std::env::current_exe()?.ancestors().last() {
        std::env::set_current_dir(root)?;
    }
    let mut out = io::stdout();
    // The waiting process may have been interrupted; the mount stays, as if that process had returned before.
    let _ = out.write_all(&[if complete { READY } else { READY_INCOMPLETE }]).and_then(|()| out.flush());
    for which in [STD_OUTPUT_HANDLE, STD_ERROR_HANDLE] {
        let null = OpenOptions::new().write(true).open("NUL")?;
        // SAFETY: the handle is open and stays so: it belongs to the process from now on.
        unsafe { SetStdHandle(which, null.into_raw_handle()) };
    }
    Ok(())
}
