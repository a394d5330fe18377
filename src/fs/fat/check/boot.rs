//! The check of the boot sector, its backup, FAT32's `FSInfo`, and the volume's state.

use super::{
    super::boot::{BOOT_SECTOR_SIZE, Width},
    Check,
};
use crate::{bytes::read_vec, check::Severity, fs::findings::Kind};

const OPENING: Kind = Kind {
    severity: Severity::Warning,
    name: "boot sector",
    meaning: "The volume was opened in spite of the damage; what can be read is read.",
};
const STATE: Kind = Kind {
    severity: Severity::Warning,
    name: "state of the volume",
    meaning: "Its last user had not written everything back: directories, tables and files may not fit together.",
};
const SIGNATURE: Kind = Kind {
    severity: Severity::Note,
    name: "boot sector",
    meaning: "The volume is read; Windows requires the signature.",
};
const BACKUP: Kind = Kind {
    severity: Severity::Warning,
    name: "copy of the boot sector",
    meaning: "The boot sector is used; the copy would not help if it were damaged.",
};
const FS_INFO: Kind = Kind {
    severity: Severity::Warning,
    name: "FSInfo",
    meaning: "Nothing is lost; the free space is counted here, Windows shows the wrong number until chkdsk corrects it.",
};
const LABELS: Kind =
    Kind { severity: Severity::Note, name: "volume label", meaning: "The one in the root directory counts." };

/// Offsets in FAT32's boot sector.
const FS_INFO_SECTOR: usize = 48;
const BACKUP_SECTOR: usize = 50;
/// Offset of the volume's state, which the backup need not repeat.
const STATE_BYTE: usize = 65;

impl Check<'_, '_> {
    pub(super) fn boot_sector(&mut self) {
        let fat = self.fat;
        if let Some(state) = fat.info.unclean() {
            self.report(&STATE, "volume", state);
        }
        let (claimed, size) = (fat.geometry.size, fat.pages.volume().size());
        self.findings.truncated(claimed, size);
        for problem in &fat.geometry.problems {
            self.report(&OPENING, "boot sector", problem.clone());
        }
        let Ok(sector) = read_vec(&**fat.pages.volume(), 0, BOOT_SECTOR_SIZE) else { return };
        if sector[510..] != [0x55, 0xaa] {
            self.report(&SIGNATURE, "boot sector", "the signature 55AA is missing");
        }
        let in_boot_sector = fat.geometry.label.filter(|label| label != b"NO NAME    ");
        if let (Some(one), Some(other)) = (in_boot_sector, fat.root_label())
            && one != other
        {
            let (one, other) = (one.escape_ascii(), other.escape_ascii());
            self.report(
                &LABELS,
                "volume label",
                format!("\"{one}\" in the boot sector, \"{other}\" in the root"),
            );
        }
        if fat.geometry.width == Width::Fat32 {
            self.backup(&sector);
        }
    }

    /// Reads the sector with this number; `None` for 0 and 0xFFFF, which mean that there is none.
    fn sector(&self, number: u16) -> Option<crate::Result<Vec<u8>>> {
        if matches!(number, 0 | u16::MAX) {
            return None;
        }
        let at = u64::from(number) * u64::from(self.fat.geometry.sector_size);
        Some(read_vec(&**self.fat.pages.volume(), at, BOOT_SECTOR_SIZE))
    }

    fn backup(&mut self, sector: &[u8]) {
        let number = u16::from_le_bytes([sector[BACKUP_SECTOR], sector[BACKUP_SECTOR + 1]]);
        let structure = format!("boot sector copy in sector {number}");
        match self.sector(number) {
            None => {}
            Some(Err(error)) => self.report(&BACKUP, &structure, error.to_string()),
            Some(Ok(copy)) => {
                let same = |at: &usize| sector[*at] == copy[*at] || *at == STATE_BYTE;
                let different: Vec<usize> = (0..BOOT_SECTOR_SIZE).filter(|at| !same(at)).collect();
                if let [first, ..] = different[..] {
                    let problem = format!("{} bytes differ, the first at {first:#x}", different.len());
                    self.report(&BACKUP, &structure, problem);
                }
            }
        }
    }

    /// Checks the hints of FAT32's `FSInfo` against the counted number of free clusters.
    pub(super) fn fs_info(&mut self, free: Option<u32>) {
        if self.fat.geometry.width != Width::Fat32 {
            return;
        }
        let Ok(boot) = read_vec(&**self.fat.pages.volume(), 0, BOOT_SECTOR_SIZE) else { return };
        let number = u16::from_le_bytes([boot[FS_INFO_SECTOR], boot[FS_INFO_SECTOR + 1]]);
        let sector = match self.sector(number) {
            None => return,
            Some(Err(error)) => return self.report(&FS_INFO, "FSInfo", error.to_string()),
            Some(Ok(sector)) => sector,
        };
        let u32_at =
            |at: usize| u32::from_le_bytes([sector[at], sector[at + 1], sector[at + 2], sector[at + 3]]);
        if (u32_at(0), u32_at(484)) != (0x4161_5252, 0x6141_7272) {
            return self.report(&FS_INFO, "FSInfo", "its signatures are missing");
        }
        let (stated, next) = (u32_at(488), u32_at(492));
        if let Some(free) = free
            && stated != u32::MAX
            && stated != free
        {
            self.report(&FS_INFO, "FSInfo", format!("{stated} free clusters, counted {free}"));
        }
        let is_cluster = |cluster| self.fat.geometry.is_data_cluster(cluster);
        // Some drivers write 0 or 1 when the next free cluster is unknown.
        if next > 1 && next != u32::MAX && !is_cluster(next) {
            self.report(
                &FS_INFO,
                "FSInfo",
                format!("the next free cluster would be {next}, which does not exist"),
            );
        }
    }
}
