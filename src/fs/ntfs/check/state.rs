//! The check of the volume as a whole: its state, `$MFTMirr` against `$MFT`, `$UpCase`.

use super::Check;
use crate::{
    Error, Result,
    bytes::read_vec,
    check::Severity,
    fs::{
        findings::Kind,
        ntfs::{
            attributes::code,
            fixup,
            records::{
                file::{File, Place},
                number,
            },
            volume::upcase::UpCase,
        },
    },
};

const STATE: Kind = Kind {
    severity: Severity::Warning,
    name: "state of the volume",
    meaning: "Windows had not written everything back: what is read here may be older than what it would show, and some \
              of the findings may be changes that were on their way. Let Windows mount it once, then look again.",
};
const JOURNAL: Kind = Kind {
    severity: Severity::Warning,
    name: "$LogFile",
    meaning: "Whether everything was written back is not known. Windows makes a new journal; what the old one held is lost.",
};
const TABLE: Kind = Kind {
    severity: Severity::Error,
    name: "$MFT cut short",
    meaning: "The files whose records lie there cannot be found.",
};
const MIRROR: Kind = Kind {
    severity: Severity::Warning,
    name: "$MFTMirr",
    meaning: "$MFT itself is used and nothing is lost, but the copy would not help if it were damaged. chkdsk /f rewrites it.",
};
const UPCASE: Kind = Kind {
    severity: Severity::Warning,
    name: "$UpCase",
    meaning: "The usual table is used instead to find names without regard to case; names with rare letters may not be \
              found. chkdsk /f rewrites it.",
};

/// Number of records in `$MFTMirr`.
const MIRRORED: u64 = 4;
const UPCASE_SIZE: usize = 128 << 10;

impl Check<'_, '_> {
    pub(super) fn state(&mut self) {
        let info = &self.ntfs.info;
        if let Some(state) = info.unclean() {
            self.findings.add(&STATE, "volume", state);
        }
        if matches!(info.journal, None | Some(crate::fs::Journal::Damaged)) {
            self.findings.add(&JOURNAL, "$LogFile", "its restart pages cannot be read");
        }
        self.findings.truncated(info.size, self.ntfs.volume.size());
        let missing = self.ntfs.mft.missing;
        if missing > 0 {
            let problem = format!("its last {missing} bytes cannot be found");
            self.findings.add(&TABLE, "$MFT", problem);
        }
        let lost = self.layout.lost.iter().fold(0, |sum, range| sum + (range.end - range.start));
        if let (Some(first), 1..) = (self.layout.lost.first(), lost) {
            let first = first.start;
            let problem = format!("{lost} records, the first: {first}, lie beyond the end of the volume");
            self.findings.add(&TABLE, "$MFT", problem);
            self.incomplete = true;
        }
        if let Err(error) = self.mirror() {
            self.findings.add(&MIRROR, "$MFTMirr", error.to_string());
        }
        if let Err(error) = self.upcase() {
            self.findings.add(&UPCASE, "$UpCase", error.to_string());
        }
    }

    /// Checks the position of the mirror, and each of its records.
    fn mirror(&mut self) -> Result<()> {
        let (mft, boot) = (&self.ntfs.mft, &self.ntfs.mft.boot);
        let file = File::open(mft, number::MFT_MIRROR)?;
        if let Some(value) = file.value(code::DATA, &[])?
            && let Place::Clusters(runs) = &value.place
            && let Some((place, _)) = runs.find(0)
            && place != Some(boot.mft_mirror)
        {
            let problem = format!(
                "its record says byte {:#x}, the boot sector {:#x}",
                place.unwrap_or_default(),
                boot.mft_mirror
            );
            self.findings.add(&MIRROR, "$MFTMirr", problem);
            return Ok(());
        }
        let size = usize::try_from(boot.record_size).expect("the boot sector bounds it");
        for number in 0..MIRRORED.min(mft.records()) {
            let start = number * boot.record_size;
            // Damage of the table's own record is reported with the records.
            let Ok(record) = read_vec(mft.data(), start, size).and_then(fixed) else { continue };
            let copy = boot.mft_mirror.saturating_add(start);
            match read_vec(&*mft.volume, copy, size).and_then(fixed) {
                Ok(copy) if same(&record, &copy) => {}
                Ok(_) => {
                    let problem = format!("record {number} is not the one of $MFT");
                    self.findings.add(&MIRROR, "$MFTMirr", problem);
                }
                Err(error) => {
                    self.findings.add(&MIRROR, "$MFTMirr", format!("record {number}: {error}"));
                }
            }
        }
        Ok(())
    }

    fn upcase(&self) -> Result<()> {
        let file = File::open(&self.ntfs.mft, number::UPCASE)?;
        let bytes = file.bytes(code::DATA, &[], UPCASE_SIZE)?;
        let bytes = bytes.ok_or_else(|| Error::corrupt("$UpCase", None, "no data"))?;
        UpCase::parse(&bytes).map(drop)
    }
}

fn fixed(mut record: Vec<u8>) -> Result<Vec<u8>> {
    fixup::apply(&mut record, "FILE record", None)?;
    Ok(record)
}

/// Compares the used parts of two records, without the update sequence arrays, which count the writes.
fn same(a: &[u8], b: &[u8]) -> bool {
    let u16_at = |at: usize| usize::from(u16::from_le_bytes([a[at], a[at + 1]]));
    let array = u16_at(4)..u16_at(4) + 2 * u16_at(6);
    let used =
        usize::try_from(u32::from_le_bytes([a[0x18], a[0x19], a[0x1a], a[0x1b]])).unwrap_or(usize::MAX);
    let used = used.min(a.len()).min(b.len());
    a.iter().zip(b).take(used).enumerate().all(|(at, (a, b))| a == b || array.contains(&at))
}
