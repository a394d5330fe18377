//! Enables the console's escape sequences, which `capacity --watch` and coloured text use.

use windows_sys::Win32::System::Console::{
    ENABLE_VIRTUAL_TERMINAL_PROCESSING, GetConsoleMode, GetStdHandle, STD_ERROR_HANDLE, STD_OUTPUT_HANDLE,
    SetConsoleMode,
};

/// Enables escape sequences where standard output or error is a console that supports them (Windows 10 and later).
pub(crate) fn understand_escapes() {
    for stream in [STD_OUTPUT_HANDLE, STD_ERROR_HANDLE] {
        let mut mode = 0;
        // SAFETY: any handle may be given, null included; the mode is one u32, and is used only if the call succeeded.
        unsafe {
            let handle = GetStdHandle(stream);
            if GetConsoleMode(handle, &raw mut mode) != 0 {
                SetConsoleMode(handle, mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING);
            }
        }
    }
}
