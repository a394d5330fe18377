//! From Windows' boot manager on: its store, the entry that it starts by itself, the loader, the Windows folder; and Windows
//! in a virtual disk that is a file of a volume (native boot).

use super::{
    Attempt, End, Firmware, Verdict, Walk, Way, efi,
    files::{Files, Readable},
    places::Place,
};
use crate::{
    Error,
    bcd::{Application, Device, Object, Raw, Store, Style, Value, elements},
    capacity::NativeBoot,
    container,
    container::{Format, Kind},
    host::Expansion,
    image::{Image, OpenOptions},
    pe::{Executable, Machine},
    printable::printable,
    size::human,
};

/// Longest store that is read.
const MAX_STORE: usize = 32 << 20;
/// Longest loader that is read.
const MAX_LOADER: usize = 64 << 20;
/// Windows' folders, where nothing names one.
const FOLDERS: [&str; 2] = [r"\Windows", r"\WINNT"];

/// What starts the loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Starter {
    Bios,
    Uefi(Machine),
}

impl Starter {
    fn loader(self) -> &'static str {
        match self {
            Self::Bios => r"\Windows\system32\winload.exe",
            Self::Uefi(_) => r"\Windows\system32\winload.efi",
        }
    }
}

/// Goes on from the boot manager on `boot`, whose store is at `path`.
pub(super) fn from_store(
    files: &Files<'_>,
    walk: &mut Walk,
    boot: Readable<'_>,
    path: &str,
    starter: Starter,
) -> Way {
    let place = format!("{}:{path}", boot.name());
    let source = match boot.open(path) {
        Ok(Some(source)) if source.size() <= MAX_STORE as u64 => source,
        Ok(Some(source)) => {
            return walk.unknown(format!("{place} has {} bytes: no store is so long", source.size()));
        }
        Ok(None) => {
            return walk.stop(format!(
                "{place} is not there: the boot manager has no entries (bcdboot writes them)"
            ));
        }
        Err(error) => return walk.unknown(format!("{place} cannot be read: {error}")),
    };
    let store = match Store::open_with_logs(source, &boot.logs(path)) {
        Ok(store) => store,
        Err(error @ Error::Corrupt(_)) => return walk.stop(format!("{place} is damaged: {error}")),
        Err(error) => return walk.unknown(format!("{place}: {error}")),
    };
    if store.dirty {
        walk.note(format!("{place} was not written completely, and no log beside it completes it"));
    }
    store.problems.iter().for_each(|problem| walk.note(format!("{place}: {}", printable(problem))));
    let entry = default_entry(walk, &store, &place)?;
    entry_starts(files, walk, boot, &store, entry, starter)
}

/// The object that the boot manager starts when nobody chooses.
fn default_entry<'a>(walk: &mut Walk, store: &'a Store, place: &str) -> Result<&'a Object, End> {
    let Some(manager) = store.boot_manager() else {
        return walk.stop(format!("{place} has no boot manager object"));
    };
    let first = |id| match manager.get(id) {
        Some(Value::Objects(list)) => list.first().copied(),
        _ => None,
    };
    let once = first(elements::BOOT_SEQUENCE);
    if once.is_some() {
        walk.note("the next boot starts another entry, once (bootsequence)");
    }
    let Some(id) = once.or_else(|| store.default()).or_else(|| first(elements::DISPLAY_ORDER)) else {
        return walk.stop(format!("{place} names no entry to start"));
    };
    let style = Style { full: false, locations: &Raw };
    match store.object(id) {
        Some(entry) => {
            let name = entry.string(elements::DESCRIPTION).unwrap_or("no description");
            walk.ok(format!("{place}: starts {} \"{}\"", style.id(store, id), printable(name)));
            Ok(entry)
        }
        None => walk.stop(format!("{place} starts the entry {{{id}}}, which it does not have")),
    }
}

