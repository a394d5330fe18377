//! The registry of the Windows on a disk, or one hive, with the names that Windows' programs use: which file has `HKLM\SOFTWARE`, where
//! `CurrentControlSet` leads, whose hive `HKU\Ada` is. Nothing but hives is opened because a hive names it.

pub mod diff;
mod file;
mod names;
mod users;

use std::{path::Path, sync::Arc};

use self::names::{KeyPath, Root};
pub use self::{file::HiveFile, users::User};
use super::{Image, boot};
use crate::{
    Error, Result,
    fs::{
        FileSystem,
        windows::{self, HiveFiles},
    },
    registry::{Hive, Key, Replay, fold},
};

/// The hives of `HKEY_LOCAL_MACHINE` that are files in the folder `config`.
const CONFIG: [&str; 7] = ["COMPONENTS", "DRIVERS", "ELAM", "SAM", "SECURITY", "SOFTWARE", "SYSTEM"];
const BCD: &str = "BCD00000000";
/// The account of the system itself, whose hive is also called `.DEFAULT`.
const LOCAL_SYSTEM: &str = "S-1-5-18";
const CURRENT: &str = "CurrentControlSet";
/// Keys that lead to others, one after the other.
const MAX_LINKS: usize = 8;
const CLASSES: &str = "_Classes";

/// The registry of a Windows, or a hive.
pub struct Registry {
    content: Content,
}

enum Content {
    /// One hive, and what its root is called.
    Hive(Arc<LoadedHive>, String),
    Disk {
        windows: Option<Windows>,
        bcd: Option<(String, HiveFiles)>,
    },
}

/// A Windows that is installed on a volume.
pub struct Windows {
    /// The volume: `p3`.
    pub volume: String,
    fs: Arc<dyn FileSystem>,
    /// Its folder in the root.
    folder: &'static str,
    /// All volumes that can be read.
    others: Vec<Arc<dyn FileSystem>>,
}

/// A hive with its logs applied.
pub struct LoadedHive {
    /// The hive.
    pub hive: Hive,
    /// Its file, as the image has it: `p3:\Windows\System32\config\SYSTEM`.
    pub file: String,
}

/// What a name leads to.
pub enum Found {
    /// A key of a hive.
    Key(FoundKey),
    /// Above the hives: names of what is below.
    Names {
        /// The name as `reg query` prints it.
        name: String,
        /// What is below.
        below: Vec<String>,
    },
}

/// A key of a hive.
#[derive(Clone)]
pub struct FoundKey {
    /// The name as `reg query` prints it: as it was asked for, with the root in its long form.
    pub name: String,
    /// Its hive.
    pub hive: Arc<LoadedHive>,
    /// The key.
    pub key: Key,
    /// Its path inside the hive.
    pub path: Vec<String>,
    /// The key that Windows shows below this one although no hive has it: `CurrentControlSet` below `SYSTEM`.
    pub link: Option<&'static str>,
}

impl Image {
    /// Every Windows that is installed on the volumes that can be read.
    pub fn installations(&self) -> Vec<Windows> {
        let all: Vec<Arc<dyn FileSystem>> = self.readable().map(|(_, fs)| fs.clone()).collect();
        let found = self.readable().filter_map(|(volume, fs)| {
            let folder = windows::folder(&**fs)?;
            Some(Windows { volume: volume.name.clone(), fs: fs.clone(), folder, others: all.clone() })
        });
        found.collect()
    }

    /// The registry of the Windows on the disk. `partition`: on this one, where there are several.
    ///
    /// # Errors
    /// [`Error::Invalid`] for several without a choice, [`Error::NotFound`] when the partition has none. A disk without Windows may
    /// still have a boot configuration store.
    pub fn registry(&self, partition: Option<u32>) -> Result<Registry> {
        let mut all = self.installations();
        let names = || all.iter().map(|windows| windows.volume.clone()).collect::<Vec<_>>().join(", ");
        let windows = match (partition, all.len()) {
            (Some(number), _) => {
                self.only(number)?;
                let name = format!("p{number}");
                let place = all.iter().position(|windows| windows.volume == name);
                let place = place.ok_or_else(|| match all.is_empty() {
                    true => no_windows(),
                    false => Error::not_found(format!("{name} has no Windows; there is one on {}", names())),
                })?;
                Some(all.swap_remove(place))
            }
            (None, 0 | 1) => all.pop(),
            (None, _) => {
                return Err(Error::invalid(format!(
                    "there are several Windows, on {}: choose one by its partition, as in -p {}",
                    names(),
                    all[0].volume.trim_start_matches('p')
                )));
            }
        };
        let mut stores: Vec<_> = boot::stores(self);
        // Of several the one that UEFI uses, as the one on the volume of Windows is often a copy for its setup.
        stores.sort_by_key(|store| !store.esp);
        let bcd = stores.into_iter().find_map(|store| {
            let file = format!("{}:{}", store.volume, store.path);
            Some((file, HiveFiles { hive: store.content.ok()?, logs: store.logs }))
        });
        Ok(Registry { content: Content::Disk { windows, bcd } })
    }
}

