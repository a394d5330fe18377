//! A store, read from its hive.

use std::sync::Arc;

use super::{
    Device, Element, Object, ObjectType, Value,
    device::{string, units},
    elements, well_known,
};
use crate::{
    Error, Result,
    bytes::ByteSource,
    guid::Guid,
    registry::{Hive, Key},
};

/// Most objects that are read; stores with a hundred boot entries are the largest known.
const MAX_OBJECTS: usize = 4096;
/// Most elements of an object; there are about 300 kinds.
const MAX_ELEMENTS: usize = 1024;
/// Objects that inherit from each other in a row; Windows' own are three deep.
const MAX_INHERITED: usize = 64;
/// Longest value that is read: a device with its path, or a list of some hundred objects.
const MAX_VALUE: usize = 64 << 10;
/// Bytes of all values of a store. It is written anew from them with each change, so stores are small.
const MAX_VALUES: usize = 8 << 20;

/// The types of values that elements have.
const REG_SZ: u32 = 1;
const REG_MULTI_SZ: u32 = 7;

/// All objects of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// In the order of `bcdedit /enum all`: boot managers, loaders and other applications, what they inherit, devices.
    pub objects: Vec<Object>,
    /// What could not be read.
    pub problems: Vec<String>,
    /// True when the hive was not written completely, and no log completes it.
    pub dirty: bool,
}

impl Store {
    /// Reads a store from the bytes of its file.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it is no sound hive, [`Error::Unsupported`] when the hive is no store.
    pub fn open(source: Arc<dyn ByteSource>) -> Result<Self> {
        Self::open_with_logs(source, &[])
    }

    /// Reads a store from the bytes of its file and of its logs (`BCD.LOG`, `.LOG1`, `.LOG2`, in this order), which are applied if the
    /// store was not written completely.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with_logs(source: Arc<dyn ByteSource>, logs: &[Arc<dyn ByteSource>]) -> Result<Self> {
        Self::read(&Hive::open_with_logs(source, logs)?)
    }

    /// Reads a store from its hive.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn read(hive: &Hive) -> Result<Self> {
        let root = hive.root()?;
        let objects = hive.subkey(&root, "Objects")?;
        let objects = objects.ok_or_else(|| {
            Error::unsupported("a registry hive, but no boot configuration data: no key Objects")
        })?;
        let mut store = Self { objects: Vec::new(), problems: Vec::new(), dirty: hive.is_dirty() };
        let mut keys = Vec::new();
        hive.each_subkey(&objects, &mut |key| match key {
            Ok(key) if keys.len() < MAX_OBJECTS => keys.push(key),
            Ok(_) => store.problem(format!("more than {MAX_OBJECTS} objects: the others are not read")),
            Err(error) => store.problem(format!("an object cannot be read: {error}")),
        })?;
        let mut budget = MAX_VALUES;
        for key in keys {
            let name = String::from_utf16_lossy(&key.name);
            let Some(id) = Guid::parse(&name) else {
                store.problem(format!("the key {name} is no object"));
                continue;
            };
            match object(hive, &key, id, &mut budget) {
                Ok(object) => store.objects.push(object),
                Err(error) => store.problem(format!("the object {{{id}}} cannot be read: {error}")),
            }
        }
        store.objects.sort_by_key(|object| (rank(object), object.id.to_string()));
        store.follow_the_menu();
        Ok(store)
    }

    fn problem(&mut self, text: String) {
        /// A damaged list could bring as many as it has entries.
        const MAX_PROBLEMS: usize = 64;
        if self.problems.len() < MAX_PROBLEMS && !self.problems.contains(&text) {
            self.problems.push(text);
        }
    }

    /// The object with this identifier.
    pub fn object(&self, id: Guid) -> Option<&Object> {
        self.objects.iter().find(|object| object.id == id)
    }

    /// The Windows boot manager.
    pub fn boot_manager(&self) -> Option<&Object> {
        self.object(well_known::BOOT_MANAGER)
    }

    /// What the boot manager starts by itself.
    pub fn default(&self) -> Option<Guid> {
        match self.boot_manager()?.get(elements::DEFAULT_OBJECT)? {
            Value::Object(id) => Some(*id),
            _ => None,
        }
    }

    /// An element of an object, its own or inherited.
    pub fn get<'a>(&'a self, object: &'a Object, id: u32) -> Option<&'a Value> {
        let (mut open, mut seen) = (vec![object], vec![object.id]);
        while let Some(object) = open.pop() {
            if let Some(value) = object.get(id) {
                return Some(value);
            }
            let Some(Value::Objects(inherited)) = object.get(elements::INHERIT) else { continue };
            // The first one is taken first.
            for id in inherited.iter().rev() {
                if !seen.contains(id) && seen.len() < MAX_INHERITED {
                    seen.push(*id);
                    open.extend(self.object(*id));
                }
            }
        }
        None
    }

    /// Puts the loaders in the order of the boot manager's menu, as `bcdedit` does.
    fn follow_the_menu(&mut self) {
        let Some(Value::Objects(order)) = self.boot_manager().and_then(|m| m.get(elements::DISPLAY_ORDER))
        else {
            return;
        };
        let order = order.clone();
        let place = |object: &Object| order.iter().position(|id| *id == object.id).unwrap_or(usize::MAX);
        self.objects.sort_by_key(|object| (rank(object), place(object)));
    }
}

