//! What is wrong with a table or a partition: the text that is shown wherever the table is, and for an examination how bad
//! it is and what it means.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::check::{Finding, Severity};

/// Something wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// What contradicts the specification, and how it was got around.
    pub text: String,
    /// What that means, and what can be done.
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

    /// As an examination reports it.
    pub(super) fn finding(&self, structure: &str) -> Finding {
        Finding::new(self.severity, structure, &self.text, self.meaning)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The text alone.
impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}
