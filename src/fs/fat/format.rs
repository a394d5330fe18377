//! On-disk structures of FAT12, FAT16 and FAT32, field by field with Microsoft's names ("FAT: General Overview of On-Disk
//! Format", 1.03), without logic.

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U16, U32},
};

/// The part of the boot sector that all three formats share, and the bytes behind it.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct BootSector {
    pub(super) jmp_boot: [u8; 3],
    pub(super) oem_name: [u8; 8],
    pub(super) byts_per_sec: U16,
    pub(super) sec_per_clus: u8,
    pub(super) rsvd_sec_cnt: U16,
    pub(super) num_fats: u8,
    pub(super) root_ent_cnt: U16,
    pub(super) tot_sec_16: U16,
    pub(super) media: u8,
    pub(super) fat_sz_16: U16,
    pub(super) sec_per_trk: U16,
    pub(super) num_heads: U16,
    pub(super) hidd_sec: U32,
    pub(super) tot_sec_32: U32,
    /// FAT12/16: an [`ExtendedBoot`]. FAT32: a [`Fat32Fields`], then an [`ExtendedBoot`].
    pub(super) rest: [u8; 54],
}

/// The fields that only FAT32 has, at byte 36.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Fat32Fields {
    pub(super) fat_sz_32: U32,
    pub(super) ext_flags: U16,
    pub(super) fs_ver: U16,
    pub(super) root_clus: U32,
    pub(super) fs_info: U16,
    pub(super) bk_boot_sec: U16,
    pub(super) reserved: [u8; 12],
}

/// The extended boot record: at byte 36 of FAT12/16, at byte 64 of FAT32.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct ExtendedBoot {
    pub(super) drv_num: u8,
    /// The volume's state, as Windows stores it: bit 0 = dirty.
    pub(super) reserved1: u8,
    pub(super) boot_sig: u8,
    pub(super) vol_id: U32,
    pub(super) vol_lab: [u8; 11],
    pub(super) fil_sys_type: [u8; 8],
}

/// A directory slot for a file, a directory or the volume label.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct ShortEntry {
    pub(super) name: [u8; 11],
    pub(super) attr: u8,
    pub(super) nt_res: u8,
    pub(super) crt_time_tenth: u8,
    pub(super) crt_time: U16,
    pub(super) crt_date: U16,
    pub(super) lst_acc_date: U16,
    pub(super) fst_clus_hi: U16,
    pub(super) wrt_time: U16,
    pub(super) wrt_date: U16,
    pub(super) fst_clus_lo: U16,
    pub(super) file_size: U32,
}

/// A directory slot with 13 units of a long name.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct LongEntry {
    pub(super) ord: u8,
    pub(super) name1: [U16; 5],
    pub(super) attr: u8,
    pub(super) kind: u8,
    pub(super) chksum: u8,
    pub(super) name2: [U16; 6],
    pub(super) fst_clus_lo: U16,
    pub(super) name3: [U16; 2],
}

/// `ShortEntry::attr`.
pub(super) mod attr {
    pub(in super::super) const VOLUME_ID: u8 = 0x08;
    pub(in super::super) const DIRECTORY: u8 = 0x10;
    pub(in super::super) const LONG_NAME: u8 = 0x0f;
    /// Bits to compare when a slot is tested for being a part of a long name.
    pub(in super::super) const LONG_NAME_MASK: u8 = 0x3f;
    /// Read-only, hidden, system, directory, archive: the bits of `FILE_ATTRIBUTE_*`.
    pub(in super::super) const FILE_ATTRIBUTES: u8 = 0x37;
}

/// First byte of a directory slot.
pub(super) mod slot {
    pub(in super::super) const SIZE: u32 = 32;
    pub(in super::super) const END: u8 = 0x00;
    pub(in super::super) const DELETED: u8 = 0xe5;
    /// Stored for a first byte of 0xE5, which would mark the slot as deleted.
    pub(in super::super) const ESCAPED_E5: u8 = 0x05;
}
