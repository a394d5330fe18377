//! Converts [`Stat`] to the file information of Windows: attribute bits, FILETIMEs, the tag of a reparse point.
//!
//! Bits that a mount does not implement (sparse, compressed, encrypted, recalled from a cloud) are masked: the content is
//! read decoded, or refused with a reason.

use vhdmount::fs::{NodeKind, Stat, Timestamp};

/// FILE_ATTRIBUTE_* (MS-FSCC 2.6).
pub(crate) mod attribute {
    pub(crate) const READONLY: u32 = 0x1;
    pub(crate) const HIDDEN: u32 = 0x2;
    pub(crate) const SYSTEM: u32 = 0x4;
    pub(crate) const DIRECTORY: u32 = 0x10;
    pub(crate) const ARCHIVE: u32 = 0x20;
    pub(crate) const NORMAL: u32 = 0x80;
    pub(crate) const TEMPORARY: u32 = 0x100;
    pub(crate) const REPARSE_POINT: u32 = 0x400;
    pub(crate) const OFFLINE: u32 = 0x1000;
    pub(crate) const NOT_CONTENT_INDEXED: u32 = 0x2000;
    pub(crate) const PINNED: u32 = 0x8_0000;
    pub(crate) const UNPINNED: u32 = 0x10_0000;
}

/// Bits passed on as stored; the directory and reparse point bits are set separately.
const PASSED: u32 = attribute::READONLY
    | attribute::HIDDEN
    | attribute::SYSTEM
    | attribute::ARCHIVE
    | attribute::TEMPORARY
    | attribute::OFFLINE
    | attribute::NOT_CONTENT_INDEXED
    | attribute::PINNED
    | attribute::UNPINNED;

/// A file's information as Windows receives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Info {
    pub(crate) attributes: u32,
    /// 0 for a file without a reparse point.
    pub(crate) reparse_tag: u32,
    pub(crate) allocated: u64,
    pub(crate) size: u64,
    /// Times as FILETIMEs.
    pub(crate) created: u64,
    pub(crate) accessed: u64,
    pub(crate) written: u64,
    pub(crate) changed: u64,
    /// The file's number on the volume.
    pub(crate) index: u64,
    /// Size of the extended attributes, as NTFS counts it.
    pub(crate) ea_size: u32,
}

impl Info {
    /// The information of a node that is not a stream. `reparse_tag`: the tag of the reparse point that is shown, or 0.
    pub(super) fn of(stat: &Stat, reparse_tag: u32, index: u64, ea_size: u32) -> Self {
        let mut attributes = stat.attributes & PASSED;
        if is_directory(stat) {
            attributes |= attribute::DIRECTORY;
        }
        if reparse_tag != 0 {
            attributes |= attribute::REPARSE_POINT;
        }
        let size = if is_directory(stat) { 0 } else { stat.size };
        Self {
            attributes: or_normal(attributes),
            reparse_tag,
            allocated: stat.allocated,
            size,
            created: filetime(stat.times.created),
            accessed: filetime(stat.times.accessed),
            written: filetime(stat.times.modified),
            changed: filetime(stat.times.changed),
            index,
            ea_size,
        }
    }

    /// The information of one of the file's named streams, which is neither a directory nor a link.
    pub(super) fn of_stream(self, size: u64, allocated: u64) -> Self {
        let attributes = self.attributes & !(attribute::DIRECTORY | attribute::REPARSE_POINT);
        Self { attributes: or_normal(attributes), reparse_tag: 0, size, allocated, ..self }
    }
}

/// True for directories and, as in Windows, for links to directories.
pub(super) fn is_directory(stat: &Stat) -> bool {
    stat.kind == NodeKind::Directory || stat.attributes & attribute::DIRECTORY != 0
}

fn or_normal(attributes: u32) -> u32 {
    if attributes == 0 { attribute::NORMAL } else { attributes }
}

/// Units of 100 ns since 1601. A time outside the range of a FILETIME becomes the nearest one in it. Windows takes 0 as
/// "no such time" and a value that is negative as an i64 as an error.
pub(super) fn filetime(stamp: Timestamp) -> u64 {
    const EPOCH: i128 = (369 * 365 + 89) * 86_400;
    let units = (i128::from(stamp.seconds) + EPOCH) * 10_000_000 + i128::from(stamp.nanos / 100);
    u64::try_from(units.clamp(0, i128::from(i64::MAX))).expect("clamped to 63 bits")
}

#[cfg(test)]
mod tests {
    use vhdmount::fs::ntfs::attributes::time::from_filetime;

    use super::*;

    fn stat(kind: NodeKind, attributes: u32) -> Stat {
        Stat { size: 7, allocated: 4096, attributes, ..Stat::empty(kind) }
    }

    #[test]
    fn bits_that_promise_too_much_are_masked() {
        // Archive, sparse, compressed, encrypted, recall on open and on access, a bit internal to NTFS.
        let odd = 0x20 | 0x200 | 0x800 | 0x4000 | 0x4_0000 | 0x40_0000 | 0x1000_0000;
        assert_eq!(Info::of(&stat(NodeKind::File, odd), 0, 9, 0).attributes, attribute::ARCHIVE);
        assert_eq!(Info::of(&stat(NodeKind::File, 0x200), 0, 9, 0).attributes, attribute::NORMAL);
        let read_only = attribute::READONLY | attribute::HIDDEN | attribute::SYSTEM;
        assert_eq!(Info::of(&stat(NodeKind::File, read_only), 0, 9, 0).attributes, read_only);
    }

    #[test]
    fn kind_and_point_do_not_depend_on_the_stored_bits() {
        let info = Info::of(&stat(NodeKind::Directory, attribute::REPARSE_POINT), 0, 9, 0);
        assert_eq!((info.attributes, info.size), (attribute::DIRECTORY, 0));
        let link = Info::of(&stat(NodeKind::Symlink, 0x10), 0xA000_000C, 9, 0);
        assert_eq!(link.attributes, attribute::DIRECTORY | attribute::REPARSE_POINT);
        let stream = link.of_stream(3, 8);
        assert_eq!((stream.attributes, stream.reparse_tag, stream.size), (attribute::NORMAL, 0, 3));
    }

    #[test]
    fn filetimes_are_those_of_the_disk() {
        for units in [1, 116_444_735_999_999_999, 128_920_112_645_000_000, u64::MAX >> 1] {
            assert_eq!(filetime(from_filetime(units)), units);
        }
        assert_eq!(filetime(Timestamp { seconds: i64::MIN, nanos: 0 }), 0);
        assert_eq!(filetime(Timestamp { seconds: i64::MAX, nanos: u32::MAX }), u64::MAX >> 1);
    }
}
