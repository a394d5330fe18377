//! The check of the boot sector and its backup, which is in the sector after the volume's last one.

use super::Check;
use crate::{
    bytes::read_vec,
    check::Severity,
    fs::{
        findings::Kind,
        ntfs::volume::{backup::contradicting_backup, boot::BootSector},
    },
};

const BOOT: Kind = Kind {
    severity: Severity::Warning,
    name: "boot sector",
    meaning: "Its backup is used and nothing is lost, but Windows does not mount the volume before it is repaired.",
};
const MISSING: Kind = Kind {
    severity: Severity::Warning,
    name: "backup of the boot sector",
    meaning: "Nothing is lost as long as the boot sector itself is sound.",
};
const DIFFERENT: Kind = Kind {
    severity: Severity::Warning,
    name: "backup of the boot sector",
    meaning: "The boot sector is used. If it is the wrong one of the two, files lie elsewhere than it says.",
};
const CODE: Kind = Kind {
    severity: Severity::Note,
    name: "backup of the boot sector",
    meaning: "Both describe the same volume; only what a computer starts from it differs.",
};

/// Fields that must agree in both: name, offset, length.
const FIELDS: [(&str, usize, usize); 9] = [
    ("bytes per sector", 0x0b, 2),
    ("sectors per cluster", 0x0d, 1),
    ("media descriptor", 0x15, 1),
    ("total sectors", 0x28, 8),
    ("place of $MFT", 0x30, 8),
    ("place of $MFTMirr", 0x38, 8),
    ("size of records", 0x40, 4),
    ("size of index blocks", 0x44, 4),
    ("serial number", 0x48, 8),
];
const SECTOR: usize = 512;

impl Check<'_, '_> {
    /// Compares the two copies.
    pub(super) fn boot_sectors(&mut self) {
        let boot = &self.ntfs.mft.boot;
        let volume = &*self.ntfs.volume;
        let first = read_vec(volume, 0, SECTOR);
        let sound = first.and_then(|sector| BootSector::parse(&sector).map(|parsed| (sector, parsed)));
        let sector = match sound {
            Ok((sector, parsed)) if parsed == *boot => sector,
            Ok((sector, parsed)) if contradicting_backup(volume, &sector).is_some() => {
                let problem = format!(
                    "it states {} bytes, its backup at the end of the partition {}",
                    parsed.size(),
                    boot.size()
                );
                return self.findings.add(&BOOT, "boot sector", problem);
            }
            Ok(_) => {
                let problem = "leads to no $MFT, other than its backup";
                return self.findings.add(&BOOT, "boot sector", problem);
            }
            Err(error) => return self.findings.add(&BOOT, "boot sector", error.to_string()),
        };
        let sectors = number(&sector[0x28..0x30]);
        let expected = sectors.saturating_mul(boot.sector_size);
        let last = volume.size().saturating_sub(boot.sector_size);
        let candidates = [expected, last].map(|at| (at, read_vec(volume, at, SECTOR)));
        let found = candidates.into_iter().find_map(|(at, copy)| {
            let copy = copy.ok().filter(|copy| at > 0 && BootSector::parse(copy).is_ok())?;
            Some((at, copy))
        });
        let Some((at, copy)) = found else {
            let problem = match expected.checked_add(boot.sector_size) {
                Some(end) if end <= volume.size() => format!("no boot sector at byte {expected:#x}"),
                _ => format!("it should lie at byte {expected:#x}, behind the end of the partition"),
            };
            return self.findings.add(&MISSING, "backup of the boot sector", problem);
        };
        let different = FIELDS
            .iter()
            .filter(|(_, offset, len)| sector[*offset..offset + len] != copy[*offset..offset + len]);
        let different: Vec<_> = different
            .map(|(name, offset, len)| {
                let values = [&sector, &copy].map(|bytes| number(&bytes[*offset..offset + len]));
                format!("{name} {:#x}, in the backup {:#x}", values[0], values[1])
            })
            .collect();
        if !different.is_empty() {
            self.findings.add(&DIFFERENT, "backup of the boot sector", different.join("; "));
        } else if sector != copy {
            let problem = format!("the code in the sector at byte {at:#x} is another one");
            self.findings.add(&CODE, "backup of the boot sector", problem);
        }
    }
}

/// Parses a little-endian number of up to 8 bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
