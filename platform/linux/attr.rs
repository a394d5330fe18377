//! Converts [`Stat`] to the attributes that FUSE takes. Owner and permissions come from the mount options, since user ids
//! in an image belong to another system.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo};
use vhdmount::fs::{NodeId, NodeKind, Posix, Stat, Timestamp};

/// Owner and group of every file, and the masks that clear bits of 0755 on directories and 0644 on files. The owner may write, so
/// that a copy with its modes (`cp -a`, `rsync -a`) can be changed and deleted; that a mount is read-only, the kernel enforces.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ownership {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) fmask: u16,
    pub(super) dmask: u16,
}

/// The unit of `st_blocks`, whatever the filesystem's block size is.
const STAT_BLOCK: u64 = 512;

impl Ownership {
    /// The attributes of a node.
    pub(super) fn attr(&self, node: NodeId, stat: &Stat) -> FileAttr {
        let (kind, perm, rdev) = match stat.kind {
            NodeKind::Directory => (FileType::Directory, 0o755 & !self.dmask, 0),
            NodeKind::Symlink => (FileType::Symlink, 0o777, 0),
            NodeKind::File => (FileType::RegularFile, 0o644 & !self.fmask, 0),
            NodeKind::Fifo => (FileType::NamedPipe, 0o644 & !self.fmask, 0),
            NodeKind::Socket => (FileType::Socket, 0o644 & !self.fmask, 0),
            NodeKind::CharDevice(major, minor) => {
                (FileType::CharDevice, 0o644 & !self.fmask, rdev(major, minor))
            }
            NodeKind::BlockDevice(major, minor) => {
                (FileType::BlockDevice, 0o644 & !self.fmask, rdev(major, minor))
            }
        };
        FileAttr {
            ino: INodeNo(node.0),
            size: stat.size,
            blocks: stat.allocated.div_ceil(STAT_BLOCK),
            atime: time(stat.times.accessed),
            mtime: time(stat.times.modified),
            ctime: time(stat.times.changed),
            crtime: time(stat.times.created),
            kind,
            perm,
            nlink: stat.links.max(1),
            uid: self.uid,
            gid: self.gid,
            rdev,
            blksize: 4096,
            flags: 0,
        }
    }
}

impl Ownership {
    /// `attr` with the owner and permissions that the volume itself stores. The masks apply to these as well.
    pub(super) fn with_posix(&self, mut attr: FileAttr, posix: &Posix) -> FileAttr {
        /// Permission, set-id and sticky bits: a mode without its file type.
        const PERMISSIONS: u32 = 0o7777;
        attr.uid = posix.uid.unwrap_or(attr.uid);
        attr.gid = posix.gid.unwrap_or(attr.gid);
        if let Some(mode) = posix.mode.filter(|_| attr.kind != FileType::Symlink) {
            let mask = if attr.kind == FileType::Directory { self.dmask } else { self.fmask };
            attr.perm = u16::try_from(mode & PERMISSIONS).expect("twelve bits") & !mask;
        }
        attr
    }
}

/// The kernel's 32-bit encoding of a device number.
fn rdev(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | (major & 0xfff) << 8 | (minor & !0xff) << 12
}

/// The file type of a directory entry.
pub(super) fn file_type(kind: NodeKind) -> FileType {
    match kind {
        NodeKind::Directory => FileType::Directory,
        NodeKind::Symlink => FileType::Symlink,
        NodeKind::File => FileType::RegularFile,
        NodeKind::Fifo => FileType::NamedPipe,
        NodeKind::Socket => FileType::Socket,
        NodeKind::CharDevice(..) => FileType::CharDevice,
        NodeKind::BlockDevice(..) => FileType::BlockDevice,
    }
}

/// Converts a timestamp; one that the host cannot express becomes 1970.
fn time(stamp: Timestamp) -> SystemTime {
    let whole = Duration::from_secs(stamp.seconds.unsigned_abs());
    let base = if stamp.seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    let nanos = Duration::from_nanos(stamp.nanos.min(999_999_999).into());
    base.and_then(|base| base.checked_add(nanos)).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_count_their_nanoseconds_forward() {
        let before = time(Timestamp { seconds: -2, nanos: 250_000_000 });
        assert_eq!(UNIX_EPOCH.duration_since(before).unwrap(), Duration::from_millis(1750));
        assert_eq!(time(Timestamp { seconds: 3, nanos: 7 }), UNIX_EPOCH + Duration::new(3, 7));
    }

    #[test]
    fn absurd_times_do_not_panic() {
        for seconds in [i64::MIN, i64::MIN + 1, i64::MAX] {
            time(Timestamp { seconds, nanos: u32::MAX });
        }
    }

    #[test]
    fn device_numbers_are_encoded_as_the_kernel_does() {
        assert_eq!(rdev(8, 1), 0x801);
        assert_eq!(rdev(0x123, 0x45678), 0x4561_2378);
    }
}
