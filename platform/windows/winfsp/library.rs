//! Loads WinFsp's library at run time, so that everything but a mount works where it is not installed.
//!
//! The library is searched for beside this program and where its installation is registered, nowhere else: a library in
//! the working directory or on the search path is not loaded.

use std::{
    ffi::{OsString, c_void},
    os::windows::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
    ptr::null_mut,
    sync::OnceLock,
};

use windows_sys::Win32::{
    Foundation::HMODULE,
    System::{
        LibraryLoader::{GetProcAddress, LOAD_WITH_ALTERED_SEARCH_PATH, LoadLibraryExW},
        Registry::{
            HKEY_LOCAL_MACHINE, RRF_RT_REG_SZ, RRF_SUBKEY_WOW6432KEY, RRF_SUBKEY_WOW6464KEY, RegGetValueW,
        },
    },
};
use windows_sys::core::w;

use super::{
    arguments::{Buffer, FileSystem, IoStatus, Room, Text},
    interface::{GetReparsePointByName, Interface},
    raw::{Boolean, Fs, NtStatus, OperationContext, VolumeParams, Wide},
};

const NAME: &str = if cfg!(target_arch = "aarch64") { "winfsp-a64.dll" } else { "winfsp-x64.dll" };

/// Oldest supported version, WinFsp 2021, major and minor in 16 bits each: earlier ones lack listings by position,
/// extended attributes, or both.
const OLDEST: u32 = 1 << 16 | 9;

const HOW_TO_INSTALL: &str = "mounting needs WinFsp, which is not installed: winget install WinFsp.WinFsp, or \
                              https://winfsp.dev/rel/. Without it every other command works";

macro_rules! library {
    ($($(#[$doc:meta])* $field:ident = $name:ident: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The functions that are used.
        pub(super) struct Library { $($(#[$doc])* pub(super) $field: unsafe extern "C" fn($($argument),*) $(-> $result)?,)* }

        impl Library {
            /// Resolves the functions; the error is the name of the first missing one.
            fn bind(module: HMODULE) -> Result<Self, &'static str> {
                Ok(Self { $($field: {
                    let name = concat!(stringify!($name), "\0");
                    // SAFETY: the module is loaded and never unloaded; the name ends with NUL.
                    let found = unsafe { GetProcAddress(module, name.as_ptr()) }.ok_or(stringify!($name))?;
                    // SAFETY: `winfsp.h` declares the function of this name with these arguments and this result.
                    unsafe {
                        std::mem::transmute::<
                            unsafe extern "system" fn() -> isize,
                            unsafe extern "C" fn($($argument),*) $(-> $result)?,
                        >(found)
                    }
                },)* })
            }
        }
    };
}

library! {
    version = FspVersion: fn(*mut u32) -> NtStatus;
    create = FspFileSystemCreate: fn(*const u16, *const VolumeParams, *const Interface, *mut Fs) -> NtStatus;
    delete = FspFileSystemDelete: fn(Fs);
    set_mount_point = FspFileSystemSetMountPoint: fn(Fs, *const u16) -> NtStatus;
    mount_point = FspFileSystemMountPointF: fn(Fs) -> Wide;
    start_dispatcher = FspFileSystemStartDispatcher: fn(Fs, u32) -> NtStatus;
    stop_dispatcher = FspFileSystemStopDispatcher: fn(Fs);
    operation_context = FspFileSystemGetOperationContext: fn() -> *mut OperationContext;
    resolve_reparse_points = FspFileSystemResolveReparsePoints: fn(
        FileSystem, GetReparsePointByName, *mut c_void, Text, u32, Boolean, IoStatus, Buffer, Room
    ) -> NtStatus;
    set_debug_log = FspFileSystemSetDebugLogF: fn(Fs, u32);
    set_debug_handle = FspDebugLogSetHandle: fn(*mut c_void);
}

impl Library {
    /// The library of this machine, loaded once.
    pub(super) fn load() -> Result<&'static Self, String> {
        static LOADED: OnceLock<Result<Library, String>> = OnceLock::new();
        LOADED.get_or_init(load).as_ref().map_err(Clone::clone)
    }
}

fn load() -> Result<Library, String> {
    let path = places().into_iter().find(|path| path.is_file()).ok_or(HOW_TO_INSTALL)?;
    let wide: Vec<u16> = path.as_os_str().encode_wide().chain([0]).collect();
    // SAFETY: the path is absolute and ends with NUL. Loading runs the library's own initialization, which WinFsp allows at
    // any time.
    let module = unsafe { LoadLibraryExW(wide.as_ptr(), null_mut(), LOAD_WITH_ALTERED_SEARCH_PATH) };
    if module.is_null() {
        let error = std::io::Error::last_os_error();
        return Err(format!(
            "{}: {error}; install WinFsp again: winget install WinFsp.WinFsp",
            path.display()
        ));
    }
    let too_old = |what: &str| {
        format!(
            "{}: this WinFsp is too old ({what}); install the current one: winget install WinFsp.WinFsp",
            path.display()
        )
    };
    let library = Library::bind(module).map_err(|missing| too_old(&format!("it lacks {missing}")))?;
    let mut version = 0;
    // SAFETY: the pointer is to one u32.
    let status = unsafe { (library.version)(&raw mut version) };
    if status >= 0 && version < OLDEST {
        return Err(too_old(&format!("version {}.{}", version >> 16, version & 0xffff)));
    }
    log::debug!("{}: WinFsp {}.{}", path.display(), version >> 16, version & 0xffff);
    Ok(library)
}

/// Candidate paths of the library.
fn places() -> Vec<PathBuf> {
    let program = std::env::current_exe().ok();
    let beside = program.as_deref().and_then(|program| program.parent()).map(|folder| folder.join(NAME));
    // The installer is a 32-bit program, so its key is in the 32-bit view; a later one may be 64-bit.
    let installed = [RRF_SUBKEY_WOW6432KEY, RRF_SUBKEY_WOW6464KEY].into_iter().filter_map(install_dir);
    beside.into_iter().chain(installed.map(|folder| folder.join("bin").join(NAME))).collect()
}

/// The installation folder according to one of the registry's two views.
fn install_dir(view: u32) -> Option<PathBuf> {
    let mut folder = [0_u16; 1024];
    let mut len = u32::try_from(size_of_val(&folder)).expect("2 KiB");
    // SAFETY: key and name end with NUL; the buffer has the length that is passed.
    let status = unsafe {
        RegGetValueW(
            HKEY_LOCAL_MACHINE,
            w!(r"SOFTWARE\WinFsp"),
            w!("InstallDir"),
            RRF_RT_REG_SZ | view,
            null_mut(),
            folder.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    let text = folder.split(|unit| *unit == 0).next().unwrap_or_default();
    (status == 0 && !text.is_empty()).then(|| OsString::from_wide(text).into())
}
