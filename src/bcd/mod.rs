//! Boot configuration data: a registry hive with one key for each object, and below it one for each of its elements.
//!
//! Structures: Microsoft's documentation of the BCD WMI provider for types and elements; devices as `bootmgr` stores them.
//! Guards: the number of objects and elements is bounded, and devices nest at most [`device::MAX_DEPTH`] deep. What does
//! not fit its type is kept as bytes.

pub mod device;
mod names;
mod store;
#[cfg(test)]
mod tests;
mod text;

use serde::{Serialize, Serializer};

pub use self::{
    device::{BlockDevice, Device, Medium},
    store::Store,
    text::{Locations, Raw, Style},
};
use crate::guid::Guid;

/// Objects that have the same identifier in every store.
pub mod well_known {
    use crate::guid::Guid;

    /// `{bootmgr}`
    pub const BOOT_MANAGER: Guid = Guid::literal("9dea862c-5cdd-4e70-acc1-f32b344d4795");
    /// `{fwbootmgr}`
    pub const FIRMWARE_BOOT_MANAGER: Guid = Guid::literal("a5a30fa2-3d06-4e9f-b5f4-a01df9d1fcba");
    /// `{ntldr}`
    pub const LEGACY_LOADER: Guid = Guid::literal("466f5a88-0af2-4f76-9038-095b170dc21c");
    /// `{ramdiskoptions}`
    pub const RAMDISK_OPTIONS: Guid = Guid::literal("ae5534e0-a924-466c-b836-758539a3ee3a");
    /// `{current}`: what has been booted, where another object names it.
    pub const CURRENT: Guid = Guid::literal("fa926493-6f1c-4193-a414-58f0b2456d1e");
    /// `{default}`: what the boot manager starts, where another object names it.
    pub const DEFAULT: Guid = Guid::literal("1cae1eb7-a0df-4d4d-9851-4860e34ef535");
}

/// The elements that decide what is started.
pub mod elements {
    /// The device that holds the application.
    pub const DEVICE: u32 = 0x1100_0001;
    /// The application's path on its device.
    pub const PATH: u32 = 0x1200_0002;
    /// What a menu shows.
    pub const DESCRIPTION: u32 = 0x1200_0004;
    /// Objects whose elements count where the object has none of its own.
    pub const INHERIT: u32 = 0x1400_0006;
    /// The volume of the Windows that is loaded.
    pub const OS_DEVICE: u32 = 0x2100_0001;
    /// The Windows folder on it.
    pub const SYSTEM_ROOT: u32 = 0x2200_0002;
    /// True for Windows PE.
    pub const WINPE: u32 = 0x2600_0022;
    /// What the boot manager starts by itself.
    pub const DEFAULT_OBJECT: u32 = 0x2300_0003;
    /// What the boot manager's menu shows.
    pub const DISPLAY_ORDER: u32 = 0x2400_0001;
    /// What the boot manager starts once, instead of the default.
    pub const BOOT_SEQUENCE: u32 = 0x2400_0002;
}

/// The type of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectType(pub u32);

impl ObjectType {
    /// The application, of applications and of what only they inherit.
    pub fn application(self) -> Application {
        match (self.0 >> 28, self.0 >> 20 & 0xf) {
            (1, _) | (2, 2) => Application::of(self.0 & 0xf_ffff),
            _ => Application::None,
        }
    }

    /// True for what can be started.
    pub fn is_application(self) -> bool {
        self.0 >> 28 == 1
    }
}

impl Serialize for ObjectType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:#010x}", self.0))
    }
}

/// What an application object starts. The meaning of an element of applications depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Application {
    /// The firmware's own boot manager: a copy of its variables.
    FirmwareBootManager,
    /// `bootmgr`, `bootmgfw.efi`.
    BootManager,
    /// `winload`.
    OsLoader,
    /// `winresume`.
    Resume,
    /// `memtest`.
    MemoryTester,
    /// `ntldr`.
    LegacyLoader,
    /// `setupldr`.
    LegacySetupLoader,
    /// A boot sector in a file.
    BootSector,
    /// Real-mode code in a file.
    StartupModule,
    /// Any other boot application.
    BootApplication,
    /// None, or none that is known.
    None,
}

impl Application {
    fn of(number: u32) -> Self {
        match number {
            1 => Self::FirmwareBootManager,
            2 => Self::BootManager,
            3 => Self::OsLoader,
            4 => Self::Resume,
            5 => Self::MemoryTester,
            6 => Self::LegacyLoader,
            7 => Self::LegacySetupLoader,
            8 => Self::BootSector,
            9 => Self::StartupModule,
            10 => Self::BootApplication,
            _ => Self::None,
        }
    }
}

/// One object: an application, what others inherit, or options of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its identifier.
    pub id: Guid,
    /// Its type.
    pub kind: ObjectType,
    /// Its elements, by number.
    pub elements: Vec<Element>,
    /// What could not be read of it.
    pub problems: Vec<String>,
}

/// One element of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// Class, format and meaning, as its key is called.
    pub id: u32,
    /// Its value.
    pub value: Value,
}

/// The value of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A device.
    Device(Device),
    /// A text, as it is stored.
    String(String),
    /// Another object.
    Object(Guid),
    /// Other objects, in their order.
    Objects(Vec<Guid>),
    /// A number.
    Integer(u64),
    /// Yes or no.
    Boolean(bool),
    /// Numbers.
    Integers(Vec<u64>),
    /// Bytes of another format, or such as do not fit theirs.
    Bytes(Vec<u8>),
}

impl Object {
    /// The value of an element of this object itself.
    pub fn get(&self, id: u32) -> Option<&Value> {
        self.elements.iter().find(|element| element.id == id).map(|element| &element.value)
    }

    /// What `bcdedit` prints above the object.
    pub fn heading(&self) -> String {
        names::heading(self.id, self.kind)
    }

    /// A text element of this object itself.
    pub fn string(&self, id: u32) -> Option<&str> {
        match self.get(id)? {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// A device element of this object itself.
    pub fn device(&self, id: u32) -> Option<&Device> {
        match self.get(id)? {
            Value::Device(device) => Some(device),
            _ => None,
        }
    }
}

impl Element {
    /// What `bcdedit` calls it in an object of this application; `custom:XXXXXXXX` where it has no name.
    pub fn name(&self, application: Application) -> String {
        names::element(self.id, application).map_or_else(|| format!("custom:{:08x}", self.id), str::to_owned)
    }
}
