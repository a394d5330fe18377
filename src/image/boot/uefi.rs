//! UEFI, as virtual machines of generation 2 have it. Firmware that has no entry of its own for the disk, as that of a new
//! virtual machine, starts `\EFI\BOOT\BOOT….EFI`: what it remembers of others is not on the disk.

use super::{
    Attempt, Firmware, Walk, Way, efi,
    files::{Files, Readable},
    linux,
    windows::{self, Starter},
};
use crate::{
    container::Format,
    fs::FsKind,
    partition::Scheme,
    pe::{Machine, Subsystem},
    printable::printable,
};

/// Firmware of these machines is looked at, if the disk has a loader for it; of the first one always.
const MACHINES: [Machine; 6] =
    [Machine::X64, Machine::ARM64, Machine::I386, Machine::ARM, Machine::RISCV64, Machine::LOONGARCH64];
/// Where Windows' boot manager is installed.
const WINDOWS: &str = r"\EFI\Microsoft\Boot\bootmgfw.efi";
/// Most folders that are looked at.
const MAX_VENDORS: usize = 64;

/// One attempt for each machine that the disk has a loader for.
pub(super) fn attempts(files: &Files<'_>) -> Vec<Attempt> {
    let candidates = candidates(files);
    let exists = |machine: &Machine| {
        let path = fallback(*machine);
        candidates.iter().any(|volume| matches!(volume.find(&path), Ok(Some(_))))
    };
    let mut machines: Vec<Machine> = MACHINES.into_iter().filter(exists).collect();
    if machines.is_empty() {
        // What is installed says what for.
        let installed = candidates.iter().find_map(|volume| efi::read(volume, WINDOWS).ok());
        machines.push(installed.map_or(Machine::X64, |program| program.executable.machine));
    }
    let attempt = |machine: Machine| {
        let mut walk = Walk::default();
        let way = way(files, &mut walk, &candidates, machine);
        walk.finish(Firmware::Uefi, Some(machine), way)
    };
    machines.into_iter().map(attempt).collect()
}

/// The path of the fallback loader.
fn fallback(machine: Machine) -> String {
    format!(r"\EFI\BOOT\BOOT{}.EFI", machine.suffix().unwrap_or("x64").to_ascii_uppercase())
}

/// Volumes that firmware reads, system partitions first.
fn candidates<'a>(files: &Files<'a>) -> Vec<Readable<'a>> {
    let is_fat = |volume: &Readable<'_>| {
        matches!(volume.fs.volume().filesystem, FsKind::Fat12 | FsKind::Fat16 | FsKind::Fat32)
    };
    let mut found: Vec<_> = files.volumes().filter(is_fat).collect();
    found.sort_by_key(|volume| !is_esp(files, volume));
    found
}

fn is_esp(files: &Files<'_>, volume: &Readable<'_>) -> bool {
    let partitions = &files.image.table().partitions;
    partitions.iter().any(|partition| partition.esp && format!("p{}", partition.number) == volume.name())
}

