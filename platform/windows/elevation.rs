//! Finds out whether this process runs elevated: its drives are then invisible to the user's other programs.

use std::{
    os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle},
    ptr::null_mut,
};

use windows_sys::Win32::{
    Security::{
        GetTokenInformation, TOKEN_ELEVATION_TYPE, TOKEN_QUERY, TokenElevationType, TokenElevationTypeFull,
    },
    System::Threading::{GetCurrentProcess, OpenProcessToken},
};

/// True when this process is elevated and the user's other programs are not; false also when that cannot be determined.
pub(super) fn is_elevated() -> bool {
    let mut token = null_mut();
    // SAFETY: the pseudo handle of this process needs no closing; `token` is a place for one handle.
    if unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token) } == 0 {
        return false;
    }
    // SAFETY: the handle was just opened, and has no other owner.
    let token = unsafe { OwnedHandle::from_raw_handle(token) };
    let mut elevation: TOKEN_ELEVATION_TYPE = 0;
    let len = u32::try_from(size_of::<TOKEN_ELEVATION_TYPE>()).expect("4 bytes");
    let mut written = 0;
    // SAFETY: the buffer is one `TOKEN_ELEVATION_TYPE`, as the class and the length say.
    let done = unsafe {
        GetTokenInformation(
            token.as_raw_handle(),
            TokenElevationType,
            (&raw mut elevation).cast(),
            len,
            &raw mut written,
        )
    };
    done != 0 && elevation == TokenElevationTypeFull
}
