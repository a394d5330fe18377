//! What filesystems allow and how exact their figures can be: the largest file, the pointer blocks that a file costs, and the reasons for which a figure is an estimate.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "some of it is for Linux alone"))]

use super::Family;

/// The largest file in bytes, where the filesystem limits it below what a disk image can need. `unit`: its block or
/// cluster size. `extents`: the file is mapped by extents (ext4), not by pointer blocks.
pub(super) fn largest_file(filesystem: Family, unit: u64, extents: bool) -> Option<u64> {
    match filesystem {
        // The directory entry has 32 bits for the size.
        Family::Fat => Some(u64::from(u32::MAX)),
        // Extents number a file's blocks with 32 bits, and the last number is taken.
        Family::Ext4 if extents => Some(unit.saturating_mul(u64::from(u32::MAX))),
        Family::Ext | Family::Ext4 => Some(largest_by_pointers(unit, 12, 3, true)),
        // Cluster numbers of a file have 32 bits in what Windows and the drivers for Linux write.
        Family::Ntfs => Some(unit.saturating_mul(u64::from(u32::MAX))),
        Family::F2fs => Some(largest_of_f2fs()),
        Family::Jfs => Some(4 << 50),
        // XFS, btrfs, ZFS, bcachefs, exFAT: 8 EiB and more, beyond every disk image. Networks: what is there decides.
        _ => None,
    }
}

/// `direct` pointers in the inode, then trees of up to `levels` levels with `unit / 4` pointers in each block. The
/// inode counts what it occupies in sectors of 512 bytes with 32 bits, pointer blocks included.
fn largest_by_pointers(unit: u64, direct: u64, levels: u32, counted_in_sectors: bool) -> u64 {
    let pointers = unit / 4;
    let mapped = (1..=levels).fold(direct, |sum, level| sum.saturating_add(pointers.saturating_pow(level)));
    let trees = 1 + (1 + pointers) + (1 + pointers.saturating_mul(pointers.saturating_add(1)));
    let counted = (u64::from(u32::MAX) / (unit / 512).max(1)).saturating_sub(trees);
    let blocks = if counted_in_sectors { mapped.min(counted) } else { mapped };
    blocks.saturating_mul(unit)
}

/// 923 addresses in the inode, two direct nodes, two indirect ones and a double one, of 1018 addresses each.
fn largest_of_f2fs() -> u64 {
    const NODE: u64 = 1018;
    (923 + 2 * NODE + 2 * NODE * NODE + NODE * NODE * NODE) * 4096
}

/// What of `free` bytes is left for data when pointer blocks are taken from it as well: one block for each `pointers`
/// data blocks, and one above for each `pointers` of those.
pub(crate) fn net_of_pointer_blocks(free: u64, unit: u64, pointers: u64) -> u64 {
    if pointers < 2 || unit == 0 {
        return free;
    }
    let blocks = free / unit;
    let first = blocks.div_ceil(pointers + 1);
    let second = first.div_ceil(pointers);
    let third = second.div_ceil(pointers);
    blocks.saturating_sub(first + second + third).saturating_mul(unit)
}

/// Why no figure can be exact on this filesystem; `None` where it can.
pub(super) fn estimate(filesystem: Family) -> Option<&'static str> {
    match filesystem {
        Family::Btrfs | Family::CopyOnWrite => Some(
            "the host copies on write and may compress: an overwrite takes new space before the old is given back, \
             snapshots keep the old, and the free space that it reports is an estimate of its own",
        ),
        Family::Overlay => Some(
            "an overlay: an image that lies in a lower layer is copied as a whole, at its first change, to the volume \
             whose free space this is",
        ),
        Family::Memory => Some("the host keeps files in memory, which other programs may use up first"),
        Family::Network { .. } => Some(
            "a network or shared filesystem: the free space is what the other side reports, and its quotas, \
             compression and sparse files do not show here",
        ),
        Family::F2fs => Some("the host writes new places for old data and needs spare room for cleaning up"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::HostFs, *};

    const TIB: u64 = 1 << 40;

    #[test]
    fn largest_files_are_those_of_the_formats() {
        assert_eq!(largest_file(HostFs::from("vfat").family(), 4096, true), Some((4 << 30) - 1));
        assert_eq!(largest_file(HostFs::from("ext4").family(), 4096, true), Some(16 * TIB - 4096));
        assert_eq!(largest_file(HostFs::from("ext4").family(), 1024, true), Some(4 * TIB - 1024));
        // 12 + 256 + 256² + 256³ blocks of 1 KiB.
        assert_eq!(largest_file(HostFs::from("ext3").family(), 1024, false), Some(17_247_252_480));
        let ext3 = largest_file(HostFs::from("ext3").family(), 4096, false).unwrap();
        assert!(2 * TIB - (5 << 30) < ext3 && ext3 < 2 * TIB, "{ext3}");
        assert_eq!(largest_file(HostFs::from("ntfs3").family(), 4096, true), Some(16 * TIB - 4096));
        assert_eq!(largest_file(HostFs::from("ntfs3").family(), 65536, true), Some(256 * TIB - 65536));
        for none in ["xfs", "btrfs", "exfat", "zfs", "fuse.vhdmount", ""] {
            assert_eq!(largest_file(HostFs::from(none).family(), 4096, true), None, "{none}");
        }
    }

    #[test]
    fn pointer_blocks_are_taken_from_what_is_free() {
        // 1024 data blocks and the block that points to them.
        assert_eq!(net_of_pointer_blocks(1027 * 4096, 4096, 1024), 1023 * 4096);
        assert_eq!(net_of_pointer_blocks(0, 4096, 1024), 0);
        assert_eq!(net_of_pointer_blocks(4096, 4096, 1024), 0);
        let large = net_of_pointer_blocks(1 << 40, 4096, 1024);
        assert!((1 << 40) - large < (1 << 40) / 1023);
        assert_eq!(net_of_pointer_blocks(u64::MAX, 4096, 1), u64::MAX);
    }
}