/// Follows an entry to its loader and its Windows.
pub(super) fn entry_starts(
    files: &Files<'_>,
    walk: &mut Walk,
    boot: Readable<'_>,
    store: &Store,
    entry: &Object,
    starter: Starter,
) -> Way {
    match entry.kind.application() {
        Application::OsLoader | Application::BootApplication => {}
        Application::Resume => {
            return walk
                .unknown("the entry resumes a hibernated Windows: whether its file fits is not known");
        }
        _ => return walk.unknown(format!("the entry starts no Windows of today: {}", entry.heading())),
    }
    let path = match store.get(entry, elements::PATH) {
        Some(Value::String(path)) => path.clone(),
        _ => starter.loader().to_owned(),
    };
    let wrong = match starter {
        Starter::Bios => {
            path.to_ascii_lowercase().ends_with(".efi").then_some("the entry is for UEFI, not for a BIOS")
        }
        Starter::Uefi(_) => {
            path.to_ascii_lowercase().ends_with(".exe").then_some("the entry is for a BIOS, not for UEFI")
        }
    };
    if let Some(wrong) = wrong {
        return walk.stop(format!("{wrong}: it starts {} (bcdboot writes one that fits)", printable(&path)));
    }
    let device = |id| match store.get(entry, id) {
        Some(Value::Device(device)) => Some(device),
        _ => None,
    };
    let Some(of_loader) = device(elements::DEVICE) else {
        return walk.stop("the entry names no device");
    };
    let root = match store.get(entry, elements::SYSTEM_ROOT) {
        Some(Value::String(root)) => root.clone(),
        _ => FOLDERS[0].to_owned(),
    };
    let target = Target { path: &path, root: &root, starter };
    match files.place(of_loader, Some(boot)) {
        Place::File { volume, path, in_memory: true } => match volume.open(&path) {
            Ok(Some(_)) => {
                walk.ok(format!("{}:{} is loaded into memory", volume.name(), printable(&path)));
                walk.unknown("what the image in memory holds is not looked at (a WIM file)")
            }
            Ok(None) => walk.stop(format!("{}:{} is not there", volume.name(), printable(&path))),
            Err(error) => {
                walk.unknown(format!("{}:{} cannot be read: {error}", volume.name(), printable(&path)))
            }
        },
        Place::File { volume, path, .. } => inner(files, walk, volume, &path, of_loader, &target),
        place => {
            let volume = volume(files, walk, place, &path)?;
            loader(walk, volume, &target)?;
            let of_windows = device(elements::OS_DEVICE);
            let place = of_windows.map(|device| files.place(device, Some(boot)));
            match place {
                None => windows(walk, volume, &target),
                Some(place) => {
                    let volume = self::volume(files, walk, place, &format!(r"{root}\System32"))?;
                    windows(walk, volume, &target)
                }
            }
        }
    }
}

/// What an entry starts.
struct Target<'a> {
    path: &'a str,
    root: &'a str,
    starter: Starter,
}

/// The volume of a place. `path`: what is looked for where the place is anywhere.
fn volume<'a>(files: &Files<'a>, walk: &mut Walk, place: Place<'a>, path: &str) -> Result<Readable<'a>, End> {
    match place {
        Place::Here(volume) => Ok(volume),
        Place::Anywhere | Place::Boot => {
            let found = files.volumes().find(|volume| matches!(volume.find(path), Ok(Some(_))));
            match found {
                Some(volume) => Ok(volume),
                None if files.unread().next().is_some() => {
                    walk.unknown(format!("{} is on no volume that can be read", printable(path)))
                }
                None => walk.stop(format!("no volume has {}", printable(path))),
            }
        }
        Place::Unread(what) => walk.unknown(format!("the entry's volume cannot be read here ({what})")),
        Place::Elsewhere(what) => walk.stop(format!(
            "the BCD names what is not on this disk: {what} (bcdboot writes entries that fit this disk)"
        )),
        Place::File { volume, path, .. } => walk
            .stop(format!("the entry loads from one device and runs from another: {}:{path}", volume.name())),
        Place::Other(what) => walk.unknown(format!("the entry's device cannot be followed: {what}")),
    }
}

/// The loader itself.
fn loader(walk: &mut Walk, volume: Readable<'_>, target: &Target<'_>) -> Way {
    let place = format!("{}:{}", volume.name(), printable(target.path));
    if let Starter::Uefi(machine) = target.starter {
        return efi::start(walk, &volume, target.path, machine, None).map(drop);
    }
    let file = match volume.read(target.path, MAX_LOADER) {
        Ok(Some(file)) => file,
        Ok(None) => return walk.stop(format!("{place} is not there")),
        Err(error) => return walk.unknown(format!("{place} cannot be read: {error}")),
    };
    match Executable::parse(&file) {
        Ok(program) if matches!(program.machine, Machine::I386 | Machine::X64) => {
            walk.ok(format!("{place}: for {}, {}", program.machine, efi::signed(&program.signatures(&file))));
            Ok(())
        }
        Ok(program) => {
            walk.stop(format!("{place} is a loader of the wrong machine: for {}", program.machine))
        }
        Err(error) => walk.stop(format!("{place} is no loader: {error}")),
    }
}

