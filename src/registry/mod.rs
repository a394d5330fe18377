//! Registry hives (`regf`), read cell by cell: keys, values, class names, security, and what is left of deleted ones; with their
//! transaction logs applied in memory.
//!
//! Structures: the forensic notes on the Windows registry file format; Microsoft has published no specification. Guards:
//! every cell lies inside the hive bins and every structure inside its cell; lists of lists have two levels; the number
//! of entries followed is bounded, and so is the total read. Volatile keys are in no file.

mod base_block;
mod bins;
mod cells;
mod deleted;
mod format;
mod hive;
mod keys;
mod logs;
mod name;
mod reg_file;
#[cfg(test)]
mod tests;
pub mod types;
mod values;
mod walk;

pub(crate) use self::walk::Entered;
pub use self::{
    deleted::Deleted,
    hive::Hive,
    keys::{Key, MAX_DEPTH},
    logs::Replay,
    name::{fold, same},
    reg_file::{RegFile, Unrepresentable},
    values::Value,
    walk::Visit,
};
#[cfg(any(test, feature = "testing"))]
pub(crate) use self::{format::checksum, logs::hash_of_entries};
