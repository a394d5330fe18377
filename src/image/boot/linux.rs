//! Linux' loaders: GRUB with its configuration, shim, systemd-boot, SYSLINUX. Filesystems that are not read here leave the
//! way open.

use super::{
    Walk, Way, efi,
    files::{Files, Readable},
};
use crate::{
    boot::{
        entries::{self, Entry},
        grub::{self, Config},
    },
    pe::{Machine, Subsystem},
    printable::printable,
};

/// Where GRUB's configuration is on volumes that it was installed for.
const GRUB_FOLDERS: [&str; 4] = [r"\boot\grub", r"\boot\grub2", r"\grub", r"\grub2"];
/// Where SYSLINUX looks for its configuration.
const SYSLINUX_FILES: [&str; 7] = [
    r"\boot\syslinux\syslinux.cfg",
    r"\syslinux\syslinux.cfg",
    r"\syslinux.cfg",
    r"\boot\extlinux\extlinux.conf",
    r"\extlinux\extlinux.conf",
    r"\extlinux.conf",
    r"\boot\syslinux\extlinux.conf",
];
/// Most folders and entries that are looked at.
const MAX_LISTED: usize = 64;

/// From GRUB on. `beside`: its volume and folder, where it is an EFI program.
pub(super) fn from_grub(files: &Files<'_>, walk: &mut Walk, beside: Option<(Readable<'_>, &str)>) -> Way {
    let mut candidates: Vec<(Readable<'_>, String)> = Vec::new();
    if let Some((volume, folder)) = beside {
        candidates.push((volume, format!(r"{folder}\grub.cfg")));
        let vendors = volume.names(r"\EFI", true);
        candidates
            .extend(vendors.iter().take(MAX_LISTED).map(|name| (volume, format!(r"\EFI\{name}\grub.cfg"))));
    }
    for volume in files.volumes() {
        candidates.extend(GRUB_FOLDERS.iter().map(|folder| (volume, format!(r"{folder}\grub.cfg"))));
    }
    let mut configs = Vec::new();
    for (volume, path) in candidates {
        match volume.text(&path, grub::MAX_LEN) {
            Ok(Some(text)) => configs.push((volume, path, Config::parse(&text))),
            Ok(None) => {}
            Err(error) => {
                walk.note(format!("{}:{} cannot be read: {error}", volume.name(), printable(&path)))
            }
        }
    }
    let unread: Vec<_> = files.unread().map(|(volume, _)| volume.name.clone()).collect();
    let shown =
        |(volume, path, _): &(Readable<'_>, String, Config)| format!("{}:{}", volume.name(), printable(path));
    // The one with a menu; those on an ESP mostly go on with that in /boot.
    if let Some(found) = configs.iter().find(|(_, _, config)| !config.entries.is_empty()) {
        let (_, _, config) = found;
        walk.ok(format!("{}: {} menu entries", shown(found), config.entries.len()));
        return kernel(files, walk, config, &unread);
    }
    let Some(stub) = configs.first() else {
        return match unread.is_empty() {
            true => walk.stop("GRUB finds no grub.cfg: no volume has one, so it ends in its shell"),
            false => walk.unknown(format!(
                "GRUB's configuration is on no volume that is read here ({} may hold it)",
                unread.join(", ")
            )),
        };
    };
    let (_, _, config) = stub;
    walk.ok(format!("{}: no menu of its own", shown(stub)));
    if config.blscfg {
        return walk
            .unknown("its entries are in /loader/entries of a filesystem that is not followed from here");
    }
    let next =
        config.files.first().map_or_else(|| "another file".to_owned(), |file| printable(file).into_owned());
    let id =
        config.searched.first().map(|id| format!(" on the filesystem {}", printable(id))).unwrap_or_default();
    match unread.is_empty() {
        true => walk.stop(format!("it goes on with {next}{id}, and no volume here has it")),
        false => walk.unknown(format!(
            "it goes on with {next}{id}, which is on no volume that is read here ({} may hold it)",
            unread.join(", ")
        )),
    }
}

/// The first entry that starts something.
fn kernel(files: &Files<'_>, walk: &mut Walk, config: &Config, unread: &[String]) -> Way {
    let Some((entry, starts)) =
        config.entries.iter().find_map(|entry| Some((entry, entry.starts.as_deref()?)))
    else {
        return walk.unknown("no menu entry names a kernel");
    };
    let title = printable(&entry.title);
    if starts.contains('$') || starts.starts_with('+') {
        return walk.unknown(format!("\"{title}\" starts {}, which GRUB alone resolves", printable(starts)));
    }
    // `(hd0,gpt2)/vmlinuz`
    let path = starts.split_once(')').map_or(starts, |(_, path)| path);
    let found = files.volumes().find(|volume| matches!(volume.open(path), Ok(Some(_))));
    match found {
        Some(volume) => {
            walk.ok(format!("\"{title}\": {}:{} is there", volume.name(), printable(path)));
            Ok(())
        }
        None if unread.is_empty() => {
            walk.stop(format!("\"{title}\" starts {}, which no volume has", printable(path)))
        }
        None => walk.unknown(format!(
            "\"{title}\" starts {}, which is on no volume that is read here ({} may hold it)",
            printable(path),
            unread.join(", ")
        )),
    }
}

/// From shim on, which starts GRUB from its own folder.
pub(super) fn from_shim(
    files: &Files<'_>,
    walk: &mut Walk,
    esp: Readable<'_>,
    folder: &str,
    machine: Machine,
) -> Way {
    let suffix = machine.suffix().unwrap_or("x64");
    let grub = |folder: &str| format!(r"{folder}\grub{suffix}.efi");
    let exists = |path: &str| matches!(esp.find(path), Ok(Some(_)));
    if exists(&grub(folder)) {
        return program(files, walk, esp, &grub(folder), machine);
    }
    // As a fallback loader it starts `fbx64.efi`, which starts what the folders' lists name.
    let fallback = format!(r"{folder}\fb{suffix}.efi");
    if !exists(&fallback) {
        return walk.stop(format!("shim starts {}, which is not there", printable(&grub(folder))));
    }
    walk.ok(format!("{}:{} is there: it starts what is installed beside", esp.name(), printable(&fallback)));
    for vendor in esp.names(r"\EFI", true).iter().take(MAX_LISTED) {
        let own = format!(r"\EFI\{vendor}");
        let list = format!(r"{own}\BOOT{}.CSV", suffix.to_ascii_uppercase());
        let Ok(Some(bytes)) = esp.read(&list, entries::MAX_LEN) else { continue };
        let units: Vec<u16> = bytes.as_chunks().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
        let text = String::from_utf16_lossy(&units);
        let first = text.trim_start_matches('\u{feff}').split([',', '\r', '\n']).next().unwrap_or_default();
        let loader = format!(r"{own}\{first}");
        if exists(&loader) {
            walk.ok(format!("{}:{} names {}", esp.name(), printable(&list), printable(&loader)));
            if exists(&grub(&own)) {
                return program(files, walk, esp, &grub(&own), machine);
            }
        }
    }
    walk.stop(r"it finds no loader: no folder in \EFI has a list of one")
}

fn program(files: &Files<'_>, walk: &mut Walk, esp: Readable<'_>, path: &str, machine: Machine) -> Way {
    let program = efi::start(walk, &esp, path, machine, Some(Subsystem::EFI_APPLICATION))?;
    let folder = path.rsplit_once('\\').map_or("", |(folder, _)| folder);
    match program.kind {
        efi::Kind::SystemdBoot => from_systemd_boot(files, walk, esp, machine),
        _ => from_grub(files, walk, Some((esp, folder))),
    }
}

/// From systemd-boot on: its entries, or kernels that are EFI programs.
pub(super) fn from_systemd_boot(
    files: &Files<'_>,
    walk: &mut Walk,
    esp: Readable<'_>,
    machine: Machine,
) -> Way {
    let is_default = |name: &str, pattern: &str| {
        let (name, pattern) = (name.to_ascii_lowercase(), pattern.to_ascii_lowercase());
        match pattern.split_once('*') {
            Some((start, end)) => name.starts_with(start) && name.ends_with(end),
            None => name == pattern || name == format!("{pattern}.conf"),
        }
    };
    let config = esp.text(r"\loader\loader.conf", entries::MAX_LEN).ok().flatten().unwrap_or_default();
    let pattern = entries::default_pattern(&config).unwrap_or("*");
    // Entries may lie on a boot partition beside the ESP.
    let mut found = Vec::new();
    for volume in std::iter::once(esp).chain(files.volumes().filter(|volume| volume.name() != esp.name())) {
        let names = volume.names(r"\loader\entries", false);
        let names = names.into_iter().filter(|name| name.to_ascii_lowercase().ends_with(".conf"));
        found.extend(names.take(MAX_LISTED).map(|name| (volume, name)));
    }
    let chosen = found.iter().find(|(_, name)| is_default(name, pattern)).or_else(|| found.last());
    if let Some((volume, name)) = chosen {
        let path = format!(r"\loader\entries\{name}");
        let place = format!("{}:{}", volume.name(), printable(&path));
        let text = match volume.text(&path, entries::MAX_LEN) {
            Ok(text) => text.unwrap_or_default(),
            Err(error) => return walk.unknown(format!("{place} cannot be read: {error}")),
        };
        let entry = Entry::parse(&text);
        walk.ok(format!("{place}: \"{}\"", printable(&entry.title)));
        let Some(starts) = entry.starts() else {
            return walk.stop(format!("{place} names no kernel"));
        };
        for file in std::iter::once(starts).chain(entry.initrd.iter().map(|file| &**file)) {
            match volume.open(file) {
                Ok(Some(_)) => walk.ok(format!("{}:{} is there", volume.name(), printable(file))),
                Ok(None) => return walk.stop(format!("{}:{} is not there", volume.name(), printable(file))),
                Err(error) => {
                    return walk.unknown(format!(
                        "{}:{} cannot be read: {error}",
                        volume.name(),
                        printable(file)
                    ));
                }
            }
        }
        return Ok(());
    }
    let kernels = esp.names(r"\EFI\Linux", false);
    if let Some(name) = kernels.iter().find(|name| name.to_ascii_lowercase().ends_with(".efi")) {
        return efi::start(walk, &esp, &format!(r"\EFI\Linux\{name}"), machine, None).map(drop);
    }
    let unread: Vec<_> = files.unread().map(|(volume, _)| volume.name.clone()).collect();
    match unread.is_empty() {
        true => walk.stop(r"systemd-boot finds no entry: neither in \loader\entries nor in \EFI\Linux"),
        false => walk.unknown(format!(
            "systemd-boot finds no entry on volumes that are read here ({} may hold some)",
            unread.join(", ")
        )),
    }
}

/// From SYSLINUX on.
pub(super) fn syslinux(walk: &mut Walk, volume: Option<Readable<'_>>, name: &str) -> Way {
    let Some(volume) = volume else {
        return walk.unknown(format!("{name} cannot be read here, so SYSLINUX' configuration is not known"));
    };
    let found = SYSLINUX_FILES.iter().find(|path| matches!(volume.find(path), Ok(Some(_))));
    let Some(path) = found else {
        return walk.stop(format!("SYSLINUX finds no configuration on {name}: it waits at its prompt"));
    };
    let text = match volume.text(path, entries::MAX_LEN) {
        Ok(text) => text.unwrap_or_default(),
        Err(error) => return walk.unknown(format!("{name}:{path} cannot be read: {error}")),
    };
    walk.ok(format!("{name}:{path} is there"));
    let value = |line: &str| {
        let (key, value) = line.trim().split_once(char::is_whitespace)?;
        let kernel = ["kernel", "linux"].iter().any(|known| key.eq_ignore_ascii_case(known));
        kernel.then(|| value.trim().to_owned())
    };
    let Some(kernel) = text.lines().find_map(value) else {
        return walk.unknown(format!("{name}:{path} names no kernel"));
    };
    let folder = path.rsplit_once('\\').map_or("", |(folder, _)| folder);
    let relative = format!(r"{folder}\{kernel}");
    let there = [&*kernel, &*relative].iter().any(|path| matches!(volume.find(path), Ok(Some(_))));
    match there {
        true => {
            walk.ok(format!("{name}:{} is there", printable(&kernel)));
            Ok(())
        }
        false => walk.stop(format!("{name}:{} is not there", printable(&kernel))),
    }
}
