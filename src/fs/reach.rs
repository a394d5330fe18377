//! The rule that keeps every tree a tree: a directory is entered by one entry, which the format decides on (NTFS: the one
//! at the place that the directory's own record states; FAT: by its `..`). Any other entry that leads to it is listed,
//! with the directory's attributes, but its node is marked, and entering that is an error.

/// Marks the node number of a directory as seen through an entry that does not lead into it.
pub const MISPLACED: u64 = 1 << 53;
