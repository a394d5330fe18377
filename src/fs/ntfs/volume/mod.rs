//! The volume as a whole: its geometry (boot sector and backup), its clusters and which of them are free, the journal's state,
//! the table of upper cases. Nothing here knows of files.

pub(super) mod allocation;
pub(super) mod backup;
pub(super) mod boot;
pub(super) mod clusters;
pub(super) mod logfile;
pub mod upcase;
