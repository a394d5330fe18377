//! The JSON of `vhdmount reg`.

use std::io::{self, Write};

use serde::Serialize;
use vhdmount::{
    Error,
    registry::{Hive, Key, Value, types::type_name},
};

use super::text::{hex, security, time};
use crate::cli::rows::Rows;

/// The document of `reg query --json`.
pub(super) const QUERY: &str = "reg_query/1";
/// The document of `reg diff --json`.
pub(super) const DIFF: &str = "reg_diff/1";

/// A key.
#[derive(Default, Serialize)]
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
    /// `problem` is called for what of the key cannot be read.
    pub(super) fn new(
        hive: &Hive,
        path: String,
        key: &Key,
        with_security: bool,
        values: &[Value],
        problem: &mut dyn FnMut(Error),
    ) -> Self {
        let mut readable = |read: vhdmount::Result<_>| read.map_err(&mut *problem).ok().flatten();
        let class =
            readable(hive.class(key).map(|class| class.map(|class| String::from_utf16_lossy(&class))));
        let security = || hive.security(key).map(|bytes| bytes.map(|bytes| security(&bytes)));
        let security = with_security.then(|| readable(security()));
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

/// What could not be read of a hive, the first ones: a damaged one may have a problem for each of its cells.
#[derive(Default)]
pub(super) struct Problems(pub(super) Vec<Problem>);

impl Problems {
    pub(super) const MAX: usize = 1000;

    pub(super) fn add(&mut self, path: &str, problem: impl std::fmt::Display) {
        if self.0.len() < Self::MAX {
            self.0.push(Problem { path: path.to_owned(), problem: problem.to_string() });
        }
    }
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

/// Ends a document with what could not be read.
pub(super) fn problems(out: &mut impl Write, problems: &[Problem]) -> io::Result<()> {
    let mut rows = Rows::further("problems");
    problems.iter().try_for_each(|problem| rows.row(out, problem))?;
    rows.end(out)?;
    out.write_all(b"}\n")?;
    out.flush()
}
