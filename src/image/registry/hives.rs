//! The hives of a disk, by the names of the keys that they are loaded as.

use std::sync::Arc;

use super::{Content, LoadedHive, Registry, Windows, load, no_windows};
use crate::{Error, Result, fs::windows::HiveFiles, registry::fold};

/// The hives of `HKEY_LOCAL_MACHINE` that are files in the folder `config`.
const CONFIG: [&str; 7] = ["COMPONENTS", "DRIVERS", "ELAM", "SAM", "SECURITY", "SOFTWARE", "SYSTEM"];
const BCD: &str = "BCD00000000";
/// The account of the system itself, whose hive is also called `.DEFAULT`.
const LOCAL_SYSTEM: &str = "S-1-5-18";
const CLASSES: &str = "_Classes";

impl Registry {
    pub(super) fn windows(&self) -> Result<&Windows> {
        match &self.content {
            Content::Disk { windows: Some(windows), .. } => Ok(windows),
            _ => Err(no_windows()),
        }
    }

    pub(super) fn bcd(&self) -> Option<&(String, HiveFiles)> {
        match &self.content {
            Content::Disk { bcd, .. } => bcd.as_ref(),
            Content::Hive(..) => None,
        }
    }

    /// The hives below `HKEY_LOCAL_MACHINE`.
    pub(super) fn machine_names(&self) -> Vec<String> {
        let bcd = self.bcd().map(|_| BCD.to_owned());
        let there = |name: &str| self.windows().is_ok_and(|windows| windows.hive_of(name).is_some());
        let config = CONFIG.into_iter().filter(|name| there(name)).map(str::to_owned);
        bcd.into_iter().chain(config).collect()
    }

    pub(super) fn machine_hive(&self, name: &str) -> Result<Arc<LoadedHive>> {
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
    pub(super) fn user_names(&self) -> Vec<String> {
        let Ok(windows) = self.windows() else { return Vec::new() };
        let mut names = Vec::new();
        if windows.hive_of("DEFAULT").is_some() {
            names.push(".DEFAULT".to_owned());
        }
        for user in windows.users().iter().filter(|user| user.sid != LOCAL_SYSTEM) {
            let name = if user.sid.is_empty() { &user.name } else { &user.sid };
            names.extend(windows.user_hive(user).map(|_| name.clone()));
            names.extend(windows.classes_hive(user).map(|_| format!("{name}{CLASSES}")));
        }
        names
    }

    pub(super) fn user_hive(&self, name: &str) -> Result<Arc<LoadedHive>> {
        let windows = self.windows()?;
        if name.eq_ignore_ascii_case(".DEFAULT") || name.eq_ignore_ascii_case(LOCAL_SYSTEM) {
            return windows.load("DEFAULT");
        }
        let users = windows.users();
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
                    self.user_names().join(", ")
                )));
            }
        };
        match found {
            (user, Some(files), file) => load(&files, format!("{}: {file} of {}", windows.volume, user.name)),
            (user, None, file) => Err(Error::not_found(format!("{} has no {file} on this disk", user.name))),
        }
    }
}
