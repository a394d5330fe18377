//! The registry of the Windows on a disk, or one hive, with the names that Windows' programs use: which file has `HKLM\SOFTWARE`, where
//! `CurrentControlSet` leads, whose hive `HKU\Ada` is. Nothing but hives is opened because a hive names it.

pub mod diff;
mod file;
mod find;
mod hives;
mod names;
mod users;

use std::{path::Path, sync::Arc};

use self::names::KeyPath;
pub use self::{file::HiveFile, users::User};
use super::{Image, boot};
use crate::{
    Error, Result,
    fs::{
        FileSystem,
        windows::{self, HiveFiles},
    },
    registry::{Hive, Key, Replay},
};

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
    pub fn hives(&self) -> Vec<String> {
        match &self.content {
            Content::Hive(..) => vec![String::new()],
            Content::Disk { .. } => {
                let machine = self.machine_names().into_iter().map(|name| format!("HKLM\\{name}"));
                machine.chain(self.user_names().into_iter().map(|name| format!("HKU\\{name}"))).collect()
            }
        }
    }
}
