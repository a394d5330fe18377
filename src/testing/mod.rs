//! Generated volumes and disks for tests and fuzzing, with the feature `testing`: a byte string becomes a small tree on a
//! source of up to terabytes, in which every structure is reachable, and damage to it, with checksums put right after. `crash`: what a power cut
//! can leave of what a writer did.

pub mod bodies;
pub mod boot;
pub mod container;
pub mod crash;
mod exercise;
pub mod fat;
mod faults;
mod fields;
pub mod hive;
mod input;
pub mod ntfs;
mod pieces;
pub mod requests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod verify;
mod walk;
pub mod writes;

pub use exercise::Work;
pub use input::{Input, seeded};
pub use pieces::{CHANGE, Pieces, Seal};

/// A volume that was made from choices.
pub struct Made {
    /// Its structures and content, not yet written.
    pub pieces: Pieces,
    /// What its files hold.
    pub files: Vec<Expected>,
    /// True if an examination finds nothing in it, as long as nothing is damaged.
    pub sound: bool,
}

/// Bytes by their offset.
pub type Parts = Vec<(u64, Vec<u8>)>;

/// The content of a file or stream.
#[derive(Debug, Clone)]
pub struct Expected {
    /// From the root, `/` before each name.
    pub path: String,
    /// Name of the stream; `None` for the file's own content.
    pub stream: Option<String>,
    /// Length in bytes.
    pub size: u64,
    /// What is not zero.
    pub parts: Parts,
}
