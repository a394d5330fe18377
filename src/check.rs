//! Findings of an examination, and the trait that collects them. Every layer reports through it; none depends on how
//! findings are shown.

mod collector;

use serde::Serialize;

pub use collector::{Collector, Counts, More};

use crate::{Error, Remedy};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth reporting, but nothing is wrong.
    Note,
    /// Wrong, but nothing is lost: a redundant copy is intact, or only bookkeeping disagrees.
    Warning,
    /// Data is lost, unreachable or ambiguous.
    Error,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Which structure, by its specification's name: `VHDX header 1`, `MFT record 4711`.
    pub structure: String,
    /// The contradiction to the specification, with its numbers.
    pub problem: String,
    /// The consequence for the user's data, and the remedy.
    pub meaning: String,
}

impl Finding {
    /// Worth reporting, but nothing is wrong.
    pub fn note(
        structure: impl Into<String>,
        problem: impl Into<String>,
        meaning: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Note, structure, problem, meaning)
    }

    /// Wrong, but nothing is lost.
    pub fn warning(
        structure: impl Into<String>,
        problem: impl Into<String>,
        meaning: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Warning, structure, problem, meaning)
    }

    /// Data is lost, unreachable or ambiguous.
    pub fn error(
        structure: impl Into<String>,
        problem: impl Into<String>,
        meaning: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Error, structure, problem, meaning)
    }

    /// A finding of any severity.
    pub fn new(
        severity: Severity,
        structure: impl Into<String>,
        problem: impl Into<String>,
        meaning: impl Into<String>,
    ) -> Self {
        Self { severity, structure: structure.into(), problem: problem.into(), meaning: meaning.into() }
    }

    /// A finding from a parser's error. `structure` is used where the error names none.
    pub fn of(error: &Error, severity: Severity, structure: &str, meaning: impl Into<String>) -> Self {
        match error.cause() {
            Error::Corrupt(corrupt) => Self::new(
                severity,
                corrupt.structure.clone(),
                match corrupt.place {
                    Some(place) => format!("{place}: {}", corrupt.problem),
                    None => corrupt.problem.to_string(),
                },
                meaning,
            ),
            _ => Self::new(severity, structure, error.to_string(), meaning),
        }
    }
}

/// Collects findings and shows progress.
pub trait FindingSink {
    /// Receives one finding. A hostile image can cause any number of them: the collector bounds what it keeps.
    fn finding(&mut self, finding: Finding);

    /// Receives a remedy for the findings of this kind; the same one may come often.
    fn remedy(&mut self, remedy: Remedy) {
        let _ = remedy;
    }

    /// Reports that `done` of `total` units (bytes, records, …) of the current step are examined.
    fn progress(&mut self, step: &str, done: u64, total: u64);
}
