//! Handles Ctrl-C, and the closing of the console, the session and Windows.

use std::{
    io,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use windows_sys::Win32::System::Console::{
    CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT, CTRL_SHUTDOWN_EVENT, SetConsoleCtrlHandler,
};

/// How long the handler waits. Windows ends a process whose handler returns, or does not return within some seconds.
const CLOSING: Duration = Duration::from_secs(10);

type Handler = Box<dyn Fn() + Send + Sync>;

static HANDLER: OnceLock<Handler> = OnceLock::new();
static CALLED: AtomicBool = AtomicBool::new(false);

/// Installs `handler`, which Windows calls from its own thread at the first event instead of ending the process; the next
/// Ctrl-C ends it. Only the first handler is kept.
///
/// # Errors
/// When Windows refuses.
pub(crate) fn on_control(handler: impl Fn() + Send + Sync + 'static) -> io::Result<()> {
    HANDLER.get_or_init(|| Box::new(handler));
    // SAFETY: the function lives as long as the process.
    match unsafe { SetConsoleCtrlHandler(Some(call), 1) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

unsafe extern "system" fn call(event: u32) -> i32 {
    if CALLED.swap(true, Ordering::Relaxed) {
        // Not handled: Windows ends the process, whatever it waits for.
        return 0;
    }
    if let Some(handler) = HANDLER.get() {
        handler();
    }
    if [CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT, CTRL_SHUTDOWN_EVENT].contains(&event) {
        // Windows ends the process when this returns; the process ends itself when it is done.
        thread::sleep(CLOSING);
    }
    1
}