fn no_windows() -> Error {
    Error::not_found(
        "no volume that can be read has a Windows (Windows\\System32\\config\\SYSTEM); `vhdmount info IMAGE` lists the volumes",
    )
}

impl Windows {
    /// The hive of this name in the folder `config`.
    fn hive_of(&self, name: &str) -> Option<HiveFiles> {
        windows::hive(&*self.fs, &[self.folder, "System32", "config", name])
    }

    fn load(&self, name: &str) -> Result<Arc<LoadedHive>> {
        let file = format!("{}:\\{}\\System32\\config\\{name}", self.volume, self.folder);
        match self.hive_of(name) {
            Some(files) => load(&files, file),
            None => Err(Error::not_found(format!("there is no file {file}"))),
        }
    }
}

fn load(files: &HiveFiles, file: String) -> Result<Arc<LoadedHive>> {
    let hive = Hive::open_with_logs(files.hive.clone(), &files.logs)?;
    match hive.replay() {
        Replay::NotNeeded => {}
        Replay::Impossible { .. } => log::warn!("{file} was {}", hive.replay()),
        Replay::Applied { .. } => log::info!("{file} was {}", hive.replay()),
    }
    Ok(Arc::new(LoadedHive { hive, file }))
}

impl Registry {
    /// A hive that is a file of its own. `root`: what its root is called; by itself what Windows loads a file of this name as.
    ///
    /// # Errors
    /// When the hive cannot be read.
    pub fn of_hive(path: &Path, files: HiveFile, root: Option<&str>) -> Result<Self> {
        let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let root = match root {
            Some(root) => KeyPath::parse(root).map_or_else(|| root.to_owned(), |path| path.long()),
            None => names::of_hive_file(&file),
        };
        let files = HiveFiles { hive: files.hive, logs: files.logs };
        Ok(Self { content: Content::Hive(load(&files, path.display().to_string())?, root) })
    }

    /// The names of all hives that are there, as [`Self::find`] takes them.
    ///
    /// # Errors
    /// When the list of users cannot be read.
    pub fn hives(&self) -> Result<Vec<String>> {
        match &self.content {
            Content::Hive(..) => Ok(vec![String::new()]),
            Content::Disk { .. } => {
                let machine = self.machine_names().into_iter().map(|name| format!("HKLM\\{name}"));
                Ok(machine.chain(self.user_names()?.into_iter().map(|name| format!("HKU\\{name}"))).collect())
            }
        }
    }

    /// What a name leads to; links are followed as Windows follows them. Of a hive that is a file of its own a path inside it.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a name that leads nowhere, [`Error::Invalid`] for one that is none, or that has a meaning on a running
    /// Windows alone; when the hive cannot be read.
    pub fn find(&self, name: &str) -> Result<Found> {
        match &self.content {
            Content::Hive(hive, root) => {
                let mut path = names::names(name);
                // The name that the key has in Windows is understood as well.
                if let Some(full) = KeyPath::parse(name) {
                    let (full, prefix) = (names::names(&full.long()), names::names(root));
                    let below = full.len() >= prefix.len()
                        && full.iter().zip(&prefix).all(|(a, b)| a.eq_ignore_ascii_case(b));
                    match below {
                        true => path = full[prefix.len()..].to_vec(),
                        false => {
                            return Err(Error::not_found(format!(
                                "{name} is not in this hive, whose root is {root} (--prefix gives it another name)"
                            )));
                        }
                    }
                }
                let name = path.iter().fold(root.clone(), |name, part| name + "\\" + part);
                self.in_hive(hive.clone(), name, path, 0)
            }
            Content::Disk { .. } => {
                let path = KeyPath::required(name)?;
                self.follow(&path.long(), &path, 0)
            }
        }
    }

