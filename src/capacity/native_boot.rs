//! What a native boot takes of the host: the Windows inside an image says in its registry whether a dynamic disk is expanded to
//! its full size when it is booted from. Key `Services\\FsDepends\\Parameters` of the current control set, hive `SYSTEM`.

use serde::Serialize;

use super::toml_text::{line, quoted};
use crate::{
    Result,
    fs::{FileSystem, windows::system_hive},
    host::Expansion,
    registry::{Hive, Key},
    size::human,
};

const REG_DWORD: u32 = 4;
/// The keys here have a handful of values.
const MAX_VALUES: usize = 256;

/// What a native boot of a Windows would take. A virtual machine that has the same disk takes nothing at boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NativeBoot {
    /// What becomes of a dynamic disk.
    pub expand_at_boot: Expansion,
    /// Host bytes that the boot takes, where it expands the disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_needs: Option<u64>,
    /// They are there. Otherwise the boot fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_fits: Option<bool>,
}

impl NativeBoot {
    /// For a disk that still needs `growth_to_full` bytes of a host with `host_free`.
    pub(super) fn new(expand_at_boot: Expansion, growth_to_full: u64, host_free: u64) -> Self {
        let needs = (expand_at_boot == Expansion::AtBoot).then_some(growth_to_full);
        Self { expand_at_boot, boot_needs: needs, boot_fits: needs.map(|needs| needs <= host_free) }
    }

    /// What becomes of a dynamic disk when the Windows on `fs` is booted from it; `None` when there is none, or one that
    /// knows no native boot.
    pub fn expansion(fs: &dyn FileSystem) -> Option<Expansion> {
        expansion(fs)
    }

    /// The lines of its volume's table.
    pub(super) fn push_toml(&self, out: &mut String) {
        expansion_line(out, self.expand_at_boot);
        if let (Some(needs), Some(fits)) = (self.boot_needs, self.boot_fits) {
            let note = format!("{:>10}, what a native boot takes of the host", human(needs));
            line(out, "boot_needs", &needs.to_string(), &note);
            line(out, "boot_fits", &fits.to_string(), "");
        }
    }
}

/// The setting, with what it means.
pub(super) fn expansion_line(out: &mut String, expansion: Expansion) {
    let (value, comment) = match expansion {
        Expansion::AtBoot => {
            ("on".into(), "a native boot takes a dynamic disk's full size, or stops (0x136)")
        }
        Expansion::Off => ("off".into(), "a dynamic disk grows as it is written"),
        Expansion::Value(value) => {
            (value.to_string(), "VirtualDiskExpandOnMount: the meaning of this value is not known")
        }
        Expansion::Unknown => ("unknown".to_owned(), ""),
    };
    line(out, "expand_at_boot", &quoted(&value), comment);
}

/// The setting of the Windows on `fs`; `None` when there is none, or one that knows no native boot.
pub(super) fn expansion(fs: &dyn FileSystem) -> Option<Expansion> {
    let files = system_hive(fs)?;
    let found = Hive::open_with_logs(files.hive, &files.logs).and_then(|hive| read(&hive));
    found.inspect_err(|error| log::debug!("native boot: {error}")).ok().flatten()
}

fn read(hive: &Hive) -> Result<Option<Expansion>> {
    let root = hive.root()?;
    let Some(select) = hive.subkey(&root, "Select")? else { return Ok(None) };
    let Some(current) = dword(hive, &select, "Current")? else { return Ok(None) };
    let mut key = root;
    for name in [&format!("ControlSet{current:03}"), "Services", "FsDepends"] {
        let Some(below) = hive.subkey(&key, name)? else { return Ok(None) };
        key = below;
    }
    let value = match hive.subkey(&key, "Parameters")? {
        Some(parameters) => dword(hive, &parameters, "VirtualDiskExpandOnMount")?,
        None => None,
    };
    Ok(Some(Expansion::from_value(value)))
}

fn dword(hive: &Hive, key: &Key, name: &str) -> Result<Option<u32>> {
    let mut found = None;
    hive.each_value(key, MAX_VALUES, &mut |value| {
        if let Ok(value) = value
            && value.data_type == REG_DWORD
            && String::from_utf16_lossy(&value.name).eq_ignore_ascii_case(name)
        {
            found = value.data.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
        }
    })?;
    Ok(found)
}