/// What the loader loads first: the registry, then the kernel.
fn windows(walk: &mut Walk, volume: Readable<'_>, target: &Target<'_>) -> Way {
    for name in [r"System32\config\SYSTEM", r"System32\ntoskrnl.exe"] {
        let path = format!(r"{}\{name}", target.root.trim_end_matches('\\'));
        let place = format!("{}:{}", volume.name(), printable(&path));
        match volume.open(&path) {
            Ok(Some(source)) if source.size() > 0 => walk.ok(format!("{place}: {}", human(source.size()))),
            Ok(Some(_)) => return walk.stop(format!("{place} is empty")),
            Ok(None) => return walk.stop(format!("{place} is not there")),
            Err(error) => return walk.unknown(format!("{place} cannot be read: {error}")),
        }
    }
    Ok(())
}

/// Windows in a virtual disk that is a file of this disk.
fn inner(
    files: &Files<'_>,
    walk: &mut Walk,
    volume: Readable<'_>,
    path: &str,
    device: &Device,
    target: &Target<'_>,
) -> Way {
    let place = format!("{}:{}", volume.name(), printable(path));
    let source = match volume.open(path) {
        Ok(Some(source)) => source,
        Ok(None) => {
            return walk.stop(format!("{place} is not there: the entry boots from this virtual disk"));
        }
        Err(error) => return walk.unknown(format!("{place} cannot be read: {error}")),
    };
    let options = OpenOptions {
        container: container::OpenOptions { host: files.image.host.clone(), ..Default::default() },
        ..OpenOptions::default()
    };
    let stored = source.size();
    let image = match Image::open_source(source, &options) {
        Ok(image) => image,
        Err(error @ Error::MissingParent { .. }) => {
            return walk.unknown(format!(
                "{place} is a differencing disk, whose parents are not looked at: {error}"
            ));
        }
        Err(error) => return walk.stop(format!("{place} cannot be opened as a virtual disk: {error}")),
    };
    walk.ok(format!("{place}: a virtual disk of {}", human(image.bytes().size())));
    let inside = Files::new(&image);
    // The volume that the device names; otherwise the one with the loader.
    let named = match inside.place_inside(device) {
        Some(Place::Here(volume)) => Some(volume),
        _ => None,
    };
    let found = inside.volumes().find(|volume| matches!(volume.find(target.path), Ok(Some(_))));
    let Some(windows_volume) = named.or(found) else {
        return walk.stop(format!("no volume in {place} has {}", printable(target.path)));
    };
    loader(walk, windows_volume, target)?;
    windows(walk, windows_volume, target)?;
    expansion(walk, &place, &image, windows_volume, stored, volume)
}

/// Room for a dynamic disk that Windows expands when it boots from it.
fn expansion(
    walk: &mut Walk,
    place: &str,
    image: &Image,
    windows: Readable<'_>,
    stored: u64,
    host: Readable<'_>,
) -> Way {
    let dynamic = image.container().infos().next().is_some_and(|info| info.kind == Kind::Dynamic);
    if !dynamic || NativeBoot::expansion(&**windows.fs) != Some(Expansion::AtBoot) {
        return Ok(());
    }
    let needed = image.bytes().size().saturating_sub(stored);
    let free = host.fs.space().usage().map(|usage| usage.free);
    match free {
        Ok(free) if free < needed => walk.stop(format!(
            "{place} is expanded to its full size at boot, which takes {} more: {} has {} free (stop 0x136)",
            human(needed),
            host.name(),
            human(free)
        )),
        Ok(free) => {
            let (needed, free) = (human(needed), human(free));
            walk.ok(format!("{place} is expanded at boot by {needed}; {} has {free} free", host.name()));
            Ok(())
        }
        Err(error) => walk.unknown(format!("the free space of {} cannot be read: {error}", host.name())),
    }
}

/// Native boot of this image, where it has a Windows and is of a format from which a host boots.
pub(super) fn native(files: &Files<'_>) -> Option<Attempt> {
    let info = files.image.container().infos().next()?;
    if info.format == Format::Raw {
        return None;
    }
    let has = |volume: &Readable<'_>, name: &str| {
        matches!(volume.find(&format!(r"\Windows\System32\{name}")), Ok(Some(_)))
    };
    let volume = files.volumes().find(|volume| has(volume, "winload.efi") || has(volume, "winload.exe"))?;
    let mut walk = Walk::default();
    walk.note("started by the entry of a host's boot menu, with the image as a file of a volume of the host (bcdboot \
               writes such entries)");
    let way = native_way(files, &mut walk, volume, has(&volume, "winload.efi"));
    Some(walk.finish(Firmware::Native, None, way))
}