    /// `name`: as it was asked for. `path`: where links have led so far.
    fn follow(&self, name: &str, path: &KeyPath, links: usize) -> Result<Found> {
        let elsewhere = |root: Root, above: &[&str]| {
            let names = above.iter().map(|name| (*name).to_owned()).chain(path.names.iter().cloned());
            KeyPath { root, names: names.collect() }
        };
        match (path.root, &path.names[..]) {
            (Root::LocalMachine, []) => Ok(Found::Names { name: name.into(), below: self.machine_names() }),
            (Root::LocalMachine, [hive, below @ ..]) => {
                self.in_hive(self.machine_hive(hive)?, name.into(), below.to_vec(), links)
            }
            (Root::Users, []) => Ok(Found::Names { name: name.into(), below: self.user_names()? }),
            (Root::Users, [user, below @ ..]) => {
                self.in_hive(self.user_hive(user)?, name.into(), below.to_vec(), links)
            }
            // No user is logged on, so that no classes of a user are laid over those of the machine.
            (Root::ClassesRoot, _) => {
                self.follow(name, &elsewhere(Root::LocalMachine, &["SOFTWARE", "Classes"]), links)
            }
            (Root::CurrentConfig, _) => {
                let above = ["SYSTEM", CURRENT, "Hardware Profiles", "Current"];
                self.follow(name, &elsewhere(Root::LocalMachine, &above), links)
            }
            (Root::CurrentUser, _) => {
                let users = self.user_names().unwrap_or_default();
                Err(Error::invalid(format!(
                    "nobody is logged on to a disk, so that there is no HKEY_CURRENT_USER: name the user, as in HKU\\Ada{}",
                    match users.is_empty() {
                        true => String::new(),
                        false => format!("; there are {}", users.join(", ")),
                    }
                )))
            }
        }
    }

    fn windows(&self) -> Result<&Windows> {
        match &self.content {
            Content::Disk { windows: Some(windows), .. } => Ok(windows),
            _ => Err(no_windows()),
        }
    }

    fn bcd(&self) -> Option<&(String, HiveFiles)> {
        match &self.content {
            Content::Disk { bcd, .. } => bcd.as_ref(),
            Content::Hive(..) => None,
        }
    }

    /// The hives below `HKEY_LOCAL_MACHINE`.
    fn machine_names(&self) -> Vec<String> {
        let bcd = self.bcd().map(|_| BCD.to_owned());
        let there = |name: &str| self.windows().is_ok_and(|windows| windows.hive_of(name).is_some());
        let config = CONFIG.into_iter().filter(|name| there(name)).map(str::to_owned);
        bcd.into_iter().chain(config).collect()
    }

    fn machine_hive(&self, name: &str) -> Result<Arc<LoadedHive>> {
        if name.eq_ignore_ascii_case(BCD) {
            let (file, files) = self.bcd().ok_or_else(|| {
                Error::not_found(
                    "no volume that can be read has a boot configuration store: see `vhdmount bcd`",
                )
            })?;
            return load(files, file.clone());
        }
        if name.eq_ignore_ascii_case("HARDWARE") {
            return Err(Error::not_found(
                "HKEY_LOCAL_MACHINE\\HARDWARE is made anew at each start of Windows, and is in no file",
            ));
        }
        let windows = self.windows()?;
        match CONFIG.iter().find(|known| known.eq_ignore_ascii_case(name)) {
            Some(known) => windows.load(known),
            None => Err(Error::not_found(format!(
                "HKEY_LOCAL_MACHINE has no {name} on this disk; there are {}",
                self.machine_names().join(", ")
            ))),
        }
    }

    /// The hives below `HKEY_USERS`, as Windows would name them with every user logged on.
    fn user_names(&self) -> Result<Vec<String>> {
        let Ok(windows) = self.windows() else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        if windows.hive_of("DEFAULT").is_some() {
            names.push(".DEFAULT".to_owned());
        }
        for user in windows.users()?.iter().filter(|user| user.sid != LOCAL_SYSTEM) {
            let name = if user.sid.is_empty() { &user.name } else { &user.sid };
            names.extend(windows.user_hive(user).map(|_| name.clone()));
            names.extend(windows.classes_hive(user).map(|_| format!("{name}{CLASSES}")));
        }
        Ok(names)
    }

