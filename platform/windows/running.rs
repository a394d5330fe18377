//! The virtual disk below the running Windows: `GetStorageDependencyInformation` lists the files, `IsNativeVhdBoot`
//! reports whether Windows was booted from one, the registry holds what happens to a dynamic disk at boot.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io,
    os::windows::{ffi::OsStringExt, fs::OpenOptionsExt, io::AsRawHandle},
    path::PathBuf,
    ptr::null_mut,
};

use vhdmount::{
    Error, Result,
    host::{Backing, Expansion, Running, backing_path},
};
use windows_sys::{
    Win32::{
        Storage::Vhd::{
            DEPENDENT_DISK_FLAG_FULLY_ALLOCATED, DEPENDENT_DISK_FLAG_PARENT,
            GET_STORAGE_DEPENDENCY_FLAG_HOST_VOLUMES, GetStorageDependencyInformation,
            STORAGE_DEPENDENCY_INFO, STORAGE_DEPENDENCY_INFO_TYPE_2, STORAGE_DEPENDENCY_INFO_VERSION_2,
        },
        System::{
            LibraryLoader::{GetModuleHandleW, GetProcAddress},
            Registry::{HKEY_LOCAL_MACHINE, RRF_RT_REG_DWORD, RegGetValueW},
        },
    },
    core::{s, w},
};

use super::{calls, host};

const FILE_SHARE_ALL: u32 = 7;
const FILE_READ_ATTRIBUTES: u32 = 0x80;
const SUCCESS: u32 = 0;
const FILE_NOT_FOUND: u32 = 2;
const INSUFFICIENT_BUFFER: u32 = 122;
/// Longest dependency list accepted, in bytes: Windows nests two virtual disks, chains have some dozens.
const MAX_LIST: usize = 1 << 20;

/// The virtual disk from which this Windows runs.
pub(super) fn running() -> Result<Running> {
    let folder = calls::windows_folder().map_err(|e| Error::io("asking for the folder of Windows", e))?;
    let root = calls::volume_root(&folder).map_err(|e| Error::io("asking for the volume of Windows", e))?;
    let disks = dependencies(&root).map_err(|error| {
        Error::io("asking for the virtual disk below Windows (an administrator may be needed)", error)
    })?;
    Ok(Running { native_boot: native_boot(), expansion: expansion(), disks })
}

