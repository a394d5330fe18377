//! The library's modules and what each of them imports, read from its source text: the compiler allows every import.
//!
//! Understood are paths that begin with `crate::`, `super::` or `self::`, groups included, and what a folder's `mod.rs` passes
//! on with `use`. Comments, strings and tests are no part of a module.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Belong to the binary: they see the library from outside, and the platform.
const BINARY: [&str; 2] = ["main", "cli"];

/// A file of the library.
pub(crate) struct Module {
    /// Its names from the crate's root on: `["fs", "ntfs", "index"]`; the root's is empty.
    pub(crate) path: Vec<String>,
    pub(crate) file: PathBuf,
    /// Without comments, strings and tests.
    pub(crate) code: String,
}

/// All modules but those of tests.
pub(crate) fn library() -> Vec<Module> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![src.clone()];
    let mut modules = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of sources") {
            let file = entry.expect("an entry").path();
            if file.is_dir() {
                folders.push(file);
                continue;
            }
            let inside = file.strip_prefix(&src).expect("below src").with_extension("");
            let mut path: Vec<String> =
                inside.iter().map(|name| name.to_string_lossy().into_owned()).collect();
            let of_library = !BINARY.contains(&&*path[0]) && !path.iter().any(|name| name == "tests");
            if of_library && file.extension().is_some_and(|extension| extension == "rs") {
                if path.last().is_some_and(|name| name == "mod") || path == ["lib"] {
                    path.pop();
                }
                let code = code(&fs::read_to_string(&file).expect("UTF-8"));
                modules.push(Module { path, file, code });
            }
        }
    }
    assert!(modules.len() > 20, "only {} files", modules.len());
    modules
}

/// The text without line comments, without what stands between quotes on one line, and without the tests at its end.
fn code(text: &str) -> String {
    let mut end = text.len();
    for (at, attribute) in text.match_indices("#[cfg(test)]\n") {
        let next = text[at + attribute.len()..].lines().next().unwrap_or_default();
        if next.contains("mod ") && next.ends_with('{') {
            end = at;
            break;
        }
    }
    let lines = text[..end].lines().map(|line| line.split("//").next().unwrap_or_default());
    let unquoted = lines.map(|line| line.split('"').step_by(2).collect::<Vec<_>>().join("\"\""));
    unquoted.collect::<Vec<_>>().join("\n")
}

/// A path that the code names, as it stands there, and the name that it has afterwards.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) path: Vec<String>,
    pub(crate) alias: String,
}

/// Every path below `crate::`, `super::` or `self::`; of a group each by itself.
pub(crate) fn paths(code: &str) -> Vec<Named> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) =
        ["crate::", "super::", "self::"].iter().filter_map(|root| Some(at + code[at..].find(root)?)).min()
    {
        let before = code[..start].chars().next_back();
        at = start + 1;
        if !before.is_some_and(|c| c.is_alphanumeric() || ['_', ':', '$'].contains(&c)) {
            at = at.max(code.len() - tree(&code[start..], &[], &mut found).len());
        }
    }
    found
}

/// The paths that `use` statements at the margin name, with and without one of these roots.
fn used(code: &str) -> Vec<Named> {
    let mut found = Vec::new();
    let mut at = 0;
    for line in code.split_inclusive('\n') {
        let visible =
            line.strip_prefix("pub ").or_else(|| Some(line.strip_prefix("pub(")?.split_once(") ")?.1));
        if let Some(first) = visible.unwrap_or(line).strip_prefix("use ") {
            tree(&code[at + line.len() - first.len()..], &[], &mut found);
        }
        at += line.len();
    }
    found
}

/// Takes one tree of paths off the front of `code`; returns the rest.
fn tree<'a>(code: &'a str, prefix: &[String], found: &mut Vec<Named>) -> &'a str {
    let mut path = prefix.to_vec();
    let mut rest = code.trim_start();
    loop {
        if let Some(mut group) = rest.strip_prefix('{') {
            loop {
                group = group.trim_start();
                if let Some(after) = group.strip_prefix('}') {
                    return after;
                }
                let after = tree(group, &path, found).trim_start();
                let after = after.strip_prefix(',').unwrap_or(after);
                // Text that is no tree must not hold this up.
                if after.len() == group.len() {
                    return after;
                }
                group = after;
            }
        }
        let name = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let name = if rest.starts_with('*') { 1 } else { name };
        // `f::<T>`: what comes before is the path.
        if name == 0 {
            break;
        }
        path.push(rest[..name].into());
        rest = &rest[name..];
        match rest.strip_prefix("::") {
            Some(below) => rest = below,
            None => break,
        }
    }
    if path.len() == prefix.len() {
        return rest;
    }
    let mut alias = path.last().cloned().unwrap_or_default();
    if alias == "self" && path.len() > 1 {
        path.pop();
        alias.clone_from(path.last().expect("one is left"));
    }
    if let Some(new) = rest.strip_prefix(" as ") {
        let end = new.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(new.len());
        alias = new[..end].into();
        rest = &new[end..];
    }
    found.push(Named { path, alias });
    rest
}

