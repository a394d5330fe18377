//! How large a disk of Windows is: a question (`IOCTL_DISK_GET_LENGTH_INFO`) that needs code which this library does not
//! contain. The program brings it, once for the whole process.

use std::{fs::File, io, sync::OnceLock};

/// Answers for an open disk or volume: its length in bytes, and the bytes in a sector, 0 if unknown.
pub type AskDevice = fn(&File) -> io::Result<(u64, u32)>;

static ASK: OnceLock<AskDevice> = OnceLock::new();

/// Names who is asked about disks and volumes that are opened from now on. The first call counts.
pub fn ask_devices_with(ask: AskDevice) {
    let _ = ASK.set(ask);
}

/// Asks about an open disk or volume.
#[cfg_attr(not(windows), allow(dead_code, reason = "other systems have files for their disks"))]
pub(super) fn ask(device: &File) -> io::Result<(u64, u32)> {
    match ASK.get() {
        Some(ask) => ask(device),
        None => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "the size of a disk is not known here: the library asks the program for it (ask_devices_with)",
        )),
    }
}
