//! The adapter for Windows: the system calls behind the library's `Host`. Mounting (WinFsp) is not there yet.

mod calls;
mod host;
mod running;

pub(crate) use host::Windows;
