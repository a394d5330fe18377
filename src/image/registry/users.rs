//! Users of a Windows: what `ProfileList` says, and folders of profiles that it does not name.

use std::{ops::ControlFlow, sync::Arc};

use super::Windows;
use crate::{
    Result,
    fs::{
        DirCursor, FileSystem, NodeKind,
        windows::{HiveFiles, find, hive},
    },
    registry::Hive,
};

/// Where profiles are, where nothing names them.
const FOLDERS: [&str; 2] = ["Users", "Documents and Settings"];
/// Profiles that are listed. Terminal servers have some thousand.
const MAX_PROFILES: usize = 16_384;
/// Names in the folder of profiles that are looked at.
const MAX_ENTRIES: usize = 65_536;
/// The hive with a user's classes, in a profile: since Vista, and before.
const CLASSES: [&[&str]; 2] = [
    &["AppData", "Local", "Microsoft", "Windows", "UsrClass.dat"],
    &["Local Settings", "Application Data", "Microsoft", "Windows", "UsrClass.dat"],
];

/// A user with a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// `S-1-5-21-…`; empty where nothing names it.
    pub sid: String,
    /// The name of the profile's folder, which is that of the user when the profile was made.
    pub name: String,
    /// The profile's folder, by names from the root of its volume on.
    folder: Vec<String>,
}

impl Windows {
    /// The users of this Windows, by its list of profiles, as far as that can be read, and by the folders of profiles.
    pub fn users(&self) -> Vec<User> {
        let listed = self.hive_of("SOFTWARE").map(|files| {
            let software = Hive::open_with_logs(files.hive, &files.logs)?;
            self.listed(&software)
        });
        let mut users = listed.unwrap_or_else(|| Ok(Vec::new())).unwrap_or_else(|error| {
            log::warn!("the list of users' profiles in SOFTWARE cannot be read: {error}");
            Vec::new()
        });
        for user in self.unlisted() {
            let known = |listed: &User| {
                listed.folder.last().is_some_and(|folder| folder.eq_ignore_ascii_case(&user.name))
            };
            if users.len() < MAX_PROFILES && !users.iter().any(known) {
                users.push(user);
            }
        }
        users
    }

    fn listed(&self, software: &Hive) -> Result<Vec<User>> {
        let path = ["Microsoft", "Windows NT", "CurrentVersion", "ProfileList"];
        let path: Vec<Vec<u16>> = path.iter().map(|name| name.encode_utf16().collect()).collect();
        let list = software.descend(&software.root()?, path.iter().map(|name| &name[..]))?;
        let Some(list) = list else { return Ok(Vec::new()) };
        let mut keys = Vec::new();
        software.each_subkey(&list, &mut |key| match key {
            Ok(key) if keys.len() < MAX_PROFILES => keys.push(key),
            Ok(_) => {}
            Err(error) => log::warn!("a profile cannot be read: {error}"),
        })?;
        let user = |key| {
            let value = software.value_named(&key, "ProfileImagePath").ok().flatten()?;
            let folder = self.folder_of(&value.text()?);
            let name = folder.last()?.clone();
            Some(User { sid: String::from_utf16_lossy(&key.name), name, folder })
        };
        Ok(keys.into_iter().filter_map(user).collect())
    }

    /// The names in a path of this Windows: `%SystemDrive%\Users\Ada`, `C:\Users\Ada`.
    fn folder_of(&self, path: &str) -> Vec<String> {
        let mut names: Vec<String> =
            path.split('\\').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let first = names.first().map(|name| name.to_ascii_lowercase()).unwrap_or_default();
        match &*first {
            "%systemroot%" | "%windir%" => names[0] = self.folder.to_owned(),
            "%systemdrive%" => drop(names.remove(0)),
            _ if first.len() == 2 && first.ends_with(':') => drop(names.remove(0)),
            _ => {}
        }
        names
    }

    /// Folders of profiles.
    fn unlisted(&self) -> Vec<User> {
        let mut users = Vec::new();
        for parent in FOLDERS {
            let Some(node) = find(&*self.fs, &[parent]) else { continue };
            // The second is a link to the first one.
            if self.fs.stat(node).is_ok_and(|stat| stat.kind != NodeKind::Directory) {
                continue;
            }
            let (mut names, mut seen) = (Vec::new(), 0);
            let _ = self.fs.read_dir(node, DirCursor::default(), &mut |entry| {
                seen += 1;
                if entry.kind == NodeKind::Directory {
                    names.push(String::from_utf16_lossy(entry.name.units()));
                }
                if seen < MAX_ENTRIES { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            users.extend(names.into_iter().filter(|name| name != "." && name != "..").map(|name| User {
                sid: String::new(),
                folder: vec![parent.to_owned(), name.clone()],
                name,
            }));
        }
        users.retain(|user| self.profile_hive(user, &["NTUSER.DAT"]).is_some());
        users
    }

    /// The hive with what `HKEY_CURRENT_USER` is for this user.
    pub(super) fn user_hive(&self, user: &User) -> Option<HiveFiles> {
        self.profile_hive(user, &["NTUSER.DAT"]).or_else(|| self.profile_hive(user, &["NTUSER.MAN"]))
    }

    /// The hive with the classes of this user.
    pub(super) fn classes_hive(&self, user: &User) -> Option<HiveFiles> {
        CLASSES.iter().find_map(|path| self.profile_hive(user, path))
    }

    /// A hive in a profile. Its drive letter says little here: the volume of Windows is looked at first, then the others.
    fn profile_hive(&self, user: &User, rest: &[&str]) -> Option<HiveFiles> {
        let path: Vec<&str> = user.folder.iter().map(String::as_str).chain(rest.iter().copied()).collect();
        let others = self.others.iter().filter(|fs| !Arc::ptr_eq(fs, &self.fs));
        std::iter::once(&self.fs).chain(others).find_map(|fs: &Arc<dyn FileSystem>| hive(&**fs, &path))
    }
}
