//! Names of partition types and attribute bits: GPT types by GUID, MBR types by byte.

use crate::{guid::Guid, identity::PartitionType};

/// EFI system partition, as a GPT type.
pub(super) const ESP: Guid = Guid::literal("c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
const BASIC_DATA: Guid = Guid::literal("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7");
const RESERVED: Guid = Guid::literal("e3c9e316-0b5c-4db8-817d-f92df00215ae");
const RECOVERY: Guid = Guid::literal("de94bba4-06d1-4d40-a16a-bfd50179d6ac");
const LDM_METADATA: Guid = Guid::literal("5808c8aa-7e8f-42e0-85d2-e1e90434cfb3");
const LDM_DATA: Guid = Guid::literal("af9b60a0-1431-4f62-bc68-3311714a69ad");
const STORAGE_SPACES: Guid = Guid::literal("e75caf8f-f680-4cee-afa3-b001e56efc2d");
const STORAGE_REPLICA: Guid = Guid::literal("558d43c5-a1ac-43c0-aac8-d1472b2923d1");
const CLUSTER_METADATA: Guid = Guid::literal("db97dba9-0840-4bae-97f0-ffb9a327c7e1");
const BIOS_BOOT: Guid = Guid::literal("21686148-6449-6e6f-744e-656564454649");
const CHROMEOS_KERNEL: Guid = Guid::literal("fe3a2a5d-4f32-41a7-b725-accc3285a309");

/// The name of a type, or its code if unknown.
pub(super) fn type_name(type_id: PartitionType) -> String {
    let name = match type_id {
        PartitionType::Gpt(guid) => gpt_type(guid),
        PartitionType::Mbr(byte) => mbr_type(byte),
    };
    name.map_or_else(|| type_id.to_string(), str::to_owned)
}

/// The name of a GPT type.
fn gpt_type(guid: Guid) -> Option<&'static str> {
    GPT_TYPES.iter().find(|(known, _)| *known == guid).map(|(_, name)| *name)
}

