//! Names of keys as Windows' programs write them: `HKLM\SYSTEM\CurrentControlSet`, `HKEY_USERS\.DEFAULT`.

use crate::{Error, Result};

/// A root of the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    LocalMachine,
    Users,
    Classes,
    CurrentUser,
    CurrentConfig,
}

/// Roots with their short and long names.
const ROOTS: [(Root, &str, &str); 5] = [
    (Root::LocalMachine, "HKLM", "HKEY_LOCAL_MACHINE"),
    (Root::Users, "HKU", "HKEY_USERS"),
    (Root::Classes, "HKCR", "HKEY_CLASSES_ROOT"),
    (Root::CurrentUser, "HKCU", "HKEY_CURRENT_USER"),
    (Root::CurrentConfig, "HKCC", "HKEY_CURRENT_CONFIG"),
];

/// The name of a key: its root, and names below that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyPath {
    pub(super) root: Root,
    pub(super) names: Vec<String>,
}

impl KeyPath {
    /// The name that the user typed; `None` if it begins with no root.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut names = names(text);
        // As the address bar of regedit has it.
        if names.first().is_some_and(|name| name.eq_ignore_ascii_case("Computer")) {
            names.remove(0);
        }
        let first = names.first()?;
        let is = |name: &str| name.eq_ignore_ascii_case(first);
        let (root, ..) = *ROOTS.iter().find(|(_, short, long)| is(short) || is(long))?;
        names.remove(0);
        Some(Self { root, names })
    }

    /// # Errors
    /// [`Error::Invalid`] if it begins with no root.
    pub(super) fn required(text: &str) -> Result<Self> {
        Self::parse(text).ok_or_else(|| {
            let roots: Vec<_> = ROOTS.iter().map(|(_, short, _)| *short).collect();
            Error::invalid(format!(
                "{text:?} names no key: one begins with {}, as in HKLM\\SOFTWARE\\Microsoft",
                roots.join(", ")
            ))
        })
    }

    /// The name with the root in its long form, as `reg query` prints it.
    pub(super) fn long(&self) -> String {
        let (.., long) = ROOTS.iter().find(|(root, ..)| *root == self.root).expect("all roots are there");
        self.names.iter().fold((*long).to_owned(), |path, name| path + "\\" + name)
    }
}

/// The names in a path.
pub(super) fn names(path: &str) -> Vec<String> {
    path.split('\\').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// What the root of a hive is called that is a file of its own, by the name that Windows gives such files.
pub(super) fn of_hive_file(name: &str) -> String {
    let known = |known: &str| name.eq_ignore_ascii_case(known);
    let machine = ["SYSTEM", "SOFTWARE", "SAM", "SECURITY", "COMPONENTS", "DRIVERS", "ELAM"];
    match machine.iter().find(|machine| known(machine)) {
        Some(machine) => format!("HKEY_LOCAL_MACHINE\\{machine}"),
        None if known("BCD") => "HKEY_LOCAL_MACHINE\\BCD00000000".into(),
        None if known("DEFAULT") => "HKEY_USERS\\.DEFAULT".into(),
        None if known("NTUSER.DAT") || known("NTUSER.MAN") => "HKEY_CURRENT_USER".into(),
        None if known("UsrClass.dat") => "HKEY_CURRENT_USER\\Software\\Classes".into(),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_root_in_either_form() {
        let long = |text| KeyPath::parse(text).map(|path| path.long());
        for (text, expected) in [
            ("hklm", "HKEY_LOCAL_MACHINE"),
            (r"HKEY_local_machine\SYSTEM\", r"HKEY_LOCAL_MACHINE\SYSTEM"),
            (r"Computer\HKEY_USERS\.DEFAULT", r"HKEY_USERS\.DEFAULT"),
            (r"HKCR\.txt\a/b", r"HKEY_CLASSES_ROOT\.txt\a/b"),
        ] {
            assert_eq!(long(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["", "HKXX\\a", "SYSTEM", "\\"] {
            assert_eq!(long(text), None, "{text}");
            assert!(KeyPath::required(text).is_err());
        }
    }
}
