//! A store as `bcdedit /enum all` prints it: a heading, then names in a column of 24 characters and values.

use std::fmt::Write;

use super::{BlockDevice, Device, Medium, Object, Store, Value, device::FilePath, names};
use crate::{
    guid::Guid,
    identity::{DiskId, PartitionId},
    printable::printable,
};

/// Characters before the values.
const COLUMN: usize = 24;

/// What partitions are called here.
pub trait Locations {
    /// The name of a partition; `None` for one that is not here.
    fn partition(&self, id: PartitionId) -> Option<String>;
}

/// No partition has a name: for a store without its disk.
pub struct Raw;

impl Locations for Raw {
    fn partition(&self, _: PartitionId) -> Option<String> {
        None
    }
}

/// How a store is printed.
pub struct Style<'a> {
    /// Identifiers in full (`/v`), instead of the names of those that are the same everywhere.
    pub full: bool,
    /// What partitions are called.
    pub locations: &'a dyn Locations,
}

impl Style<'_> {
    /// An object, without what it means on this disk.
    pub fn object(&self, store: &Store, object: &Object) -> String {
        let heading = object.heading();
        let mut out = format!("{heading}\n{}\n", "-".repeat(heading.len()));
        line(&mut out, "identifier", &self.id(store, object.id));
        let application = object.kind.application();
        for element in &object.elements {
            let name = element.name(application);
            let mut values = self.values(store, &name, &element.value).into_iter();
            line(&mut out, &name, &values.next().unwrap_or_default());
            values.for_each(|value| line(&mut out, "", &value));
        }
        out
    }

    /// The lines of a value.
    pub fn values(&self, store: &Store, name: &str, value: &Value) -> Vec<String> {
        vec![match value {
            Value::Device(device) => self.device(store, device),
            Value::String(text) => printable(text).into_owned(),
            Value::Object(id) => self.id(store, *id),
            Value::Objects(ids) => return ids.iter().map(|id| self.id(store, *id)).collect(),
            Value::Boolean(yes) => if *yes { "Yes" } else { "No" }.to_owned(),
            Value::Integer(number) => integer(name, *number),
            // Elements, each with the high half for its object.
            Value::Integers(numbers) => return numbers.iter().map(|number| format!("{number:#x}")).collect(),
            Value::Bytes(bytes) => {
                /// More is no help to a reader.
                const SHOWN: usize = 64;
                let mut text = bytes.iter().take(SHOWN).fold(String::new(), |mut text, byte| {
                    let _ = write!(text, "{byte:02x}");
                    text
                });
                if bytes.len() > SHOWN {
                    let _ = write!(text, "… ({} bytes)", bytes.len());
                }
                text
            }
        }]
    }

    /// An identifier in braces.
    pub fn id(&self, store: &Store, id: Guid) -> String {
        let name = match self.full {
            true => None,
            false => names::object(id).or_else(|| (store.default() == Some(id)).then_some("default")),
        };
        match name {
            Some(name) => format!("{{{name}}}"),
            None => format!("{{{id}}}"),
        }
    }

    /// A device as `bcdedit` writes it.
    pub fn device(&self, store: &Store, device: &Device) -> String {
        let mut text = self.block(&device.block);
        if !device.options.is_zero() {
            let _ = write!(text, ",{}", self.id(store, device.options));
        }
        text
    }

    fn block(&self, block: &BlockDevice) -> String {
        match block {
            BlockDevice::Boot => "boot".into(),
            BlockDevice::Whole(medium)
            | BlockDevice::Partition { medium: medium @ Medium::VirtualDisk(_), .. } => self.medium(medium),
            BlockDevice::Partition { id, .. } => format!("partition={}", self.partition(*id)),
            BlockDevice::Locate { element, path, parent } => {
                let by = match (element, &**path) {
                    (0, "") => "locate".to_owned(),
                    (0, path) => format!("locate={}", printable(path)),
                    (element, _) => format!("locate=custom:{element:08x}"),
                };
                match parent {
                    Some(parent) => format!("{},{by}", self.block(parent)),
                    None => by,
                }
            }
            BlockDevice::Network => "network".into(),
            BlockDevice::VmBus(id) => format!("vmbus={{{id}}}"),
            BlockDevice::Other(kind) => format!("unknown ({kind})"),
        }
    }

    fn medium(&self, medium: &Medium) -> String {
        let (name, file) = match medium {
            Medium::Disk(Some(DiskId::Mbr(signature))) => return format!("disk={signature:08x}"),
            Medium::Disk(Some(DiskId::Gpt(id))) => return format!("disk={{{id}}}"),
            Medium::Disk(None) => return "disk".into(),
            Medium::Floppy => return "floppy".into(),
            Medium::CdRom => return "cdrom".into(),
            Medium::Other(kind) => return format!("unknown ({kind})"),
            Medium::RamDisk(file) => ("ramdisk", file),
            Medium::File(file) => ("file", file),
            Medium::VirtualDisk(file) => ("vhd", file),
        };
        match file {
            Some(file) => format!("{name}={}", self.file(file.innermost())),
            None => name.to_owned(),
        }
    }

    fn file(&self, file: &FilePath) -> String {
        let device = file.device.as_ref().map(|device| match device {
            BlockDevice::Partition { id, medium: Medium::Disk(_), .. } => self.partition(*id),
            device => self.block(device),
        });
        format!("[{}]{}", device.unwrap_or_default(), printable(&file.path))
    }

    fn partition(&self, id: Option<PartitionId>) -> String {
        let Some(id) = id else { return "unknown".into() };
        let identity = match id {
            PartitionId::Mbr { disk, start } => format!("{disk:08x}+{start:#x}"),
            PartitionId::Gpt { partition } => format!("{{{partition}}}"),
        };
        match self.locations.partition(id) {
            Some(name) if self.full => format!("{name} {identity}"),
            Some(name) => name,
            None => identity,
        }
    }
}

fn integer(name: &str, number: u64) -> String {
    if let Some(text) = names::integer(name, number) {
        return text.to_owned();
    }
    match u32::try_from(number) {
        Ok(address) if names::is_host(name) => std::net::Ipv4Addr::from(address).to_string(),
        _ if names::is_hexadecimal(name) => format!("{number:#x}"),
        _ => number.to_string(),
    }
}

fn line(out: &mut String, name: &str, value: &str) {
    let _ = writeln!(out, "{}", format!("{name:<width$}{value}", width = column(name)).trim_end());
}

/// A name that fills the column is still apart from its value.
fn column(name: &str) -> usize {
    COLUMN.max(name.len() + 1)
}