const GPT_TYPES: &[(Guid, &str)] = &[
    (ESP, "EFI system partition"),
    (RESERVED, "Microsoft reserved"),
    (BASIC_DATA, "Microsoft basic data"),
    (RECOVERY, "Windows recovery environment"),
    (LDM_METADATA, "LDM metadata"),
    (LDM_DATA, "LDM data"),
    (STORAGE_SPACES, "Storage Spaces"),
    (STORAGE_REPLICA, "Storage Replica"),
    (CLUSTER_METADATA, "Microsoft cluster metadata"),
    (BIOS_BOOT, "BIOS boot"),
    (Guid::literal("024dee41-33e7-11d3-9d69-0008c781f39f"), "MBR partition scheme"),
    (Guid::literal("d3bfe2de-3daf-11df-ba40-e3a556d89593"), "Intel Fast Flash"),
    (Guid::literal("f4019732-066e-4e12-8273-346c5641494f"), "Sony boot"),
    (Guid::literal("bfbfafe7-a34f-448a-9a5b-6213eb736c22"), "Lenovo boot"),
    (Guid::literal("9e1a2d38-c612-4316-aa26-8b49521e5a8b"), "PowerPC PReP boot"),
    (Guid::literal("37affc90-ef7d-4e96-91c3-2d7ae055b174"), "IBM General Parallel File System"),
    (Guid::literal("0fc63daf-8483-4772-8e79-3d69d8477de4"), "Linux filesystem"),
    (Guid::literal("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"), "Linux swap"),
    (Guid::literal("e6d6d379-f507-44c2-a23c-238f2a3df928"), "Linux LVM"),
    (Guid::literal("a19d880f-05fc-4d3b-a006-743f0f84911e"), "Linux RAID"),
    (Guid::literal("ca7d7ccb-63ed-4c53-861c-1742536059cc"), "Linux LUKS"),
    (Guid::literal("7ffec5c9-2d00-49b7-8941-3ea10a5586b7"), "Linux dm-crypt"),
    (Guid::literal("8da63339-0007-60c0-c436-083ac8230908"), "Linux reserved"),
    (Guid::literal("bc13c2ff-59e6-4262-a352-b275fd6f7172"), "Linux extended boot"),
    (Guid::literal("44479540-f297-41b2-9af7-d131d5f0458a"), "Linux root (x86)"),
    (Guid::literal("4f68bce3-e8cd-4db1-96e7-fbcaf984b709"), "Linux root (x86-64)"),
    (Guid::literal("69dad710-2ce4-4e3c-b16c-21a1d49abed3"), "Linux root (ARM)"),
    (Guid::literal("b921b045-1df0-41c3-af44-4c6f280d3fae"), "Linux root (ARM64)"),
    (Guid::literal("72ec70a6-cf74-40e6-bd49-4bda08e8f224"), "Linux root (RISC-V 64)"),
    (Guid::literal("77055800-792c-4f94-b39a-98c91b762bb6"), "Linux root (LoongArch 64)"),
    (Guid::literal("2c7357ed-ebd2-46d9-aec1-23d437ec2bf5"), "Linux root verity (x86-64)"),
    (Guid::literal("df3300ce-d69f-4c92-978c-9bfb0f38d820"), "Linux root verity (ARM64)"),
    (Guid::literal("8484680c-9521-48c6-9c11-b0720656f69e"), "Linux /usr (x86-64)"),
    (Guid::literal("b0e01050-ee5f-4390-949a-9101b17104e9"), "Linux /usr (ARM64)"),
    (Guid::literal("77ff5f63-e7b6-4633-acf4-1565b864c0e6"), "Linux /usr verity (x86-64)"),
    (Guid::literal("6e11a4e7-fbca-4ded-b9e9-e1a512bb664e"), "Linux /usr verity (ARM64)"),
    (Guid::literal("933ac7e1-2eb4-4f13-b844-0e14e2aef915"), "Linux home"),
    (Guid::literal("773f91ef-66d4-49b5-bd83-d683bf40ad16"), "Linux user home"),
    (Guid::literal("3b8f8425-20e0-4f3b-907f-1a25a76f98e8"), "Linux server data"),
    (Guid::literal("4d21b016-b534-45c2-a9fb-5c16e091fd2d"), "Linux variable data"),
    (Guid::literal("7ec6f557-3bc5-4aca-b293-16ef5df639d1"), "Linux temporary data"),
    (Guid::literal("48465300-0000-11aa-aa11-00306543ecac"), "Apple HFS+"),
    (Guid::literal("7c3457ef-0000-11aa-aa11-00306543ecac"), "Apple APFS"),
    (Guid::literal("53746f72-6167-11aa-aa11-00306543ecac"), "Apple Core Storage"),
    (Guid::literal("426f6f74-0000-11aa-aa11-00306543ecac"), "Apple boot"),
    (Guid::literal("52414944-0000-11aa-aa11-00306543ecac"), "Apple RAID"),
    (Guid::literal("55465300-0000-11aa-aa11-00306543ecac"), "Apple UFS"),
    (CHROMEOS_KERNEL, "ChromeOS kernel"),
    (Guid::literal("3cb8e202-3b7e-47dd-8a3c-7ff2a13cfcec"), "ChromeOS root"),
    (Guid::literal("cab6e88e-abf3-4102-a07a-d4bb9be3c1d3"), "ChromeOS firmware"),
    (Guid::literal("2e0a753d-9e48-43b0-8337-b15192cb1b5e"), "ChromeOS reserved"),
    (Guid::literal("516e7cb4-6ecf-11d6-8ff8-00022d09712b"), "FreeBSD data"),
    (Guid::literal("83bd6b9d-7f41-11dc-be0b-001560b84f0f"), "FreeBSD boot"),
    (Guid::literal("516e7cb5-6ecf-11d6-8ff8-00022d09712b"), "FreeBSD swap"),
    (Guid::literal("516e7cb6-6ecf-11d6-8ff8-00022d09712b"), "FreeBSD UFS"),
    (Guid::literal("516e7cba-6ecf-11d6-8ff8-00022d09712b"), "FreeBSD ZFS"),
    (Guid::literal("824cc7a0-36a8-11e3-890a-952519ad3f61"), "OpenBSD data"),
    (Guid::literal("49f48d32-b10e-11dc-b99b-0019d1879648"), "NetBSD swap"),
    (Guid::literal("49f48d5a-b10e-11dc-b99b-0019d1879648"), "NetBSD FFS"),
    (Guid::literal("6a82cb45-1dd2-11b2-99a6-080020736631"), "Solaris boot"),
    (Guid::literal("6a85cf4d-1dd2-11b2-99a6-080020736631"), "Solaris root"),
    (Guid::literal("6a87c46f-1dd2-11b2-99a6-080020736631"), "Solaris swap"),
    (Guid::literal("6a898cc3-1dd2-11b2-99a6-080020736631"), "ZFS"),
    (Guid::literal("aa31e02a-400f-11db-9590-000c2911d1b8"), "VMware VMFS"),
    (Guid::literal("9d275380-40ad-11db-bf97-000c2911d1b8"), "VMware core dump"),
    (Guid::literal("9198effc-31c0-11db-8f78-000c2911d1b8"), "VMware reserved"),
    (Guid::literal("4fbd7e29-9d25-41b8-afd0-062c0ceff05d"), "Ceph OSD"),
    (Guid::literal("42465331-3ba3-10f1-802a-4861696b7521"), "Haiku BFS"),
    (Guid::literal("cef5a9ad-73bc-4601-89f3-cdeeeee321a1"), "QNX6"),
    (Guid::literal("c91818f9-8025-47af-89d2-f030d7000c2c"), "Plan 9"),
];

