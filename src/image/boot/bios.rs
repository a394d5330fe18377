//! A BIOS, as virtual machines of generation 1 have one: the first sector, the active partition, its boot sector.

use super::{
    Walk, Way,
    files::{Files, Readable},
    linux,
    windows::{self, Starter},
};
use crate::{
    boot::sector::{self, Code},
    bytes::{ByteSource, read_vec},
    fs::FsKind,
    identity::PartitionType,
    partition::{Partition, Scheme},
};

/// Sectors that a BIOS reads.
const SECTOR: u32 = 512;
/// Bytes at the beginning of a volume that hold its boot code: sixteen sectors of NTFS, of FAT32 three and a copy.
const BOOT_AREA: usize = 8 << 10;
/// The type of a partition for GRUB's core image on a GPT.
const BIOS_BOOT: &str = "21686148-6449-6e6f-744e-656564454649";
/// GPT: the attribute that marks the partition for a BIOS.
const LEGACY_BIOS_BOOTABLE: u64 = 1 << 2;

pub(super) fn walk(files: &Files<'_>, walk: &mut Walk) -> Way {
    let image = files.image;
    if image.container().logical_sector_size().is_some_and(|size| size != SECTOR) {
        return walk.stop("the disk has sectors of 4096 bytes (4Kn): a BIOS boots from sectors of 512 alone");
    }
    let disk = &**image.bytes();
    let first = match read_vec(disk, 0, sector::LEN) {
        Ok(first) => first,
        Err(error) if disk.size() >= 512 => {
            return walk.unknown(format!("the first sector cannot be read: {error}"));
        }
        Err(_) => return walk.stop("the disk is shorter than a sector"),
    };
    if !sector::is_signed(&first) {
        return walk.stop("the first sector does not end in 55 AA: a BIOS does not start it");
    }
    if image.table().scheme == Scheme::None {
        return whole_disk(files, walk);
    }
    let code = sector::of_disk(&first);
    match code {
        Code::Empty if image.table().scheme == Scheme::Gpt => {
            walk.stop("the disk has a GPT and no code for a BIOS in its first sector: it is made for UEFI (generation 2)")
        }
        Code::Empty => walk.stop("the master boot record has no boot code: nothing starts the active partition"),
        Code::WindowsMbr | Code::ActivePartition => {
            walk.ok(format!("master boot record: {}", code.name()));
            active(files, walk)
        }
        Code::SyslinuxGpt => {
            walk.ok("first sector: SYSLINUX's code for a GPT");
            let marked = |partition: &&Partition| partition.attributes & LEGACY_BIOS_BOOTABLE != 0;
            match image.table().partitions.iter().find(marked) {
                Some(partition) => volume(files, walk, partition),
                None => walk.stop("no partition is marked for a BIOS (attribute 2, legacy BIOS bootable)"),
            }
        }
        Code::Grub2 => grub(files, walk, disk, &first),
        Code::GrubLegacy | Code::Lilo | Code::Unknown => {
            walk.ok(format!("first sector: {}", code.name()));
            walk.unknown(format!("{}: what it looks for is not known", code.name()))
        }
        Code::Bootmgr | Code::Ntldr | Code::Syslinux | Code::NotBootable => {
            walk.unknown("the first sector has a volume's boot code in front of a partition table")
        }
    }
}

/// The code runs the boot sector of the one active partition.
fn active(files: &Files<'_>, walk: &mut Walk) -> Way {
    let table = files.image.table();
    if table.scheme == Scheme::Gpt {
        return walk.stop(
            "the disk has a GPT: this code starts active partitions of an MBR, so Windows on it starts with UEFI \
             (generation 2) alone",
        );
    }
    // Only those of the first sector count.
    let primary = table.partitions.iter().filter(|partition| partition.number <= 4);
    let mut active = primary.filter(|partition| partition.attributes & 1 != 0);
    match (active.next(), active.next()) {
        (Some(first), None) => volume(files, walk, first),
        (None, _) => walk.stop("no partition is active: the boot code says \"Missing operating system\""),
        (Some(first), Some(second)) => walk.stop(format!(
            "p{} and p{} are both active: the boot code says \"Invalid partition table\"",
            first.number, second.number
        )),
    }
}

fn whole_disk(files: &Files<'_>, walk: &mut Walk) -> Way {
    walk.note("the disk has no partition table: its first sector is that of a volume");
    match files.image.table().partitions.first() {
        Some(whole) => volume(files, walk, whole),
        None => walk.stop("the disk is empty"),
    }
}

