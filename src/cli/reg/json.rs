//! The JSON of `vhdmount reg`.

use serde::Serialize;
use vhdmount::{
    json::Document,
    registry::{Hive, Key, Value, types::type_name},
};

use super::text::{hex, security, time};

/// `reg query --json`
#[derive(Default, Serialize)]
pub(super) struct Report {
    pub(super) image: String,
    pub(super) key: String,
    /// The hive's file; empty above the hives.
    pub(super) hive: String,
    pub(super) keys: Vec<KeyReport>,
    /// Of a search.
    pub(super) matches: Option<u64>,
    pub(super) deleted: Vec<DeletedReport>,
    pub(super) problems: Vec<Problem>,
}

impl Document for Report {
    const SCHEMA: &'static str = "reg_query/1";
}

/// A key.
#[derive(Serialize)]
pub(super) struct KeyReport {
    pub(super) path: String,
    pub(super) last_written: String,
    pub(super) class: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) security: Option<String>,
    pub(super) values: Vec<ValueReport>,
    pub(super) subkeys: Vec<String>,
}

impl KeyReport {
    pub(super) fn new(hive: &Hive, path: String, key: &Key, with_security: bool, values: &[Value]) -> Self {
        let class = hive.class(key).ok().flatten().map(|class| String::from_utf16_lossy(&class));
        let security = with_security.then(|| hive.security(key).ok().flatten().map(|bytes| security(&bytes)));
        Self {
            path,
            last_written: time(key.last_written),
            class,
            security: security.flatten(),
            values: values.iter().map(ValueReport::from).collect(),
            subkeys: Vec::new(),
        }
    }
}

/// A key or a value that was deleted.
#[derive(Serialize)]
pub(super) struct DeletedReport {
    /// Where it was; `null` where that is not known.
    pub(super) path: Option<String>,
    /// When the key was written last; `null` for a value alone.
    pub(super) last_written: Option<String>,
    pub(super) values: Vec<ValueReport>,
}

/// A value.
#[derive(Serialize)]
pub(super) struct ValueReport {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    data: Data,
    hex: String,
}

/// Data in the form of its type.
#[derive(Serialize)]
#[serde(untagged)]
enum Data {
    Text(String),
    Texts(Vec<String>),
    Number(u64),
    Other(()),
}

impl From<&Value> for ValueReport {
    fn from(value: &Value) -> Self {
        let texts = value.strings().map(Data::Texts);
        let data = value.text().map(Data::Text).or(texts).or(value.number().map(Data::Number));
        Self {
            name: String::from_utf16_lossy(&value.name),
            kind: type_name(value.data_type).into_owned(),
            data: data.unwrap_or(Data::Other(())),
            hex: hex(&value.data),
        }
    }
}

/// What could not be read.
#[derive(Serialize)]
pub(super) struct Problem {
    pub(super) path: String,
    pub(super) problem: String,
}

/// `reg diff --json`
#[derive(Default, Serialize)]
pub(super) struct DiffReport {
    pub(super) old: String,
    pub(super) new: String,
    pub(super) differences: Vec<DifferenceReport>,
    pub(super) problems: Vec<Problem>,
}

impl Document for DiffReport {
    const SCHEMA: &'static str = "reg_diff/1";
}

/// A key that differs.
#[derive(Serialize)]
pub(super) struct DifferenceReport {
    pub(super) path: String,
    pub(super) change: vhdmount::image::diff::Change,
    pub(super) values: Vec<ValuePair>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) security: Option<[Option<String>; 2]>,
}

/// A value before and after; `null` where it is not there.
#[derive(Serialize)]
pub(super) struct ValuePair {
    pub(super) old: Option<ValueReport>,
    pub(super) new: Option<ValueReport>,
}
