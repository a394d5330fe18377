//! The binding to WinFsp: the [`Library`] found at run time, its structures, and a [`Volume`] mounted with them. Another
//! binding would replace this module alone.

mod arguments;
mod callbacks;
mod interface;
mod library;
mod raw;

use std::{ffi::OsString, os::windows::ffi::OsStringExt, ptr::null_mut};

use library::Library;
use windows_sys::Win32::System::Console::{GetStdHandle, STD_ERROR_HANDLE};
use windows_sys::core::w;

use self::{
    interface::Interface,
    raw::{VolumeParams, flag},
};
use super::{adapter::Adapter, calls::units_before_nul};

/// The volume's sector size in bytes: the unit of its allocation units.
const SECTOR: u16 = 512;
/// Timeout of the volume information in ms, since free space changes during a mount.
const VOLUME_INFO_TIMEOUT: u32 = 1000;
/// Timeout of file information: it never changes, and file content may stay in the kernel's cache.
const FOREVER: u32 = u32::MAX;

static INTERFACE: Interface = callbacks::INTERFACE;

/// The NTSTATUS with which WinFsp refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused(pub(super) i32);

/// The loaded WinFsp library.
#[derive(Clone, Copy)]
pub(super) struct WinFsp(&'static Library);

impl WinFsp {
    /// Loads the library of this machine.
    ///
    /// # Errors
    /// A text that says what to install.
    pub(super) fn load() -> Result<Self, String> {
        Library::load().map(Self)
    }
}

/// Options for serving a volume.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    /// Keep nothing in the kernel's caches.
    pub(super) uncached: bool,
    /// Log each request.
    pub(super) debug: bool,
}

/// The context that the callbacks receive.
struct Mounted {
    adapter: Adapter,
    library: &'static Library,
    /// Called when the driver ends the mount.
    stopped: Box<dyn Fn() + Send + Sync>,
}

/// A volume of WinFsp. Dropping it unmounts.
pub(super) struct Volume {
    library: &'static Library,
    fs: raw::Fs,
    mounted: *mut Mounted,
    serving: bool,
}

impl Volume {
    /// Creates a volume on the adapter; `stopped` is called when the driver, not this process, ends it.
    pub(super) fn create(
        winfsp: WinFsp,
        adapter: Adapter,
        settings: Settings,
        stopped: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, Refused> {
        let library = winfsp.0;
        let params = params(&adapter, settings);
        let mut fs = null_mut();
        // SAFETY: the name ends with NUL, the parameters are those of this version, the interface lives forever, and `fs`
        // is a place for one pointer.
        let status = unsafe {
            (library.create)(w!("WinFsp.Disk"), &raw const params, &raw const INTERFACE, &raw mut fs)
        };
        if status < 0 {
            return Err(Refused(status));
        }
        let mounted = Box::into_raw(Box::new(Mounted { adapter, library, stopped: Box::new(stopped) }));
        // SAFETY: `fs` was just made; no callback runs before the dispatcher is started.
        unsafe { (*fs).user_context = mounted.cast() };
        if settings.debug {
            // SAFETY: the handle is the process's own for errors, and stays open.
            unsafe {
                (library.set_debug_handle)(GetStdHandle(STD_ERROR_HANDLE));
                (library.set_debug_log)(fs, u32::MAX);
            }
        }
        Ok(Self { library, fs, mounted, serving: false })
    }

    /// Starts to answer requests and mounts the volume at a mountpoint; without one at the next free drive letter.
    /// `threads`: 0 lets WinFsp choose.
    pub(super) fn mount(&mut self, mountpoint: Option<&[u16]>, threads: u32) -> Result<OsString, Refused> {
        let mountpoint = mountpoint.map(|text| [text, &[0]].concat());
        let text = mountpoint.as_ref().map_or(null_mut(), |text| text.as_ptr().cast_mut());
        // SAFETY: the text ends with NUL or is null, which is allowed.
        let status = unsafe { (self.library.set_mount_point)(self.fs, text) };
        if status < 0 {
            return Err(Refused(status));
        }
        // SAFETY: the volume is complete.
        let status = unsafe { (self.library.start_dispatcher)(self.fs, threads) };
        if status < 0 {
            return Err(Refused(status));
        }
        self.serving = true;
        // SAFETY: a mounted volume has the name of its mountpoint, which ends with NUL.
        let text = unsafe { units_before_nul((self.library.mount_point)(self.fs)) };
        Ok(OsString::from_wide(text))
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // SAFETY: the volume is ours; no callback runs after the dispatcher has stopped, so `mounted` has no other user.
        unsafe {
            if self.serving {
                (self.library.stop_dispatcher)(self.fs);
            }
            (self.library.delete)(self.fs);
            drop(Box::from_raw(self.mounted));
        }
    }
}

fn params(adapter: &Adapter, settings: Settings) -> VolumeParams {
    let face = adapter.face();
    let mut file_system_name = [0; 16];
    for (unit, text) in file_system_name.iter_mut().zip(face.filesystem.encode_utf16()) {
        *unit = text;
    }
    VolumeParams {
        version: u16::try_from(size_of::<VolumeParams>()).expect("504"),
        sector_size: SECTOR,
        sectors_per_allocation_unit: face.sectors_per_unit,
        max_component_length: 255,
        volume_creation_time: adapter.created(),
        volume_serial_number: face.serial,
        file_info_timeout: if settings.uncached { 0 } else { FOREVER },
        flags: flag::CASE_PRESERVED_NAMES
            | flag::UNICODE_ON_DISK
            | flag::PERSISTENT_ACLS
            | flag::REPARSE_POINTS
            | flag::NAMED_STREAMS
            | flag::EXTENDED_ATTRIBUTES
            | flag::CASE_PRESERVED_EXTENDED_ATTRIBUTES
            | flag::READ_ONLY_VOLUME
            | flag::POST_CLEANUP_WHEN_MODIFIED_ONLY
            | flag::PASS_QUERY_DIRECTORY_FILE_NAME
            | flag::DIRECTORY_MARKER_AS_NEXT_OFFSET
            | flag::UM_FILE_CONTEXT_IS_USER_CONTEXT2,
        file_system_name,
        timeouts_valid: raw::VOLUME_INFO_TIMEOUT_VALID,
        volume_info_timeout: VOLUME_INFO_TIMEOUT,
        ..VolumeParams::default()
    }
}
