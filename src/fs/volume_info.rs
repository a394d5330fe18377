//! Metadata of a volume: its format, its identity, and its state after the last mount.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::identity::VolumeSerial;

/// The format of a filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FsKind {
    /// NTFS.
    Ntfs,
    /// FAT with entries of 12 bits.
    Fat12,
    /// FAT with entries of 16 bits.
    Fat16,
    /// FAT with entries of 32 bits.
    Fat32,
    /// A filesystem that is none of these formats: the tree of a whole image, or one that a caller implements.
    Other(&'static str),
}

impl FsKind {
    /// The name in texts and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ntfs => "ntfs",
            Self::Fat12 => "fat12",
            Self::Fat16 => "fat16",
            Self::Fat32 => "fat32",
            Self::Other(name) => name,
        }
    }
}

impl Default for FsKind {
    fn default() -> Self {
        Self::Other("")
    }
}

impl fmt::Display for FsKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for FsKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The state of the journal after the last mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Journal {
    /// Filled with 0xFF by the program that formatted or repaired the volume.
    #[serde(rename = "empty")]
    Empty,
    /// No client has it open, or the volume is marked as clean.
    #[serde(rename = "clean")]
    Clean,
    /// The filesystem's driver had it open.
    #[serde(rename = "unclean")]
    Unclean,
    /// `$LogFile` of version 2.0: Windows still considers the volume mounted.
    #[serde(rename = "in use")]
    InUse,
    /// No readable restart page.
    #[serde(rename = "damaged")]
    Damaged,
}

/// Metadata of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct VolumeInfo {
    /// Its format.
    pub filesystem: FsKind,
    /// The version of the format, where it has one (`3.1`).
    pub version: String,
    /// Label; empty if none.
    pub label: String,
    /// Serial number; in JSON the text that the format's own tools print, empty if none.
    #[serde(serialize_with = "text_or_empty")]
    pub serial: Option<VolumeSerial>,
    /// Size in bytes as stated by the filesystem.
    pub size: u64,
    /// Allocation unit in bytes.
    pub cluster_size: u64,
    /// Not cleanly unmounted.
    pub dirty: bool,
    /// A hibernated Windows holds newer data in `hiberfil.sys`.
    pub hibernated: bool,
    /// The state of the journal; `None` if the format has none, or if it cannot be read.
    pub journal: Option<Journal>,
    /// Damage and the workaround (`boot sector damaged: its backup is used`).
    pub problems: Vec<String>,
}

fn text_or_empty<S: Serializer>(serial: &Option<VolumeSerial>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&serial.map(|serial| serial.to_string()).unwrap_or_default())
}

impl VolumeInfo {
    /// The reason why the volume counts as not cleanly unmounted; `None` if it was unmounted cleanly.
    pub fn unclean(&self) -> Option<&'static str> {
        Some(match (self.hibernated, self.journal) {
            (true, _) => {
                "Windows is hibernated, or was shut down for a fast start: it keeps newer metadata and files in \
                 hiberfil.sys"
            }
            (false, Some(Journal::InUse)) => {
                "its Windows had the volume mounted, or keeps it so for a fast start: newer metadata may be in the journal \
                 ($LogFile 2.0) or in memory alone"
            }
            (false, Some(Journal::Unclean)) => {
                "not cleanly unmounted: the journal ($LogFile) holds changes that were not written back"
            }
            (false, None) if self.dirty => "not cleanly unmounted",
            (false, _) if self.dirty => "marked as dirty: its next Windows is to check it",
            (false, _) => return None,
        })
    }

    /// As [`Self::unclean`], with the consequence for the reader.
    pub fn state(&self) -> Option<String> {
        let meaning = match self.journal {
            // FAT has no journal that could have kept them consistent.
            None => "directories, tables and files may not fit together",
            Some(_) => {
                "the journal is not replayed, so what is read may be older than what Windows would show"
            }
        };
        self.unclean().map(|why| format!("{why}; {meaning}"))
    }
}