/// The name of an MBR type.
fn mbr_type(byte: u8) -> Option<&'static str> {
    Some(match byte {
        0x01 => "FAT12",
        0x04 => "FAT16 below 32 MiB",
        0x05 => "extended",
        0x06 => "FAT16",
        0x07 => "NTFS, exFAT or HPFS",
        0x0b => "FAT32",
        0x0c => "FAT32 (LBA)",
        0x0e => "FAT16 (LBA)",
        0x0f => "extended (LBA)",
        0x11 => "hidden FAT12",
        0x12 => "diagnostics or recovery",
        0x14 => "hidden FAT16 below 32 MiB",
        0x16 => "hidden FAT16",
        0x17 => "hidden NTFS, exFAT or HPFS",
        0x1b => "hidden FAT32",
        0x1c => "hidden FAT32 (LBA)",
        0x1e => "hidden FAT16 (LBA)",
        0x27 => "Windows recovery environment",
        0x39 => "Plan 9",
        0x41 => "PowerPC PReP boot",
        0x42 => "LDM data",
        0x4d..=0x4f => "QNX4",
        0x63 => "GNU Hurd or System V",
        0x80 | 0x81 => "Minix",
        0x82 => "Linux swap or Solaris",
        0x83 => "Linux filesystem",
        0x84 => "hibernation",
        0x85 => "Linux extended",
        0x86 | 0x87 => "NTFS volume set",
        0x8e => "Linux LVM",
        0xa0 => "hibernation",
        0xa5 => "FreeBSD",
        0xa6 => "OpenBSD",
        0xa8 => "Apple UFS",
        0xa9 => "NetBSD",
        0xab => "Apple boot",
        0xaf => "Apple HFS+",
        0xbe => "Solaris boot",
        0xbf => "Solaris",
        0xda => "data without filesystem",
        0xde => "Dell utility",
        0xe7 => "Storage Spaces",
        0xeb => "BeOS BFS",
        0xee => "GPT protective",
        0xef => "EFI system partition",
        0xfb => "VMware VMFS",
        0xfc => "VMware core dump",
        0xfd => "Linux RAID",
        _ => return None,
    })
}

