//! The adapter for Windows: the system calls behind the library's `Host`. Mounting (WinFsp) is not there yet.

mod calls;
mod console;
mod host;
mod running;

pub(crate) use calls::device;
pub(crate) use console::understand_escapes;
pub(crate) use host::Windows;
