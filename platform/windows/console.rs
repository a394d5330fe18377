//! The console: it understands the escape sequences of `capacity --watch` and of coloured text only when it is told to.

use windows_sys::Win32::System::Console::{
    ENABLE_VIRTUAL_TERMINAL_PROCESSING, GetConsoleMode, GetStdHandle, STD_ERROR_HANDLE, STD_OUTPUT_HANDLE,
    SetConsoleMode,
};

/// Turns the sequences on where standard output or error is a console that knows them (Windows 10 and later).
pub(crate) fn understand_escapes() {
    for stream in [STD_OUTPUT_HANDLE, STD_ERROR_HANDLE] {
        let mut mode = 0;
        // SAFETY: any handle may be given, null included; the mode is one u32, and is used only if it was told.
        unsafe {
            let handle = GetStdHandle(stream);
            if GetConsoleMode(handle, &raw mut mode) != 0 {
                SetConsoleMode(handle, mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING);
            }
        }
    }
}
