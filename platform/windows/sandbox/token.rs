//! The token of this process: its privileges and its integrity level.

use std::{
    io,
    os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle},
    ptr::{null, null_mut},
};

use windows_sys::{
    Win32::{
        Foundation::LUID,
        Security::{
            AdjustTokenPrivileges, CreateWellKnownSid, GetTokenInformation, LUID_AND_ATTRIBUTES,
            LookupPrivilegeValueW, SE_CHANGE_NOTIFY_NAME, SE_CREATE_SYMBOLIC_LINK_NAME, SE_PRIVILEGE_REMOVED,
            SID_AND_ATTRIBUTES, SetTokenInformation, TOKEN_ACCESS_MASK, TOKEN_ADJUST_DEFAULT,
            TOKEN_ADJUST_PRIVILEGES, TOKEN_MANDATORY_LABEL, TOKEN_PRIVILEGES, TOKEN_QUERY,
            TokenIntegrityLevel, TokenPrivileges, WinLowLabelSid,
        },
        System::Threading::{GetCurrentProcess, OpenProcessToken},
    },
    core::PCWSTR,
};

use super::super::calls::{checked, size_of_u32, u32_of};

/// `SE_GROUP_INTEGRITY`: the SID is an integrity level.
const IS_INTEGRITY: u32 = 0x20;
/// Longest SID, in bytes (`SECURITY_MAX_SID_SIZE`).
const MAX_SID: usize = 68;
/// More privileges than Windows has.
const MAX_PRIVILEGES: usize = 256;

fn own(access: TOKEN_ACCESS_MASK) -> io::Result<OwnedHandle> {
    let mut token = null_mut();
    // SAFETY: the pseudo handle of this process needs no closing; `token` is a place for one handle.
    checked(unsafe { OpenProcessToken(GetCurrentProcess(), access, &raw mut token) })?;
    // SAFETY: the handle was just opened, and has no other owner.
    Ok(unsafe { OwnedHandle::from_raw_handle(token) })
}

/// Removes all privileges for ever, but for that to go through folders that cannot be listed, which all users have, and with
/// `links` that to make symbolic links.
pub(super) fn remove_privileges(links: bool) -> io::Result<()> {
    let token = own(TOKEN_QUERY | TOKEN_ADJUST_PRIVILEGES)?;
    let names = [Some(SE_CHANGE_NOTIFY_NAME), links.then_some(SE_CREATE_SYMBOLIC_LINK_NAME)];
    // One that Windows does not know is not held either.
    let kept: Vec<LUID> = names.into_iter().flatten().filter_map(value_of).collect();
    for held in held(&token)? {
        if !kept.iter().any(|kept| (kept.LowPart, kept.HighPart) == (held.LowPart, held.HighPart)) {
            remove(&token, held)?;
        }
    }
    Ok(())
}

fn value_of(name: PCWSTR) -> Option<LUID> {
    let mut value = LUID::default();
    // SAFETY: the name is one of Windows' constants, which end with NUL; `value` is a place for one LUID.
    let done = unsafe { LookupPrivilegeValueW(null(), name, &raw mut value) };
    (done != 0).then_some(value)
}

/// The privileges that the token has, enabled or not.
fn held(token: &OwnedHandle) -> io::Result<Vec<LUID>> {
    /// A list as Windows writes it: its length, and that many entries.
    #[repr(C)]
    struct List {
        count: u32,
        entries: [LUID_AND_ATTRIBUTES; MAX_PRIVILEGES],
    }
    let mut list = List { count: 0, entries: [LUID_AND_ATTRIBUTES::default(); MAX_PRIVILEGES] };
    let mut written = 0;
    // SAFETY: the handle is open; the buffer has the layout of the class, TOKEN_PRIVILEGES with more entries, and the length
    // that is passed.
    checked(unsafe {
        GetTokenInformation(
            token.as_raw_handle(),
            TokenPrivileges,
            (&raw mut list).cast(),
            size_of_u32::<List>(),
            &raw mut written,
        )
    })?;
    let count = usize::try_from(list.count).unwrap_or(MAX_PRIVILEGES);
    Ok(list.entries.iter().take(count).map(|entry| entry.Luid).collect())
}

fn remove(token: &OwnedHandle, privilege: LUID) -> io::Result<()> {
    let entry = LUID_AND_ATTRIBUTES { Luid: privilege, Attributes: SE_PRIVILEGE_REMOVED };
    let change = TOKEN_PRIVILEGES { PrivilegeCount: 1, Privileges: [entry] };
    // SAFETY: the handle is open; the structure holds the one entry that it states; nothing is asked to be written.
    checked(unsafe {
        AdjustTokenPrivileges(token.as_raw_handle(), 0, &raw const change, 0, null_mut(), null_mut())
    })
}

/// Lowers this process to low integrity: what has a higher one, as all files and other processes of the user, cannot be
/// changed by it. Handles that are open stay as they are.
pub(super) fn lower_integrity() -> io::Result<()> {
    let token = own(TOKEN_QUERY | TOKEN_ADJUST_DEFAULT)?;
    // Aligned for a SID.
    let mut sid = [0_u32; MAX_SID / 4];
    let mut len = u32_of(MAX_SID);
    // SAFETY: the buffer has the length that is passed; no domain is needed for this SID.
    checked(unsafe {
        CreateWellKnownSid(WinLowLabelSid, null_mut(), sid.as_mut_ptr().cast(), &raw mut len)
    })?;
    let label = TOKEN_MANDATORY_LABEL {
        Label: SID_AND_ATTRIBUTES { Sid: sid.as_mut_ptr().cast(), Attributes: IS_INTEGRITY },
    };
    // SAFETY: the handle is open; the structure is that of the class and points to a SID that lives longer than the call.
    checked(unsafe {
        SetTokenInformation(
            token.as_raw_handle(),
            TokenIntegrityLevel,
            (&raw const label).cast(),
            size_of_u32::<TOKEN_MANDATORY_LABEL>() + len,
        )
    })
}
