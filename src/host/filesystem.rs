//! Filesystems of the host by what capacity has to know of them. Their names, as the host writes them, are read here and
//! nowhere else.

use std::fmt;

/// A filesystem of the host: its name, and the family that decides what files on it can take.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostFs {
    name: String,
    family: Family,
}

/// Filesystems that are alike in their limits and in how exact their figures can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Family {
    /// FAT, whose directory entries limit a file's size.
    Fat,
    /// ext4, which may map a file by extents.
    Ext4,
    /// ext2 and ext3: pointer blocks.
    Ext,
    /// NTFS.
    Ntfs,
    /// ReFS.
    Refs,
    /// A cluster shared volume of Windows.
    ClusterShared,
    /// F2FS.
    F2fs,
    /// JFS.
    Jfs,
    /// XFS.
    Xfs,
    /// btrfs: copies on write, and has subvolumes that share their space.
    Btrfs,
    /// The others that copy on write.
    CopyOnWrite,
    /// An overlay over other filesystems.
    Overlay,
    /// Files in memory.
    Memory,
    /// On another machine; `transfer_blocks`: the block size that it reports is that of transfers, not of allocation.
    Network {
        /// See above.
        transfer_blocks: bool,
    },
    /// A volume of an image that this program has mounted.
    Ours,
    /// Any other, or not known.
    #[default]
    Other,
}

impl HostFs {
    /// What is to be known of it.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Its name as the host writes it (`ext4`); empty if unknown.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// By the name in Linux' mount table, or the one of Windows in lower case.
impl From<&str> for HostFs {
    fn from(name: &str) -> Self {
        let family = match name {
            "vfat" | "msdos" | "umsdos" | "fat" | "fat32" => Family::Fat,
            "ext4" => Family::Ext4,
            "ext2" | "ext3" => Family::Ext,
            "ntfs" | "ntfs3" | "fuseblk" => Family::Ntfs,
            "refs" => Family::Refs,
            "csvfs" => Family::ClusterShared,
            "f2fs" => Family::F2fs,
            "jfs" => Family::Jfs,
            "xfs" => Family::Xfs,
            "btrfs" => Family::Btrfs,
            "bcachefs" | "zfs" | "nilfs2" => Family::CopyOnWrite,
            "overlay" => Family::Overlay,
            "tmpfs" | "ramfs" => Family::Memory,
            "nfs" | "nfs4" | "cifs" | "smb3" | "9p" | "ceph" | "lustre" | "afs" => {
                Family::Network { transfer_blocks: true }
            }
            "virtiofs" | "glusterfs" | "fuse.glusterfs" | "fuse.sshfs" => {
                Family::Network { transfer_blocks: false }
            }
            "fuse.vhdmount" => Family::Ours,
            _ => Family::Other,
        };
        Self { name: name.to_owned(), family }
    }
}

impl fmt::Display for HostFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}
