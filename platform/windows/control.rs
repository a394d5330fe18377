//! Ctrl-C, and the end of the console, of the session, of Windows.

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

/// Windows ends a process whose handler returns, or takes longer than some seconds.
const CLOSING: Duration = Duration::from_secs(10);

type Handler = Box<dyn Fn() + Send + Sync>;

static HANDLER: OnceLock<Handler> = OnceLock::new();
static CALLED: AtomicBool = AtomicBool::new(false);

/// From now on `handler` is called, from a thread of Windows, instead of ending the process, which the next Ctrl-C does all the
/// same. The first handler stays.
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
        // Not handled: the process ends, whatever it waits for.
        return 0;
    }
    if let Some(handler) = HANDLER.get() {
        handler();
    }
    if [CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT, CTRL_SHUTDOWN_EVENT].contains(&event) {
        // The process ends when this returns; it ends by itself when it has done what it was asked for.
        thread::sleep(CLOSING);
    }
    1
}