/// The boot sector of a partition, and what it looks for.
fn volume(files: &Files<'_>, walk: &mut Walk, partition: &Partition) -> Way {
    let name = format!("p{}", partition.number);
    let window = partition.window(files.image.bytes());
    let len = usize::try_from(window.size()).unwrap_or(BOOT_AREA).min(BOOT_AREA);
    let area = match read_vec(&window, 0, len) {
        Ok(area) => area,
        Err(error) => return walk.unknown(format!("the boot sector of {name} cannot be read: {error}")),
    };
    if !sector::is_signed(&area) {
        return walk.stop(format!("the boot sector of the active partition {name} does not end in 55 AA"));
    }
    let code = sector::of_volume(&area);
    let readable = files.of_partition(partition);
    match code {
        Code::Empty => walk.stop(format!("the active partition {name} has no boot code (bootsect /nt60 writes it)")),
        Code::NotBootable => walk.stop(format!(
            "the active partition {name} has the boot code of mkfs.fat, which says that the disk is not bootable"
        )),
        Code::Bootmgr => {
            walk.ok(format!("active partition {name}: {}", code.name()));
            hidden_sectors(walk, &area, partition)?;
            match readable {
                Some(readable) => bootmgr(files, walk, readable),
                None => walk.unknown(format!("{name} cannot be read here, so what is on it is not known")),
            }
        }
        Code::Ntldr => {
            walk.ok(format!("active partition {name}: {}", code.name()));
            let Some(readable) = readable else {
                return walk.unknown(format!("{name} cannot be read here, so what is on it is not known"));
            };
            for file in [r"\ntldr", r"\NTDETECT.COM", r"\boot.ini"] {
                match readable.find(file) {
                    Ok(Some(_)) => walk.ok(format!("{name}:{file} is there")),
                    Ok(None) => return walk.stop(format!("{name}:{file} is not there")),
                    Err(error) => return walk.unknown(format!("{name}:{file} cannot be looked for: {error}")),
                }
            }
            walk.unknown("boot.ini names its Windows by the numbers of disks and partitions of the machine")
        }
        Code::Syslinux => {
            walk.ok(format!("active partition {name}: {}", code.name()));
            linux::syslinux(walk, readable, &name)
        }
        Code::Grub2 => {
            walk.ok(format!("active partition {name}: {}", code.name()));
            linux::from_grub(files, walk, None)
        }
        _ => {
            walk.ok(format!("active partition {name}: {}", code.name()));
            walk.unknown(format!("{} in {name}: what it looks for is not known", code.name()))
        }
    }
}

/// The code reads from where the volume says that it begins.
fn hidden_sectors(walk: &mut Walk, area: &[u8], partition: &Partition) -> Way {
    let stated =
        area.get(28..32).and_then(|bytes| bytes.first_chunk()).map(|bytes| u32::from_le_bytes(*bytes));
    match stated {
        Some(stated) if u64::from(stated) * u64::from(SECTOR) != partition.start => walk.stop(format!(
            "the boot sector of p{} says that the volume begins at sector {stated}, the partition at {}: its code reads \
             the wrong sectors (moved or copied without correcting it)",
            partition.number,
            partition.start / u64::from(SECTOR)
        )),
        _ => Ok(()),
    }
}

fn bootmgr(files: &Files<'_>, walk: &mut Walk, volume: Readable<'_>) -> Way {
    let name = volume.name();
    match volume.open(r"\bootmgr") {
        Ok(Some(source)) if source.size() > 0 => walk.ok(format!(r"{name}:\bootmgr is there")),
        Ok(_) => {
            return walk
                .stop(format!(r#"{name}:\bootmgr is not there: the boot code says "BOOTMGR is missing""#));
        }
        Err(error) => return walk.unknown(format!(r"{name}:\bootmgr cannot be read: {error}")),
    }
    if volume.fs.volume().filesystem == FsKind::Ntfs && is_compressed(volume) {
        return walk
            .stop(format!(r#"{name}:\bootmgr is compressed: the boot code says "BOOTMGR is compressed""#));
    }
    windows::from_store(files, walk, volume, r"\Boot\BCD", Starter::Bios)
}

fn is_compressed(volume: Readable<'_>) -> bool {
    const COMPRESSED: u32 = 0x800;
    let node = volume.find(r"\bootmgr").ok().flatten();
    let stat = node.and_then(|node| volume.fs.stat(node).ok());
    stat.is_some_and(|stat| stat.attributes & COMPRESSED != 0)
}

/// GRUB's first sector loads the next ones from a fixed place.
fn grub(files: &Files<'_>, walk: &mut Walk, disk: &dyn ByteSource, first: &[u8]) -> Way {
    let Some(number) = sector::kernel_sector(first) else {
        return walk.unknown("GRUB's boot sector does not say what it loads");
    };
    let core = read_vec(disk, number.saturating_mul(u64::from(SECTOR)), sector::LEN);
    match core {
        Ok(core) if core.iter().all(|byte| *byte == 0) => {
            return walk
                .stop(format!("GRUB's core image is not at sector {number}: nothing but zeros there"));
        }
        Ok(_) => walk.ok(format!("first sector: GRUB, which loads its core image from sector {number}")),
        Err(error) => {
            return walk.stop(format!("GRUB's core image at sector {number} cannot be read: {error}"));
        }
    }
    let table = files.image.table();
    if table.scheme == Scheme::Gpt {
        let start = number * u64::from(SECTOR);
        let holds = |partition: &&Partition| {
            let id = match partition.type_id {
                Some(PartitionType::Gpt(id)) => id.to_string(),
                _ => String::new(),
            };
            id == BIOS_BOOT
                && (partition.start..partition.start.saturating_add(partition.size)).contains(&start)
        };
        match table.partitions.iter().find(holds) {
            Some(partition) => walk.ok(format!("p{}: a BIOS boot partition with it", partition.number)),
            None => {
                walk.note("the core image lies in no BIOS boot partition: other programs may overwrite it")
            }
        }
    }
    linux::from_grub(files, walk, None)
}
