//! The boot configuration stores of a disk, and what their entries mean on it.

use std::sync::Arc;

use serde::Serialize;

pub use super::boot::PATHS;
use super::{
    Image,
    boot::{self, Verdict},
};
use crate::{
    Result,
    bcd::{ObjectType, Raw, Store, Style, Value},
    bytes::ByteSource,
    guid::Guid,
    json::Document,
    printable::printable,
};

/// The stores of a disk, or one that is a file of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BcdReport {
    /// The image, or the store itself.
    pub image: String,
    /// Each store.
    pub stores: Vec<StoreReport>,
}

/// One store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoreReport {
    /// Its volume; empty for one that is a file of its own.
    pub volume: String,
    /// Its path there.
    pub path: String,
    /// True when it was not written completely, and no log completes it.
    pub dirty: bool,
    /// Its objects.
    pub objects: Vec<ObjectReport>,
    /// What could not be read.
    pub problems: Vec<String>,
}

/// One object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObjectReport {
    /// Its identifier.
    pub id: Guid,
    /// What it is called: `{default}`, or the identifier in braces.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: ObjectType,
    /// What `bcdedit` prints above it.
    pub heading: String,
    /// Its elements.
    pub elements: Vec<ElementReport>,
    /// What it would start on this disk; absent where it is no loader, or without a disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts: Option<Starts>,
    /// What could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// As `bcdedit` prints it.
    #[serde(skip)]
    pub text: String,
}

/// What an entry would start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Starts {
    /// What comes of it.
    pub verdict: Verdict,
    /// In words.
    pub text: String,
}

/// One element.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ElementReport {
    /// Its number, as eight hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its value: a boolean, a number, or one text or several.
    pub value: serde_json::Value,
}

impl Image {
    /// The boot configuration stores on the volumes that can be read. `full`: identifiers in full, instead of the names of
    /// those that are the same everywhere. Stores that cannot be read are reported as such.
    pub fn boot_configuration(&self, full: bool) -> BcdReport {
        let mut stores = Vec::new();
        for boot::Stored { volume, path, content, logs, .. } in boot::stores(self) {
            stores.push(match content.and_then(|store| Store::open_with_logs(store, &logs)) {
                Ok(store) => report(&store, &volume, path, full, Some(self)),
                Err(error) => StoreReport {
                    volume,
                    path: path.to_owned(),
                    dirty: false,
                    objects: Vec::new(),
                    problems: vec![error.to_string()],
                },
            });
        }
        let image = self.container().infos().next().map(|info| info.path.clone()).unwrap_or_default();
        BcdReport { image, stores }
    }
}

/// A store that is a file of its own, with the logs beside it (`.LOG`, `.LOG1`, `.LOG2`, in this order).
///
/// # Errors
/// When it is none.
pub fn of_file(
    name: &str,
    source: Arc<dyn ByteSource>,
    logs: &[Arc<dyn ByteSource>],
    full: bool,
) -> Result<BcdReport> {
    let store = Store::open_with_logs(source, logs)?;
    Ok(BcdReport { image: name.to_owned(), stores: vec![report(&store, "", name, full, None)] })
}

fn report(store: &Store, volume: &str, path: &str, full: bool, image: Option<&Image>) -> StoreReport {
    let style = match image {
        Some(image) => Style { full, locations: image },
        None => Style { full, locations: &Raw },
    };
    let objects = store.objects.iter().map(|object| {
        let application = object.kind.application();
        let elements = object.elements.iter().map(|element| {
            let name = element.name(application);
            let value = match &element.value {
                Value::Boolean(yes) => (*yes).into(),
                Value::Integer(number) => (*number).into(),
                Value::Integers(numbers) => numbers.clone().into(),
                Value::Objects(_) => style.values(store, &name, &element.value).into(),
                // Text as it is stored: JSON escapes it.
                Value::String(text) => text.clone().into(),
                value => style.values(store, &name, value).concat().into(),
            };
            ElementReport { id: format!("{:08x}", element.id), name, value }
        });
        let starts = image.and_then(|image| boot::starts(image, volume, store, object));
        ObjectReport {
            id: object.id,
            name: style.id(store, object.id),
            kind: object.kind,
            heading: object.heading(),
            elements: elements.collect(),
            starts: starts.map(|(verdict, text)| Starts { verdict, text }),
            problems: object.problems.iter().map(|problem| printable(problem).into_owned()).collect(),
            text: style.object(store, object),
        }
    });
    StoreReport {
        volume: volume.to_owned(),
        path: path.to_owned(),
        dirty: store.dirty,
        objects: objects.collect(),
        problems: store.problems.iter().map(|problem| printable(problem).into_owned()).collect(),
    }
}

impl Document for BcdReport {
    const SCHEMA: &'static str = "bcd/1";
}
