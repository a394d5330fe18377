//! EFI programs on a volume: for which machine, what they are, who signed them.

use super::{Walk, files::Readable};
use crate::{
    bytes::read_vec,
    pe::{Executable, Machine, Signature, Subsystem},
    printable::printable,
};

/// Longest program that is read as a whole: loaders have less than 4 MiB. Of a longer one, as a kernel with its initial disk is,
/// only the headers count.
const MAX_PROGRAM: usize = 16 << 20;

/// A program, with what is known of it.
pub(super) struct Program {
    pub(super) executable: Executable,
    pub(super) kind: Kind,
    pub(super) signatures: Vec<Signature>,
}

/// What a program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    WindowsBootManager,
    Shim,
    Grub,
    SystemdBoot,
    UnifiedKernel,
    Unknown,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::WindowsBootManager => "Windows' boot manager",
            Self::Shim => "shim",
            Self::Grub => "GRUB",
            Self::SystemdBoot => "systemd-boot",
            Self::UnifiedKernel => "a Linux kernel",
            Self::Unknown => "a program that is not known here",
        }
    }
}

/// Why there is no program.
pub(super) enum Missing {
    /// There is no such file.
    NoFile,
    /// It cannot be read.
    Unreadable(String),
    /// It is none.
    NoProgram(String),
}

/// Reads the program at a path.
pub(super) fn read(volume: &Readable<'_>, path: &str) -> Result<Program, Missing> {
    let unreadable = |error: crate::Error| Missing::Unreadable(error.to_string());
    let source = volume.open(path).map_err(unreadable)?.ok_or(Missing::NoFile)?;
    let len = usize::try_from(source.size()).unwrap_or(usize::MAX);
    let file = read_vec(&*source, 0, len.min(MAX_PROGRAM)).map_err(unreadable)?;
    let executable = Executable::parse(&file).map_err(|error| Missing::NoProgram(error.to_string()))?;
    let signatures = match len > MAX_PROGRAM {
        false => executable.signatures(&file),
        true => {
            let problem = format!("a program of {len} bytes is not read to its end");
            vec![Signature { signers: Vec::new(), hash_matches: None, problem }]
        }
    };
    Ok(Program { kind: kind(&executable, &file), executable, signatures })
}

/// By what all versions of it have: sections, the generations of Secure Boot (`.sbat`), the name in its resources.
fn kind(executable: &Executable, file: &[u8]) -> Kind {
    let has = |name: &str| executable.sections.iter().any(|section| section.name == name);
    let contains = |data: &[u8], text: &[u8]| data.windows(text.len()).any(|window| window == text);
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let sbat = executable.section(file, ".sbat").unwrap_or_default();
    if has(".linux") && has(".initrd") || has(".linux") && has(".osrel") {
        return Kind::UnifiedKernel;
    }
    if executable.section(file, ".sdmagic").is_some_and(|magic| contains(magic, b"systemd-boot")) {
        return Kind::SystemdBoot;
    }
    if contains(sbat, b"\nshim,") || contains(file, b"UEFI SHIM") {
        return Kind::Shim;
    }
    if contains(sbat, b"\ngrub,") || has("mods") {
        return Kind::Grub;
    }
    if contains(file, b"#### LoaderInfo: systemd-boot") {
        return Kind::SystemdBoot;
    }
    // `OriginalFilename` in its resources.
    if contains(file, &utf16("bootmgr.exe")) || contains(file, &utf16("bootmgfw.efi")) {
        return Kind::WindowsBootManager;
    }
    Kind::Unknown
}

/// Who signed, in words; whether a firmware with Secure Boot accepts that is not said.
pub(super) fn signed(signatures: &[Signature]) -> String {
    if signatures.is_empty() {
        return "not signed: firmware with Secure Boot refuses it".into();
    }
    let one = |signature: &Signature| {
        let names = signature.signers.iter().map(|signer| match &*signer.issuer {
            "" => printable(&signer.name).into_owned(),
            issuer => format!("{} (certificate of {})", printable(&signer.name), printable(issuer)),
        });
        let names = names.collect::<Vec<_>>().join(", ");
        match (&*signature.problem, signature.hash_matches) {
            ("", Some(false)) => format!("{names}, but changed since"),
            ("", _) => names,
            (problem, _) => format!("an entry that cannot be read ({})", printable(problem)),
        }
    };
    format!("signed by {}", signatures.iter().map(one).collect::<Vec<_>>().join("; and by "))
}

/// Examines a program that is to be started by firmware, or by a loader for that firmware.
pub(super) fn start(
    walk: &mut Walk,
    volume: &Readable<'_>,
    path: &str,
    machine: Machine,
    subsystem: Option<Subsystem>,
) -> Result<Program, super::End> {
    let place = format!("{}:{}", volume.name(), printable(path));
    let program = match read(volume, path) {
        Ok(program) => program,
        Err(Missing::NoFile) => return walk.stop(format!("{place} is not there")),
        Err(Missing::Unreadable(error)) => return walk.unknown(format!("{place} cannot be read: {error}")),
        Err(Missing::NoProgram(error)) => return walk.stop(format!("{place} is no EFI program: {error}")),
    };
    let found = program.executable.machine;
    if found != machine {
        return walk.stop(format!(
            "{place} is a loader of the wrong machine: for {found}, the firmware is for {machine}"
        ));
    }
    let kind = program.executable.subsystem;
    if subsystem.is_some_and(|wanted| wanted != kind) {
        return walk.stop(format!("{place} is {kind}: firmware starts EFI applications"));
    }
    walk.ok(format!("{place}: {}, for {found}, {}", program.kind.name(), signed(&program.signatures)));
    Ok(program)
}
