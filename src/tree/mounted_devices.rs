//! Windows' database of mounted devices: the volume of each drive letter and volume GUID, identified by its partition
//! table entry. Key `MountedDevices` of the hive `SYSTEM`, one binary value per name.

use std::collections::BTreeMap;

use crate::{
    Error, Result,
    fs::{
        FileSystem,
        windows::{HiveFiles, system_hive},
    },
    guid::Guid,
    identity::PartitionId,
    registry::{Hive, Replay},
};

const KEY: &str = "MountedDevices";
/// Most names read. Windows never removes any itself, so that a few hundred accumulate; 26 are letters.
const MAX_NAMES: usize = 4096;
/// Prefix of a GPT partition's GUID.
const GPT: &[u8; 8] = b"DMIO:ID:";

/// The device that a name refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Device {
    /// This partition.
    Partition(PartitionId),
    /// An optical drive, a removable medium, …
    Other,
}

/// The database of one Windows installation.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct MountedDevices {
    drives: BTreeMap<u8, Device>,
    volumes: BTreeMap<Guid, Device>,
}

impl MountedDevices {
    /// The database of the Windows installation on `fs`; `None` when there is none that can be read.
    pub(super) fn of(fs: &dyn FileSystem) -> Option<Self> {
        match Self::read(&system_hive(fs)?) {
            Ok(found) => Some(found),
            Err(error) => {
                log::warn!("drive letters and volumes of links cannot be looked up: {error}");
                None
            }
        }
    }

    fn read(files: &HiveFiles) -> Result<Self> {
        let hive = Hive::open_with_logs(files.hive.clone(), &files.logs)?;
        if *hive.replay() != Replay::NotNeeded {
            log::info!("the registry hive SYSTEM was {}", hive.replay());
        }
        let key = hive.subkey(&hive.root()?, KEY)?;
        let key = key.ok_or_else(|| Error::not_found(format!("the registry hive SYSTEM has no {KEY}")))?;
        let mut found = Self::default();
        hive.each_value(&key, MAX_NAMES, &mut |value| match value {
            Ok(value) => found.add(&value.name, &value.data),
            Err(error) => log::debug!("{KEY}: {error}"),
        })?;
        Ok(found)
    }

    fn add(&mut self, name: &[u16], data: &[u8]) {
        let Ok(name) = String::from_utf16(name) else { return };
        let device = Device::parse(data);
        if let Some(letter) = strip(&name, r"\DosDevices\") {
            if let [letter, b':'] = letter.as_bytes() {
                self.drives.insert(letter.to_ascii_uppercase(), device);
            }
        } else if let Some(id) = strip(&name, r"\??\Volume").and_then(Guid::parse) {
            self.volumes.insert(id, device);
        }
    }

    /// The device with this drive letter.
    pub(super) fn drive(&self, letter: u8) -> Option<Device> {
        self.drives.get(&letter.to_ascii_uppercase()).copied()
    }

    /// The device of the volume with this GUID.
    pub(super) fn volume(&self, id: &Guid) -> Option<Device> {
        self.volumes.get(id).copied()
    }

    /// All devices that have a name.
    pub(super) fn devices(&self) -> impl Iterator<Item = Device> {
        self.drives.values().chain(self.volumes.values()).copied()
    }
}

impl Device {
    fn parse(data: &[u8]) -> Self {
        if let Some(id) = data.strip_prefix(GPT).and_then(|id| id.try_into().ok()) {
            return Self::Partition(PartitionId::Gpt { partition: Guid(id) });
        }
        if let Some((signature, offset)) = data.split_first_chunk::<4>()
            && let Ok(offset) = offset.try_into()
        {
            let (disk, start) = (u32::from_le_bytes(*signature), u64::from_le_bytes(offset));
            return Self::Partition(PartitionId::Mbr { disk, start });
        }
        Self::Other
    }
}

/// `text` without `prefix`, ignoring the case of ASCII letters.
fn strip<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::NameBuf;

    const ID: &str = "{01234567-89ab-cdef-0123-456789abcdef}";

    fn add(database: &mut MountedDevices, name: &str, data: &[u8]) {
        database.add(&NameBuf::literal(name).0, data);
    }

    #[test]
    fn names_lead_to_partitions() {
        let mut database = MountedDevices::default();
        let id = Guid::parse(ID).unwrap();
        add(&mut database, r"\DosDevices\C:", &[&b"DMIO:ID:"[..], &id.0].concat());
        add(&mut database, r"\DosDevices\d:", &[4, 3, 2, 1, 0, 0, 16, 0, 0, 0, 0, 0]);
        add(&mut database, &format!(r"\??\Volume{ID}"), &[4, 3, 2, 1, 0, 0, 16, 0, 0, 0, 0, 0]);
        add(&mut database, r"\DosDevices\E:", br"\??\IDE#CdRom");
        add(&mut database, r"\DosDevices\F:", b"DMIO:ID:short");
        let on_mbr = Device::Partition(PartitionId::Mbr { disk: 0x0102_0304, start: 0x10_0000 });
        assert_eq!(database.drive(b'c'), Some(Device::Partition(PartitionId::Gpt { partition: id })));
        assert_eq!(database.drive(b'D'), Some(on_mbr));
        assert_eq!(database.volume(&id), Some(on_mbr));
        assert_eq!(database.drive(b'E'), Some(Device::Other));
        assert_eq!(database.drive(b'F'), Some(Device::Other));
        assert_eq!(database.devices().count(), 5);
    }

    #[test]
    fn other_names_are_left_out() {
        let mut database = MountedDevices::default();
        for name in
            ["", r"\DosDevices\", r"\DosDevices\CC:", r"\DosDevices\C:\x", r"\??\Volume{0}", "#{0}", "ä"]
        {
            add(&mut database, name, &[0; 12]);
        }
        database.add(&[0xd800], &[0; 12]);
        assert_eq!(database, MountedDevices::default());
    }
}