fn native_way(files: &Files<'_>, walk: &mut Walk, volume: Readable<'_>, efi: bool) -> Way {
    let path = if efi { r"\Windows\System32\winload.efi" } else { r"\Windows\System32\winload.exe" };
    let program = match efi::read(&volume, path) {
        Ok(program) => program,
        Err(efi::Missing::NoFile) => return walk.stop(format!("{}:{path} is not there", volume.name())),
        Err(efi::Missing::Unreadable(error) | efi::Missing::NoProgram(error)) => {
            return walk.unknown(format!("{}:{path}: {error}", volume.name()));
        }
    };
    let machine = program.executable.machine;
    walk.ok(format!("{}:{path}: for {machine}, {}", volume.name(), efi::signed(&program.signatures)));
    windows(walk, volume, &Target { path, root: FOLDERS[0], starter: Starter::Bios })?;
    let Ok(report) = files.image.capacity().report() else { return Ok(()) };
    let of_volume = report.volumes.iter().find(|report| report.name == volume.name());
    match of_volume.and_then(|report| report.native_boot) {
        Some(NativeBoot { boot_needs: Some(needs), boot_fits: Some(false), .. }) => walk.stop(format!(
            "it is expanded to its full size at boot, which takes {} more of the host than there are: {} (stop 0x136); \
             see `capacity`",
            human(needs),
            human(report.host_free)
        )),
        Some(NativeBoot { boot_needs: Some(needs), .. }) => {
            walk.ok(format!("it is expanded to its full size at boot: {} more of the host", human(needs)));
            Ok(())
        }
        _ => Ok(()),
    }
}

/// What an entry of a store means on this disk, in one line.
pub(super) fn resolution(
    files: &Files<'_>,
    boot: Readable<'_>,
    store: &Store,
    entry: &Object,
) -> Option<(Verdict, String)> {
    if !matches!(entry.kind.application(), Application::OsLoader) || !entry.kind.is_application() {
        return None;
    }
    let efi = store.get(entry, elements::PATH).is_some_and(
        |path| matches!(path, Value::String(path) if path.to_ascii_lowercase().ends_with(".efi")),
    );
    let machine = match efi {
        false => Starter::Bios,
        true => Starter::Uefi(machine_of(files, boot, store, entry).unwrap_or(Machine::X64)),
    };
    let mut walk = Walk::default();
    Some(match entry_starts(files, &mut walk, boot, store, entry, machine) {
        Ok(()) => {
            let places = files.place_name(store, entry, boot);
            (Verdict::Boots, format!("boots {places}"))
        }
        Err(end) => (end.verdict, end.reason),
    })
}

/// The machine of an entry's own loader, where no firmware says one.
fn machine_of(files: &Files<'_>, boot: Readable<'_>, store: &Store, entry: &Object) -> Option<Machine> {
    let (Some(Value::Device(device)), Some(Value::String(path))) =
        (store.get(entry, elements::DEVICE), store.get(entry, elements::PATH))
    else {
        return None;
    };
    let volume = match files.place(device, Some(boot)) {
        Place::Here(volume) => volume,
        Place::Anywhere => files.volumes().find(|volume| matches!(volume.find(path), Ok(Some(_))))?,
        _ => return None,
    };
    Some(efi::read(&volume, path).ok()?.executable.machine)
}

impl<'a> Files<'a> {
    /// The partition inside of a virtual disk that a device names.
    fn place_inside(&self, device: &Device) -> Option<Place<'a>> {
        use crate::bcd::{BlockDevice, Medium};
        match &device.block {
            BlockDevice::Partition { id: Some(id), medium: Medium::VirtualDisk(_), .. } => {
                let (volume, fs) = self.image.readable().find(|(volume, _)| volume.id == Some(*id))?;
                Some(Place::Here(Readable { volume, fs }))
            }
            _ => None,
        }
    }

    /// What an entry boots: `p3`, or a file of it.
    fn place_name(&self, store: &Store, entry: &Object, boot: Readable<'a>) -> String {
        let device =
            match store.get(entry, elements::OS_DEVICE).or_else(|| store.get(entry, elements::DEVICE)) {
                Some(Value::Device(device)) => device,
                _ => return boot.name().to_owned(),
            };
        match self.place(device, Some(boot)) {
            Place::Here(volume) => volume.name().to_owned(),
            Place::File { volume, path, .. } => format!("{}:{}", volume.name(), printable(&path)),
            _ => "what is found first".to_owned(),
        }
    }
}
