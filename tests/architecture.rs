//! Imports form the DAG of `src/lib.rs` between the layers, and one between the modules of each folder. A table here, because
//! the compiler allows every import.

#[path = "architecture/imports.rs"]
mod imports;

use std::collections::{BTreeMap, BTreeSet};

use imports::{Module, Siblings, absolute, library, paths, siblings};

/// Each layer with its modules. A module imports from itself and from earlier layers, never from its siblings.
const LAYERS: [&[&str]; 10] = [
    &["error", "printable"],
    &["guid", "cache", "case", "check", "codec", "json", "size"],
    &["identity", "security"],
    &["bytes"],
    &["host"],
    &["boot", "container", "partition", "pe", "volume", "fs", "registry"],
    &["bcd", "capacity", "tree"],
    &["image"],
    &["map"],
    &["testing"],
];

#[test]
fn modules_import_only_from_the_layers_below() {
    let mut wrong = Vec::new();
    for Module { path, file, code } in library() {
        let [module, ..] = &*path else { continue };
        let own = layer(module).unwrap_or_else(|| panic!("{module} is in no layer"));
        for named in paths(&code) {
            let ["crate", imported, ..] = *named.path.iter().map(|name| &**name).collect::<Vec<_>>() else {
                continue;
            };
            // Capitals: Error, Result, Corrupt, which the crate's root passes on.
            if imported == module || imported.starts_with(char::is_uppercase) {
                continue;
            }
            if layer(imported).is_none_or(|layer| layer >= own) {
                wrong.push(format!("{}: {module} imports {imported}", file.display()));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn library_has_neither_platform_code_nor_unsafe_code() {
    for Module { file, code, .. } in library() {
        for word in ["unsafe", "fuser", "winfsp", "winfsp_wrs", "platform"] {
            let mut words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
            assert!(!words.any(|found| found == word), "{} has {word}", file.display());
        }
    }
}

/// Sources that lie around none or around several others: what is not about reading they answer themselves.
const SOURCES: [&str; 13] = [
    // Every `Wrapper`.
    "W",
    "FileSource",
    "BackingFile",
    "MemorySource",
    "Sparse",
    "MemoryFile",
    "Recorded",
    "Joined",
    "Disk",
    "WritableDisk",
    "RunSource",
    "CompressedSource",
    "DedupSource",
];

#[test]
fn sources_around_one_other_are_wrappers() {
    for Module { file, code, .. } in library() {
        for rest in code.split(" ByteSource for ").skip(1) {
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric()).collect();
            assert!(SOURCES.contains(&&*name), "{}: is {name} a Wrapper?", file.display());
        }
    }
}

/// What writes into existing images, and the modules that may import it: no reader does.
const WRITERS: [(&str, &[&str]); 6] = [
    ("container::session", &["image::session", "image::writing"]),
    ("container::write", &["testing", "container::session", "image::writing"]),
    (
        "container::writer",
        &[
            "container::write",
            "container::session",
            "container::vhdx::write",
            "container::vhd::write",
            "container::flat",
        ],
    ),
    ("container::vhdx::write", &["container::write", "container::session"]),
    ("container::vhd::write", &["container::write", "container::session"]),
    ("container::flat", &["container::write", "container::vhd::write"]),
];

#[test]
fn readers_import_no_writer() {
    let mut found = 0;
    for Module { path, file, code } in library() {
        let own = path.join("::");
        for named in paths(&code) {
            let imported = absolute(&named.path, &path).join("::");
            for (writer, users) in WRITERS {
                let is_in = |module: &str| own == module || own.starts_with(&format!("{module}::"));
                if imported != writer && !imported.starts_with(&format!("{writer}::")) {
                    continue;
                }
                found += 1;
                let may = is_in(writer) || users.iter().any(|user| is_in(user));
                assert!(may, "{} imports {imported}", file.display());
            }
        }
    }
    assert!(found > 5, "{found} imports of a writer: are they still called this?");
}

#[test]
fn modules_of_a_folder_import_each_other_in_no_circle() {
    let siblings = siblings(&library());
    let found: Vec<String> = siblings.keys().flat_map(|folder| circles(&siblings, folder)).collect();
    assert_eq!(found, [""; 0]);
}

#[test]
fn circles_are_found() {
    let edges = [("a", "b"), ("b", "c"), ("c", "b"), ("d", "a")];
    let edges = edges.map(|(from, to)| ((from.into(), to.into()), BTreeSet::from([String::new()])));
    let siblings = Siblings::from([("x".into(), BTreeMap::from(edges))]);
    let found = circles(&siblings, "x");
    assert!(found.len() == 2 && found[0].contains("b imports c") && found[1].contains("c imports b"));
}

/// Every import in a folder that is a part of a circle.
fn circles(siblings: &Siblings, folder: &str) -> Vec<String> {
    let edges = &siblings[folder];
    let closed = edges.iter().filter(|((from, to), _)| reached(edges, to).contains(from));
    closed.map(|((from, to), paths)| format!("{folder}: {from} imports {to} ({paths:?})")).collect()
}

/// The modules that `from` imports, and those that these import, and so on.
fn reached(edges: &BTreeMap<(String, String), BTreeSet<String>>, from: &str) -> BTreeSet<String> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![from.to_owned()]);
    while let Some(module) = open.pop() {
        for (_, to) in edges.keys().filter(|(from, _)| *from == module) {
            if reached.insert(to.clone()) {
                open.push(to.clone());
            }
        }
    }
    reached
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}
