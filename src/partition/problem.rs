//! Problems of a table or a partition: a text, shown wherever the table is, and for a check the severity and the
//! consequence.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::check::{Finding, Severity};

/// A problem of a table or a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its severity.
    pub severity: Severity,
    /// The contradiction to the specification, and how it was worked around.
    pub text: String,
    /// The consequence, and a remedy.
    pub meaning: &'static str,
}

impl Problem {
    pub(super) fn note(text: impl Into<String>, meaning: &'static str) -> Self {
        Self { severity: Severity::Note, text: text.into(), meaning }
    }

    pub(super) fn warning(text: impl Into<String>, meaning: &'static str) -> Self {
        Self { severity: Severity::Warning, text: text.into(), meaning }
    }

    pub(super) fn error(text: impl Into<String>, meaning: &'static str) -> Self {
        Self { severity: Severity::Error, text: text.into(), meaning }
    }

    /// The finding that a check reports.
    pub(super) fn finding(&self, structure: &str) -> Finding {
        Finding::new(self.severity, structure, &self.text, self.meaning)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Serialized as its text only.
impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}
