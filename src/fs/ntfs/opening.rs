//! Opening a volume: boot sector or backup, the table, the volume's name and state.

use std::sync::Arc;

use super::{
    attributes::code,
    records::{file::File, mft::Mft, number},
    volume::{
        backup::{backup_sectors, contradicting_backup},
        boot::BootSector,
        clusters::Clusters,
        logfile,
        upcase::UpCase,
    },
};
use crate::{
    Error, Result,
    bytes::{ByteSource, read_vec},
    fs::{FsKind, Journal, VolumeInfo},
    identity::VolumeSerial,
};

const DIRTY: u16 = 1;
/// Maximum length of the label attribute: labels have at most 32 characters, but the attribute may be as long as a name.
const MAX_LABEL: usize = 512;
const UPCASE_SIZE: usize = 128 << 10;

/// Opens the volume's table by the boot sector if it is usable, else by its backup.
pub(super) fn open_mft(volume: &Arc<dyn ByteSource>, problems: &mut Vec<String>) -> Result<Mft> {
    let attempt = |boot: BootSector| -> Result<_> {
        let clusters: Arc<dyn ByteSource> = Arc::new(Clusters::new(volume.clone(), boot.size()));
        Mft::open(&clusters, boot)
    };
    let first = read_vec(&**volume, 0, 512);
    let contradicting = first.as_ref().ok().and_then(|sector| contradicting_backup(&**volume, sector));
    if let Some(backup) = &contradicting {
        problems.push(format!(
            "boot sector damaged: the size that it states contradicts its backup, which is used: {} bytes",
            backup.size()
        ));
    }
    let boot = contradicting.map_or_else(|| first.and_then(|sector| BootSector::parse(&sector)), Ok);
    let (mft, mirrored) = match boot.and_then(attempt) {
        Ok(found) => found,
        Err(error) => {
            let backups = backup_sectors(&**volume);
            let found = backups.filter_map(|(_, sector)| BootSector::parse(&sector).ok());
            let found = found.filter_map(|boot| attempt(boot).ok()).next().ok_or(error)?;
            problems.push("boot sector damaged: its backup is used".into());
            found
        }
    };
    // The boot sector may state the same position for both.
    if mirrored || mft.boot.mft == mft.boot.mft_mirror {
        problems.push("$MFT's first record is damaged: $MFTMirr is used".into());
    }
    if mft.missing > 0 {
        problems.push(format!(
            "$MFT is cut short: its last {} bytes cannot be found, nor their files",
            mft.missing
        ));
    }
    let (claimed, size) = (mft.boot.size(), volume.size());
    if claimed > size {
        problems.push(format!("truncated: {claimed} bytes are claimed, {size} are stored"));
    }
    for number in mft.damaged_first_records() {
        problems.push(format!("MFT record {number} is damaged: $MFTMirr is used"));
    }
    Ok(mft)
}

/// The volume's metadata, as far as the table is readable.
pub(super) fn read_info(mft: &Mft, problems: Vec<String>) -> VolumeInfo {
    let mut info = VolumeInfo {
        filesystem: FsKind::Ntfs,
        serial: Some(VolumeSerial::Ntfs(mft.boot.serial_number)),
        size: mft.boot.size(),
        cluster_size: mft.boot.cluster_size,
        problems,
        ..VolumeInfo::default()
    };
    if let Err(error) = read_volume_record(mft, &mut info) {
        info.problems.push(format!("$Volume is unreadable: {error}"));
    }
    match log_state(mft) {
        Ok(state) => {
            info.journal = Some(state);
            info.dirty |= matches!(state, Journal::Unclean | Journal::InUse);
            if state == Journal::Damaged {
                info.problems.push(
                    "the journal ($LogFile) is damaged: whether everything was written back is not known"
                        .into(),
                );
            }
        }
        Err(error) => info.problems.push(format!("the journal ($LogFile) is unreadable: {error}")),
    }
    info
}

fn read_volume_record(mft: &Mft, info: &mut VolumeInfo) -> Result<()> {
    let file = File::open(mft, number::VOLUME)?;
    if let Some(label) = file.bytes(code::VOLUME_NAME, &[], MAX_LABEL)? {
        let units: Vec<u16> = label.as_chunks().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
        // Unescaped: code that builds a path from it escapes it.
        info.label = String::from_utf16_lossy(&units);
    }
    let state = file.bytes(code::VOLUME_INFORMATION, &[], MAX_LABEL)?;
    let state = state.as_deref().and_then(|bytes| bytes.get(8..12)?.first_chunk().copied());
    let [major, minor, flags @ ..]: [u8; 4] =
        state.ok_or_else(|| file.base.corrupt("no $VOLUME_INFORMATION"))?;
    info.version = format!("{major}.{minor}");
    info.dirty = u16::from_le_bytes(flags) & DIRTY != 0;
    Ok(())
}

fn log_state(mft: &Mft) -> Result<Journal> {
    let file = File::open(mft, number::LOGFILE)?;
    let absent = || Error::corrupt("$LogFile", None, "no data");
    let source = file.source(code::DATA, &[])?.ok_or_else(absent)?;
    let len = usize::try_from(source.size()).unwrap_or(usize::MAX).min(logfile::RESTART_PAGES);
    Ok(logfile::state(&read_vec(&*source, 0, len)?))
}

/// The volume's own upcase table, or the fallback if it is damaged.
pub(super) fn read_upcase(mft: &Mft, problems: &mut Vec<String>) -> UpCase {
    let read = || -> Result<UpCase> {
        let file = File::open(mft, number::UPCASE)?;
        let table = file.bytes(code::DATA, &[], UPCASE_SIZE)?;
        UpCase::parse(&table.ok_or_else(|| Error::corrupt("$UpCase", None, "no data"))?)
    };
    read().unwrap_or_else(|error| {
        problems.push(format!(
            "$UpCase is damaged: the usual table is used, names with rare letters may not be found: {error}"
        ));
        UpCase::fallback()
    })
}

/// True if `start` is the start of a hibernated Windows' `hiberfil.sys`: `hibr`, in either case; `rstr` where a resume was
/// begun and not finished, `wake` after one. The file of a fast start begins in the same way: no documented field
/// distinguishes them.
pub(super) fn is_hibernation_signature(start: &[u8]) -> bool {
    let is = |wanted: &[u8]| start.get(..4).is_some_and(|signature| signature.eq_ignore_ascii_case(wanted));
    is(b"hibr") || is(b"rstr")
}