/// The order of kinds in `bcdedit /enum all`.
fn rank(object: &Object) -> (u32, super::Application) {
    (object.kind.0 >> 28, object.kind.application())
}

fn object(hive: &Hive, key: &Key, id: Guid, budget: &mut usize) -> Result<Object> {
    let mut object = Object { id, kind: ObjectType(0), elements: Vec::new(), problems: Vec::new() };
    let description = hive.subkey(key, "Description")?;
    let kind = description.map(|key| value(hive, &key, "Type", budget)).transpose()?.flatten();
    match kind.as_ref().and_then(|(_, data)| data.first_chunk()) {
        Some(bytes) => object.kind = ObjectType(u32::from_le_bytes(*bytes)),
        None => object.problems.push("the object has no type".into()),
    }
    let Some(list) = hive.subkey(key, "Elements")? else { return Ok(object) };
    let mut keys = Vec::new();
    hive.each_subkey(&list, &mut |key| match key {
        Ok(key) if keys.len() < MAX_ELEMENTS => keys.push(key),
        Ok(_) if object.problems.len() < 8 => {
            object.problems.push(format!("more than {MAX_ELEMENTS} elements: the others are not read"));
        }
        Err(error) if object.problems.len() < 8 => {
            object.problems.push(format!("an element cannot be read: {error}"));
        }
        _ => {}
    })?;
    for key in keys {
        let name = String::from_utf16_lossy(&key.name);
        let number = (name.len() == 8).then(|| u32::from_str_radix(&name, 16).ok()).flatten();
        let Some(number) = number else {
            object.problems.push(format!("the key {name} is no element"));
            continue;
        };
        match value(hive, &key, "Element", budget) {
            Ok(Some((data_type, data))) => {
                object.elements.push(Element { id: number, value: parse(number, data_type, &data) });
            }
            Ok(None) => object.problems.push(format!("the element {number:08x} has no value")),
            Err(error) => object.problems.push(format!("the element {number:08x} cannot be read: {error}")),
        }
    }
    object.elements.sort_by_key(|element| element.id);
    Ok(object)
}

/// Type and data of the value with this name.
fn value(hive: &Hive, key: &Key, name: &str, budget: &mut usize) -> Result<Option<(u32, Vec<u8>)>> {
    let (mut found, mut damage) = (None, None);
    hive.each_value(key, 16, &mut |value| match value {
        Ok(value) if String::from_utf16_lossy(&value.name).eq_ignore_ascii_case(name) => {
            found = Some((value.data_type, value.data));
        }
        Ok(_) => {}
        Err(error) => damage = Some(error),
    })?;
    match (found, damage) {
        (Some((_, data)), _) if data.len() > MAX_VALUE || data.len() > *budget => {
            Err(Error::unsupported(format!("a value of {} bytes", data.len())))
        }
        (Some(found), _) => {
            *budget -= found.1.len();
            Ok(Some(found))
        }
        (None, Some(error)) => Err(error),
        (None, None) => Ok(None),
    }
}

/// The value of the element `id` from the type and the data in the registry.
pub(super) fn parse(id: u32, data_type: u32, data: &[u8]) -> Value {
    let parsed = match (id >> 24 & 0xf, data_type) {
        (1, _) => Device::parse(data).map(Value::Device),
        (2, REG_SZ) => Some(Value::String(string(data))),
        (3, REG_SZ) => Guid::parse(&string(data)).map(Value::Object),
        (4, REG_MULTI_SZ) => objects(data).map(Value::Objects),
        // A number has eight bytes; older stores have shorter ones, too.
        (5, _) => integer(data).map(Value::Integer),
        (6, _) => data.first().map(|byte| Value::Boolean(*byte != 0)),
        (7, _) => {
            let (numbers, rest) = data.as_chunks();
            let numbers = numbers.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
            rest.is_empty().then_some(Value::Integers(numbers))
        }
        _ => None,
    };
    parsed.unwrap_or_else(|| Value::Bytes(data.to_vec()))
}

fn integer(data: &[u8]) -> Option<u64> {
    let mut bytes = [0; 8];
    let part = bytes.get_mut(..data.len()).filter(|part| !part.is_empty())?;
    part.copy_from_slice(data);
    Some(u64::from_le_bytes(bytes))
}

fn objects(data: &[u8]) -> Option<Vec<Guid>> {
    let units = units(data);
    let texts = units.split(|unit| *unit == 0).filter(|text| !text.is_empty());
    texts.map(|text| Guid::parse(&String::from_utf16_lossy(text))).collect()
}