/// The name of each set bit. `type_id` selects between GPT and MBR, and the bits that GPT leaves to the type.
pub(super) fn attributes(type_id: Option<PartitionType>, bits: u64) -> Vec<&'static str> {
    let common: &[_] = &[(0, "required"), (1, "no block I/O"), (2, "legacy BIOS bootable")];
    let meanings = match type_id {
        Some(PartitionType::Mbr(_)) => vec![(0, "active")],
        Some(PartitionType::Gpt(guid)) => [common, of_gpt_type(guid)].concat(),
        None => Vec::new(),
    };
    meanings.into_iter().filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, name)| name).collect()
}

/// The attribute bits that a GPT type defines.
fn of_gpt_type(guid: Guid) -> &'static [(u32, &'static str)] {
    match guid {
        BASIC_DATA => &[(60, "read-only"), (61, "shadow copy"), (62, "hidden"), (63, "no drive letter")],
        RECOVERY => &[(60, "read-only"), (62, "hidden"), (63, "no drive letter")],
        CHROMEOS_KERNEL => &[(56, "successful boot")],
        _ if gpt_type(guid).is_some_and(|name| name.starts_with("Linux")) => {
            &[(59, "grows"), (60, "read-only"), (63, "no automatic mount")]
        }
        _ => &[],
    }
}

/// The content of partitions of this type, if it is no filesystem, or none that is readable by itself.
pub(super) fn hint(type_id: PartitionType) -> Option<&'static str> {
    use PartitionType::{Gpt, Mbr};
    Some(match type_id {
        Gpt(RESERVED) => "Windows keeps this space for its own use",
        Gpt(BIOS_BOOT) => "holds the second stage of a boot loader, never a filesystem",
        Gpt(LDM_METADATA) => "the database of a dynamic disk (Logical Disk Manager), no filesystem",
        Gpt(LDM_DATA) | Mbr(0x42) => {
            "volumes of a dynamic disk (Logical Disk Manager): spanned, striped or moved ones cannot be read"
        }
        Gpt(STORAGE_SPACES) | Mbr(0xe7) => {
            "part of a Storage Spaces pool: attach all disks of the pool to a Windows machine"
        }
        Gpt(STORAGE_REPLICA) => "the log of Storage Replica, no filesystem",
        Mbr(0xee) => "stands for a GUID partition table, which is damaged or missing",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_crate(kind: &gpt::partition_types::Type) -> Guid {
        Guid(kind.guid.to_bytes_le())
    }

    #[test]
    fn type_guids_agree_with_the_crate() {
        use std::str::FromStr;
        let mut known = 0;
        for (index, (guid, name)) in GPT_TYPES.iter().enumerate() {
            assert!(!GPT_TYPES[..index].iter().any(|(other, _)| other == guid), "{name} twice");
            let kind = gpt::partition_types::Type::from_str(&guid.to_string()).unwrap();
            known += usize::from(kind.os != gpt::partition_types::OperatingSystem::None);
        }
        assert!(known >= 40, "{known}");
        assert_eq!(gpt_type(of_crate(&gpt::partition_types::EFI)), Some("EFI system partition"));
        assert_eq!(gpt_type(of_crate(&gpt::partition_types::LINUX_LVM)), Some("Linux LVM"));
    }

    #[test]
    fn attribute_bits_depend_on_the_type() {
        assert_eq!(
            attributes(Some(PartitionType::Gpt(RECOVERY)), 1 << 63 | 1),
            ["required", "no drive letter"]
        );
        assert_eq!(
            attributes(Some(PartitionType::Gpt(BASIC_DATA)), 1 << 60 | 1 << 2),
            ["legacy BIOS bootable", "read-only"]
        );
        assert_eq!(attributes(Some(PartitionType::Gpt(ESP)), 1 << 63), [""; 0]);
        assert_eq!(attributes(Some(PartitionType::Mbr(7)), 1), ["active"]);
    }
}
