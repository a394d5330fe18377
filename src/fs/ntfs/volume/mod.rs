//! The volume as a whole: its geometry (boot sector and backup), its clusters and free clusters, the journal's state, the
//! upcase table. Independent of files.

pub(super) mod allocation;
pub(super) mod backup;
pub(super) mod boot;
pub(super) mod clusters;
pub(super) mod logfile;
pub mod upcase;