fn way(files: &Files<'_>, walk: &mut Walk, candidates: &[Readable<'_>], machine: Machine) -> Way {
    let image = files.image;
    let format = image.container().infos().next().map(|info| info.format);
    if format == Some(Format::Vhd) {
        walk.note(
            "the image is a VHD, which Hyper-V attaches to generation 1 alone; other hypervisors do not mind",
        );
    }
    let table = image.table();
    let esps: Vec<_> = table.partitions.iter().filter(|partition| partition.esp).collect();
    match (&*esps, table.scheme) {
        ([], Scheme::Mbr) if candidates.is_empty() => {
            return walk.stop(match format {
                Some(Format::Vhdx) => {
                    "the disk has an MBR and no EFI system partition: a disk of generation 1 stays one as VHDX (mbr2gpt \
                     converts it)"
                }
                _ => "the disk has an MBR and no EFI system partition: it is made for a BIOS (mbr2gpt converts it)",
            });
        }
        ([], _) if candidates.is_empty() => {
            return walk
                .stop("the disk has no EFI system partition, and no FAT volume that firmware could read");
        }
        ([], _) => {
            walk.note("no partition is marked as EFI system partition: some firmware looks at those alone")
        }
        (esps, _) => {
            for esp in esps {
                let name = format!("p{}", esp.number);
                match files.of_partition(esp) {
                    Some(volume) if candidates.iter().any(|found| found.name() == volume.name()) => {
                        walk.ok(format!("{name}: EFI system partition, {}", volume.fs.volume().filesystem));
                    }
                    Some(volume) => walk.note(format!(
                        "{name}: EFI system partition with {}, which firmware does not read",
                        volume.fs.volume().filesystem
                    )),
                    None => walk
                        .note(format!("{name}: EFI system partition without a filesystem that can be read")),
                }
            }
        }
    }
    if candidates.is_empty() {
        return walk.stop(
            "the EFI system partition has no FAT filesystem that can be read: firmware finds no loader",
        );
    }
    let path = fallback(machine);
    for volume in candidates {
        match volume.find(&path) {
            Ok(Some(_)) => return loader(files, walk, *volume, &path, machine),
            Ok(None) => {}
            Err(error) => walk.note(format!("{}: {} cannot be looked for: {error}", volume.name(), path)),
        }
    }
    no_fallback(walk, candidates, &path)
}

/// What is installed, but starts only where firmware remembers it.
fn no_fallback(walk: &mut Walk, candidates: &[Readable<'_>], path: &str) -> Way {
    let mut installed = Vec::new();
    for volume in candidates {
        for vendor in volume.names(r"\EFI", true).iter().take(MAX_VENDORS) {
            let folder = match vendor.eq_ignore_ascii_case("Microsoft") {
                true => format!(r"\EFI\{vendor}\Boot"),
                false => format!(r"\EFI\{vendor}"),
            };
            let names = volume.names(&folder, false);
            let loaders = names.iter().filter(|name| {
                let name = name.to_ascii_lowercase();
                ["shim", "grub", "systemd-boot", "bootmgfw", "refind"]
                    .iter()
                    .any(|known| name.starts_with(known))
                    && name.ends_with(".efi")
            });
            installed.extend(loaders.map(|name| format!(r"{}:{folder}\{name}", volume.name())));
        }
    }
    match installed.first() {
        Some(first) => walk.stop(format!(
            "there is no fallback loader {path}: a new virtual machine finds nothing to start; {} is there, which only \
             firmware with an entry for it starts (a copy of it as {path} is found by all)",
            printable(first)
        )),
        None => walk.stop(format!("there is no loader: no {path} on {}", names(candidates))),
    }
}

fn names(volumes: &[Readable<'_>]) -> String {
    volumes.iter().map(Readable::name).collect::<Vec<_>>().join(", ")
}

/// The fallback loader, and what it goes on with.
fn loader(files: &Files<'_>, walk: &mut Walk, esp: Readable<'_>, path: &str, machine: Machine) -> Way {
    let program = efi::start(walk, &esp, path, machine, Some(Subsystem::EFI_APPLICATION))?;
    let folder = path.rsplit_once('\\').map_or("", |(folder, _)| folder);
    match program.kind {
        efi::Kind::WindowsBootManager => {
            windows::from_store(files, walk, esp, r"\EFI\Microsoft\Boot\BCD", Starter::Uefi(machine))
        }
        efi::Kind::Shim => linux::from_shim(files, walk, esp, folder, machine),
        efi::Kind::Grub => linux::from_grub(files, walk, Some((esp, folder))),
        efi::Kind::SystemdBoot => linux::from_systemd_boot(files, walk, esp, machine),
        efi::Kind::UnifiedKernel => Ok(()),
        efi::Kind::Unknown => {
            walk.note("firmware starts it; what it goes on with is not known");
            Ok(())
        }
    }
}