/// The image files below the volume with this root (`C:\`).
fn dependencies(root: &[u16]) -> io::Result<Vec<Backing>> {
    let root = calls::until_nul(root);
    let letter: Vec<u16> = root.iter().copied().take_while(|unit| *unit != u16::from(b'\\')).collect();
    let device = [&r"\\.\".encode_utf16().collect::<Vec<_>>(), &letter[..]].concat();
    let volume = open_unread(&path(&device))?;
    let mut list = vec![0_u64; 512];
    loop {
        let bytes = size_of_val(&*list);
        let info = list.as_mut_ptr().cast::<STORAGE_DEPENDENCY_INFO>();
        let mut used = 0;
        // SAFETY: `list` is zeroed, longer than the structure and aligned for it; its first field, a u32, selects the
        // version, and the length that is passed is its own.
        let status = unsafe {
            (*info).Version = STORAGE_DEPENDENCY_INFO_VERSION_2;
            GetStorageDependencyInformation(
                volume.as_raw_handle(),
                GET_STORAGE_DEPENDENCY_FLAG_HOST_VOLUMES,
                calls::u32_of(bytes),
                info,
                &raw mut used,
            )
        };
        let used = usize::try_from(used).unwrap_or(usize::MAX);
        match status {
            SUCCESS => return Ok(entries(&list)),
            INSUFFICIENT_BUFFER if used > bytes && used <= MAX_LIST => list = vec![0; used.div_ceil(8)],
            _ => return Err(io::Error::from_raw_os_error(status.cast_signed())),
        }
    }
}

/// The entries of a list that Windows has filled.
fn entries(list: &[u64]) -> Vec<Backing> {
    let bytes = size_of_val(list);
    let info = list.as_ptr().cast::<STORAGE_DEPENDENCY_INFO>();
    // SAFETY: the list is longer than the structure's head and aligned for it; any bits are a u32.
    let (count, first) = unsafe {
        let entries = &raw const (*info).Anonymous.Version2Entries;
        ((*info).NumberEntries, entries.cast::<STORAGE_DEPENDENCY_INFO_TYPE_2>())
    };
    let head = first.addr() - info.addr();
    let room = (bytes - head) / size_of::<STORAGE_DEPENDENCY_INFO_TYPE_2>();
    let count = usize::try_from(count).unwrap_or(0).min(room);
    // SAFETY: `count` entries fit between the head and the end of the list, whose zeros or pointers are valid entries.
    let entries = unsafe { std::slice::from_raw_parts(first, count) };
    entries.iter().map(backing).collect()
}

fn backing(entry: &STORAGE_DEPENDENCY_INFO_TYPE_2) -> Backing {
    // SAFETY: Windows has set each pointer to a string inside the list, which lives as long as `entry`, or to null.
    let (device, volume, relative) = unsafe {
        (
            calls::units_before_nul(entry.DependencyDeviceName).to_vec(),
            calls::units_before_nul(entry.HostVolumeName).to_vec(),
            calls::units_before_nul(entry.DependentVolumeRelativePath).to_vec(),
        )
    };
    let image = path(&backing_path(&volume, &relative));
    let has = |flag| entry.DependencyTypeFlags & flag != 0;
    // Neither needs the right to read: an attached image is locked against readers.
    let space = open_unread(&image).ok().and_then(|file| host::answers(&file, &image).ok());
    let virtual_size = open_unread(&path(&device)).and_then(|disk| calls::disk_size(&disk)).ok();
    Backing {
        device: String::from_utf16_lossy(&device),
        level: entry.AncestorLevel,
        parent: has(DEPENDENT_DISK_FLAG_PARENT),
        fully_allocated: has(DEPENDENT_DISK_FLAG_FULLY_ALLOCATED),
        virtual_size,
        space: space.map(|answers| answers.space()),
        image,
    }
}

/// Opens a file, volume or disk without the right to read its content.
fn open_unread(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().access_mode(FILE_READ_ATTRIBUTES).share_mode(FILE_SHARE_ALL).open(path)
}

fn path(text: &[u16]) -> PathBuf {
    OsString::from_wide(calls::until_nul(text)).into()
}

/// True when Windows was booted from a virtual disk; `None` before Windows 8, which has no such function.
fn native_boot() -> Option<bool> {
    type IsNativeVhdBoot = unsafe extern "system" fn(*mut i32) -> i32;
    // SAFETY: both names end with NUL; kernel32 is never unloaded.
    let found = unsafe { GetProcAddress(GetModuleHandleW(w!("kernel32.dll")), s!("IsNativeVhdBoot")) }?;
    // SAFETY: that is the documented signature of `IsNativeVhdBoot`: BOOL WINAPI (PBOOL).
    let is_native =
        unsafe { std::mem::transmute::<unsafe extern "system" fn() -> isize, IsNativeVhdBoot>(found) };
    let mut native = 0;
    // SAFETY: the pointer is to one BOOL.
    let done = unsafe { is_native(&raw mut native) };
    (done != 0).then_some(native != 0)
}

/// The registry's setting for the expansion of dynamic disks at boot.
fn expansion() -> Expansion {
    let (mut value, mut len) = (0_u32, 4);
    // SAFETY: key and name end with NUL; the buffer is one u32, as its length says, and only a DWORD is accepted.
    let status = unsafe {
        RegGetValueW(
            HKEY_LOCAL_MACHINE,
            w!(r"SYSTEM\CurrentControlSet\Services\FsDepends\Parameters"),
            w!("VirtualDiskExpandOnMount"),
            RRF_RT_REG_DWORD,
            null_mut(),
            (&raw mut value).cast(),
            &raw mut len,
        )
    };
    match status {
        SUCCESS => Expansion::from_value(Some(value)),
        FILE_NOT_FOUND => Expansion::from_value(None),
        _ => Expansion::Unknown,
    }
}