    fn user_hive(&self, name: &str) -> Result<Arc<LoadedHive>> {
        let windows = self.windows()?;
        if name.eq_ignore_ascii_case(".DEFAULT") || name.eq_ignore_ascii_case(LOCAL_SYSTEM) {
            return windows.load("DEFAULT");
        }
        let users = windows.users()?;
        let named = |name: &str| {
            let name = fold(&name.encode_utf16().collect::<Vec<_>>());
            let is = |text: &str| fold(&text.encode_utf16().collect::<Vec<_>>()) == name;
            // A SID is the same user for certain, a name may be that of two.
            users.iter().find(|user| is(&user.sid)).or_else(|| users.iter().find(|user| is(&user.name)))
        };
        let stem = name.len().checked_sub(CLASSES.len()).and_then(|len| name.split_at_checked(len));
        let classes =
            stem.filter(|(_, end)| end.eq_ignore_ascii_case(CLASSES)).and_then(|(user, _)| named(user));
        let found = match (named(name), classes) {
            (Some(user), _) => (user, windows.user_hive(user), "NTUSER.DAT"),
            (None, Some(user)) => (user, windows.classes_hive(user), "UsrClass.dat"),
            (None, None) => {
                return Err(Error::not_found(format!(
                    "HKEY_USERS has no {name} on this disk; there are {}",
                    self.user_names()?.join(", ")
                )));
            }
        };
        match found {
            (user, Some(files), file) => load(&files, format!("{}: {file} of {}", windows.volume, user.name)),
            (user, None, file) => Err(Error::not_found(format!("{} has no {file} on this disk", user.name))),
        }
    }

    /// The key at a path of a hive.
    fn in_hive(&self, hive: Arc<LoadedHive>, name: String, path: Vec<String>, links: usize) -> Result<Found> {
        let mut key = hive.hive.root()?;
        let mut real = Vec::new();
        // Damage in the list is reported where the list is read.
        let has = |name| matches!(hive.hive.subkey(&key, name), Ok(Some(_)));
        let is_system = has("Select");
        let link = (path.is_empty() && is_system && !has(CURRENT)).then_some(CURRENT);
        for (depth, part) in path.iter().enumerate() {
            let units: Vec<u16> = part.encode_utf16().collect();
            let below = match hive.hive.subkey_named(&key, &units)? {
                None if depth == 0 && is_system && part.eq_ignore_ascii_case(CURRENT) => {
                    let set = control_set(&hive.hive, &key)?;
                    real.push(set.clone());
                    hive.hive.subkey(&key, &set)?
                }
                found => {
                    real.push(part.clone());
                    found
                }
            };
            key = below.ok_or_else(|| {
                let above = name.rsplitn(path.len() - depth + 1, '\\').last().unwrap_or(&name);
                Error::not_found(format!("there is no key {part} in {above}"))
            })?;
            if let Some(target) = self.target(&hive.hive, &key) {
                if links >= MAX_LINKS {
                    return Err(Error::invalid(format!("{name}: its links lead from one to the next")));
                }
                let names = target.names.into_iter().chain(path[depth + 1..].iter().cloned()).collect();
                return self.follow(&name, &KeyPath { root: target.root, names }, links + 1);
            }
        }
        Ok(Found::Key(FoundKey { name, hive, key, path: real, link }))
    }

    /// Where a key leads that is a link. `None`: it is none, or leads out of what is here, and stands for itself.
    fn target(&self, hive: &Hive, key: &Key) -> Option<KeyPath> {
        let Content::Disk { .. } = self.content else { return None };
        if !key.is_link() {
            return None;
        }
        let target = hive.value_named(key, "SymbolicLinkValue").ok().flatten()?.text()?;
        let mut names = names::names(&target);
        let is = |at: usize, text: &str| {
            names.get(at).is_some_and(|name: &String| name.eq_ignore_ascii_case(text))
        };
        let root = match (is(0, "Registry"), is(1, "Machine"), is(1, "User")) {
            (true, true, _) => Root::LocalMachine,
            (true, _, true) => Root::Users,
            _ => return None,
        };
        names.drain(..2);
        Some(KeyPath { root, names })
    }
}

/// The control set that Windows has started with: `ControlSet001`.
fn control_set(hive: &Hive, root: &Key) -> Result<String> {
    let select = hive.subkey(root, "Select")?;
    let number = |name| {
        let value = select.as_ref().and_then(|select| hive.value_named(select, name).ok().flatten());
        value.and_then(|value| value.number()).filter(|number| (1..1000).contains(number))
    };
    // A hive of a Windows that has never started names the one for the first start alone.
    let number = number("Current").or_else(|| number("Default"));
    let number = number.ok_or_else(|| {
        Error::not_found("the hive does not say which control set is the current one (Select\\Current): name it, as in ControlSet001")
    })?;
    Ok(format!("ControlSet{number:03}"))
}
