//! What a process of Windows can give up by itself, before it reads the first byte of an image: the start of other programs (a
//! job), the privileges of its token, code that is made at run time or comes from elsewhere (mitigations) and, where it writes
//! no file, its integrity level, without which it can change hardly anything of its user's. Reading is left: to take that away
//! would need a second process with a restricted token.
//!
//! A step that Windows refuses is left out, and logged.

mod self_test;
mod token;

use std::{
    io,
    os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle},
    ptr::null,
    sync::atomic::{AtomicBool, Ordering},
};

use windows_sys::Win32::System::{
    JobObjects::{
        AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_ACTIVE_PROCESS,
        JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION, JOB_OBJECT_UILIMIT, JOB_OBJECT_UILIMIT_DESKTOP,
        JOB_OBJECT_UILIMIT_DISPLAYSETTINGS, JOB_OBJECT_UILIMIT_EXITWINDOWS, JOB_OBJECT_UILIMIT_GLOBALATOMS,
        JOB_OBJECT_UILIMIT_HANDLES, JOB_OBJECT_UILIMIT_READCLIPBOARD, JOB_OBJECT_UILIMIT_SYSTEMPARAMETERS,
        JOB_OBJECT_UILIMIT_WRITECLIPBOARD, JOBOBJECT_BASIC_UI_RESTRICTIONS,
        JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectBasicUIRestrictions,
        JobObjectExtendedLimitInformation, SetInformationJobObject,
    },
    Threading::{
        GetCurrentProcess, PROCESS_MITIGATION_POLICY, ProcessDynamicCodePolicy,
        ProcessExtensionPointDisablePolicy, ProcessFontDisablePolicy, ProcessImageLoadPolicy,
        SetProcessMitigationPolicy,
    },
};

use super::calls::{checked, size_of_u32};
use crate::rights::Rights;

/// How a process is confined.
#[derive(Debug, Clone)]
pub(crate) struct Restriction {
    /// What it needs of its host.
    pub(crate) rights: Rights,
}

/// Whether the self-test runs.
static TESTED: AtomicBool = AtomicBool::new(false);

/// Makes the confined process try to get out, and print what became of it.
pub(crate) fn test_from_inside() {
    TESTED.store(true, Ordering::Relaxed);
}

impl Restriction {
    /// Confines this process, which runs one command.
    pub(crate) fn confine(&self) {
        let rights = &self.rights;
        self.enforce(rights.copy_to.is_none() && rights.outputs.is_empty() && !rights.written);
    }

    /// Confines this process, which serves a mount: WinFsp's driver and `vhdmount -u` are used with the user's integrity.
    pub(crate) fn confine_server(&self) {
        self.enforce(false);
    }

    fn enforce(&self, only_reads: bool) {
        log_failure("other programs can be started", start_nothing());
        for (what, policy, flags) in MITIGATIONS {
            log_failure(what, mitigate(policy, flags));
        }
        let links = self.rights.copy_to.is_some();
        log_failure("privileges are kept", token::remove_privileges(links));
        if only_reads {
            log_failure("files of the user can be changed", token::lower_integrity());
        }
        if TESTED.load(Ordering::Relaxed) {
            self_test::run(&self.rights);
        }
    }
}

/// Policies of SetProcessMitigationPolicy with their flags, bits of the structures in winnt.h. Left out are those that a
/// program beside this one, or a console, may need: of win32k's calls and of invalid handles.
const MITIGATIONS: [(&str, PROCESS_MITIGATION_POLICY, u32); 4] = [
    // ProhibitDynamicCode.
    ("code can be made at run time", ProcessDynamicCodePolicy, 1),
    // DisableExtensionPoints.
    ("extension points are used", ProcessExtensionPointDisablePolicy, 1),
    // DisableNonSystemFonts.
    ("fonts are loaded", ProcessFontDisablePolicy, 1),
    // NoRemoteImages, NoLowMandatoryLabelImages, PreferSystem32Images.
    ("libraries can come from elsewhere", ProcessImageLoadPolicy, 7),
];

fn mitigate(policy: PROCESS_MITIGATION_POLICY, flags: u32) -> io::Result<()> {
    // SAFETY: each of these policies is one u32 of flags, as the length says.
    checked(unsafe { SetProcessMitigationPolicy(policy, (&raw const flags).cast(), size_of::<u32>()) })
}

/// Puts this process into a job of its own in which there is no room for another one.
fn start_nothing() -> io::Result<()> {
    // A job with limits of the user interface is refused inside another job, as terminals and services make them.
    enter_job(UI).or_else(|error| {
        log::debug!("sandbox: the clipboard and windows of others are left: {error}");
        enter_job(0)
    })
}

const UI: JOB_OBJECT_UILIMIT = JOB_OBJECT_UILIMIT_DESKTOP
    | JOB_OBJECT_UILIMIT_DISPLAYSETTINGS
    | JOB_OBJECT_UILIMIT_EXITWINDOWS
    | JOB_OBJECT_UILIMIT_GLOBALATOMS
    | JOB_OBJECT_UILIMIT_HANDLES
    | JOB_OBJECT_UILIMIT_READCLIPBOARD
    | JOB_OBJECT_UILIMIT_SYSTEMPARAMETERS
    | JOB_OBJECT_UILIMIT_WRITECLIPBOARD;

fn enter_job(ui: JOB_OBJECT_UILIMIT) -> io::Result<()> {
    // SAFETY: without a name and with the default descriptor.
    let job = unsafe { CreateJobObjectW(null(), null()) };
    if job.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the handle was just made, and has no other owner. The job stays as long as there is a process in it.
    let job = unsafe { OwnedHandle::from_raw_handle(job) };
    let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
    // The second is one of the extended limits, though it stands among the basic ones.
    limits.BasicLimitInformation.LimitFlags =
        JOB_OBJECT_LIMIT_ACTIVE_PROCESS | JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION;
    limits.BasicLimitInformation.ActiveProcessLimit = 1;
    // SAFETY: the handle is open, and the buffer is the structure of the class, with its length.
    checked(unsafe {
        SetInformationJobObject(
            job.as_raw_handle(),
            JobObjectExtendedLimitInformation,
            (&raw const limits).cast(),
            size_of_u32::<JOBOBJECT_EXTENDED_LIMIT_INFORMATION>(),
        )
    })?;
    if ui != 0 {
        let restrictions = JOBOBJECT_BASIC_UI_RESTRICTIONS { UIRestrictionsClass: ui };
        // SAFETY: as above.
        checked(unsafe {
            SetInformationJobObject(
                job.as_raw_handle(),
                JobObjectBasicUIRestrictions,
                (&raw const restrictions).cast(),
                size_of_u32::<JOBOBJECT_BASIC_UI_RESTRICTIONS>(),
            )
        })?;
    }
    // SAFETY: the handle is open; that of this process needs no closing.
    checked(unsafe { AssignProcessToJobObject(job.as_raw_handle(), GetCurrentProcess()) })
}

fn log_failure(what: &str, done: io::Result<()>) {
    if let Err(error) = done {
        log::info!("sandbox: {what}: {error}");
    }
}
