//! The properties of a file, from its records: type, sizes, times, names, streams, its home; and the cached part of them for
//! `stat`.

pub(super) mod home;
pub(super) mod interix;
pub(super) mod node;
pub(super) mod numbered;
pub(super) mod stat_cache;
pub(super) mod stat_record;
