//! The layers' imports form the DAG of `src/lib.rs`. A table here, because the compiler allows every import.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Each layer with its modules. A module imports from itself and from earlier layers, never from its siblings.
const LAYERS: [&[&str]; 8] = [
    &["error", "printable"],
    &["guid", "cache", "check", "codec"],
    &["identity"],
    &["bytes"],
    &["container", "partition", "volume", "fs", "registry"],
    &["capacity", "tree"],
    &["image"],
    &["map"],
];
/// Belong to the binary: they see the library from outside, and the platform.
const BINARY: [&str; 2] = ["main", "cli"];

#[test]
fn modules_import_only_from_the_layers_below() {
    let mut wrong = Vec::new();
    for (module, file, code) in library() {
        let own = layer(&module).unwrap_or_else(|| panic!("{module} is in no layer"));
        for imported in imports(&code) {
            // Capitals: Error, Result, Corrupt, which the crate's root passes on.
            if imported == module || imported.starts_with(char::is_uppercase) {
                continue;
            }
            if layer(&imported).is_none_or(|layer| layer >= own) {
                wrong.push(format!("{}: {module} imports {imported}", file.display()));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn library_has_neither_platform_code_nor_unsafe_code() {
    for (_, file, code) in library() {
        for word in ["unsafe", "fuser", "winfsp", "winfsp_wrs", "platform"] {
            let mut words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
            assert!(!words.any(|found| found == word), "{} has {word}", file.display());
        }
    }
}

#[test]
fn imports_are_found_in_every_form() {
    let code =
        "use crate::{Result, bytes::{A, B}, fs::cache};\nfn f() -> crate::guid::Guid {}\nuse crate::tree;";
    assert_eq!(imports(code), ["Result", "bytes", "fs", "guid", "tree"]);
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

/// Top-level module, path and code, without comments and strings, of each file of the library.
fn library() -> Vec<(String, PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![src.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            let inside = path.strip_prefix(&src).expect("below src").with_extension("");
            let module = inside.iter().next().expect("not empty").to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if module != "lib"
                && !BINARY.contains(&&*module)
                && path.extension().is_some_and(|e| e == "rs")
            {
                files.push((module, path.clone(), code(&fs::read_to_string(path).expect("UTF-8"))));
            }
        }
    }
    assert!(files.len() > 20, "only {} files", files.len());
    files
}

/// The text without line comments and without what stands between quotes on one line.
fn code(text: &str) -> String {
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let unquoted = lines.map(|line| line.split('"').step_by(2).collect::<Vec<_>>().join("\"\""));
    unquoted.collect::<Vec<_>>().join("\n")
}

/// The first segment of every path below `crate::`.
fn imports(code: &str) -> Vec<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = Vec::new();
    for path in code.split("crate::").skip(1) {
        let Some(group) = path.strip_prefix('{') else {
            found.push(name(path));
            continue;
        };
        let mut depth = 0_usize;
        let mut begins = true;
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                c if begins && !c.is_whitespace() => {
                    found.push(name(&group[at..]));
                    begins = false;
                }
                _ => {}
            }
        }
    }
    found
}
