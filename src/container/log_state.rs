//! What became of a VHDX's log when the disk was opened.

use std::fmt;

use serde::{Serialize, Serializer};

/// The log of an opened disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogState {
    /// The disk was closed properly: nothing is to be replayed.
    Clean,
    /// Something is to be replayed, and the caller chose to read without it.
    NotReplayed,
    /// The log was replayed in memory.
    Replayed {
        /// Entries of the log.
        entries: usize,
        /// Bytes that they write.
        bytes: u64,
    },
}

impl fmt::Display for LogState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clean => f.write_str("clean"),
            Self::NotReplayed => f.write_str(
                "not replayed: the disk was not closed properly, and its last changes are left out",
            ),
            Self::Replayed { entries, bytes } => {
                let noun = if *entries == 1 { "entry" } else { "entries" };
                write!(f, "replayed: {entries} {noun}, {bytes} bytes")
            }
        }
    }
}

impl Serialize for LogState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
