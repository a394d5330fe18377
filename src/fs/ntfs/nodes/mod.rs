//! What a file is, from its records: kind, sizes, times, names, streams, the place that it is entered from; and what is kept of
//! that for `stat`.

pub(super) mod home;
pub(super) mod interix;
pub(super) mod node;
pub(super) mod stat_cache;
pub(super) mod stat_record;