/// A path as the root sees it, that stands in the module `from`.
pub(crate) fn absolute(path: &[String], from: &[String]) -> Vec<String> {
    let (mut base, mut rest) = (from.to_vec(), path);
    while let [first, tail @ ..] = rest {
        match &**first {
            "crate" => base.clear(),
            "super" => drop(base.pop()),
            "self" => {}
            _ => break,
        }
        rest = tail;
    }
    base.extend_from_slice(rest);
    base
}

/// For each folder (`fs::ntfs`) which of its modules import which of their siblings, and the paths by which they do.
pub(crate) type Siblings = BTreeMap<String, BTreeMap<(String, String), BTreeSet<String>>>;

/// What modules import from their siblings, and what their parts do: `fs::ntfs::records::file` that names
/// `crate::bytes::read_vec` counts as `fs` importing `bytes` in the root.
pub(crate) fn siblings(modules: &[Module]) -> Siblings {
    let known: BTreeSet<&[String]> = modules.iter().map(|module| &*module.path).collect();
    let child = |folder: &[String], name: &String| {
        let path: Vec<String> = [folder, std::slice::from_ref(name)].concat();
        known.contains(&*path)
    };
    // Of each folder the names that it passes on, and the child that they come from.
    let mut passed_on: BTreeMap<(&[String], String), String> = BTreeMap::new();
    for Module { path: folder, code, .. } in modules {
        for Named { path, alias } in used(code) {
            let path = match child(folder, &path[0]) {
                true => [&**folder, &path].concat(),
                false => absolute(&path, folder),
            };
            if let Some([first, ..]) = path.strip_prefix(&**folder)
                && child(folder, first)
            {
                passed_on.insert((folder, alias), first.clone());
            }
        }
    }
    let mut siblings = Siblings::new();
    for module in modules {
        for Named { path, .. } in paths(&module.code) {
            let target = absolute(&path, &module.path);
            let common = module.path.iter().zip(&target).take_while(|(a, b)| a == b).count();
            let (folder, [own, ..], [name, ..]) =
                (&target[..common], &module.path[common..], &target[common..])
            else {
                continue;
            };
            let imported = match child(folder, name) {
                true => Some(name),
                false => passed_on.get(&(folder, name.clone())),
            };
            if let Some(imported) = imported.filter(|imported| *imported != own) {
                let edges = siblings.entry(folder.join("::")).or_default();
                let paths = edges.entry((own.clone(), imported.clone())).or_default();
                paths.insert(format!("{}: {}", module.path.join("::"), target.join("::")));
            }
        }
    }
    siblings
}

#[test]
fn paths_are_found_in_every_form() {
    let code = "use crate::{Result, bytes::{A, B as C}, fs::{self, cache}};\nfn f() -> crate::guid::Guid {}\n\
        use super::{super::x, y::*};\npub(in super::super) fn g() { self::h::<u8>() }";
    let found: Vec<String> = paths(code).iter().map(|named| named.path.join("::")).collect();
    let expected = [
        "crate::Result",
        "crate::bytes::A",
        "crate::bytes::B",
        "crate::fs",
        "crate::fs::cache",
        "crate::guid::Guid",
        "super::super::x",
        "super::y::*",
        "super::super",
        "self::h",
    ];
    assert_eq!(found, expected);
}

#[test]
fn imports_of_siblings_are_found_through_what_their_folder_passes_on() {
    let module = |path: &[&str], code: &str| Module {
        path: path.iter().map(|name| String::from(*name)).collect(),
        file: PathBuf::new(),
        code: code.into(),
    };
    let modules = [
        module(&["fs"], "mod a;\nmod b;\npub use self::a::A;\nuse b::{B as Both};"),
        module(&["fs", "a"], "use super::Both;\nuse crate::bytes;"),
        module(&["fs", "b"], "use crate::fs::{A, Own};\nuse super::b::inner;"),
        module(&["bytes"], ""),
    ];
    let found = siblings(&modules);
    let edges = |folder: &str| found[folder].keys().map(|(a, b)| format!("{a} {b}")).collect::<Vec<_>>();
    assert_eq!((edges(""), edges("fs")), (vec!["fs bytes".into()], vec!["a b".into(), "b a".into()]));
}
