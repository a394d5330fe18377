//! From a name to its key: which hive, the path inside it, links on the way.

use std::sync::Arc;

use super::{
    Content, Found, FoundKey, LoadedHive, Registry,
    names::{self, KeyPath, Root},
};
use crate::{
    Error, Result,
    registry::{Hive, Key},
};

const CURRENT: &str = "CurrentControlSet";
/// Keys that lead to others, one after the other.
const MAX_LINKS: usize = 8;

impl Registry {
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
            (Root::Users, []) => Ok(Found::Names { name: name.into(), below: self.user_names() }),
            (Root::Users, [user, below @ ..]) => {
                self.in_hive(self.user_hive(user)?, name.into(), below.to_vec(), links)
            }
            // No user is logged on, so that no classes of a user are laid over those of the machine.
            (Root::Classes, _) => {
                self.follow(name, &elsewhere(Root::LocalMachine, &["SOFTWARE", "Classes"]), links)
            }
            (Root::CurrentConfig, _) => {
                let above = ["SYSTEM", CURRENT, "Hardware Profiles", "Current"];
                self.follow(name, &elsewhere(Root::LocalMachine, &above), links)
            }
            (Root::CurrentUser, _) => {
                let users = self.user_names();
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
