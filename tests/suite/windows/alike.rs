//! The command as built for Windows says of an image what the one for Linux says: the demo disk and, where there are
//! some, real images. What may differ: the host's name and free space, and where a file of the host has holes.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

use crate::support::{
    corpus::{CatalogEntry, catalog},
    demo::{manifest, outcome, unpack, vhdmount},
    run, scratch, sha256,
    wine::{self, Wine, wine},
};

/// Larger images are read by the tests of the corpus, which run under Wine as well.
const MAX_IMAGE: u64 = 40 << 20;
/// Arguments that Windows takes, in UTF-16 units, are 32,767; with room for the rest.
const MAX_ARGUMENTS: usize = 20_000;
/// Figures of the report that are the image's own, or of the file as every system sees it.
const FIGURES: [&str; 7] = [
    "virtual_size",
    "file_size",
    "backed",
    "shared_on_host",
    "growth_to_full",
    "overhead_to_full",
    "block_size",
];

/// Runs the same in both, in the image's folder, so that no path of the host shows.
struct Both<'a> {
    wine: &'a Wine,
    folder: &'a Path,
    image: &'a str,
    compared: usize,
    /// What the two say differently.
    different: Vec<String>,
}

impl Both<'_> {
    fn outputs(&self, command: &str, arguments: &[&str]) -> (Output, Output) {
        let prepared = |mut program: Command| {
            program.current_dir(self.folder).arg(command).arg(self.image).args(arguments);
            program
        };
        let here = prepared(vhdmount()).output().expect("vhdmount starts");
        (here, wine::output(&mut prepared(self.wine.vhdmount())))
    }

    /// The same bytes, messages and exit code.
    fn same(&mut self, command: &str, arguments: &[&str]) {
        let (here, there) = self.outputs(command, arguments);
        let ((code, text, errors), theirs) = (outcome(&here), outcome(&there));
        let what = format!("{command} {} {arguments:.300?}", self.image);
        let mut compare = |part: &str, here: String, there: String| {
            if here != there {
                let lines = here.lines().zip(there.lines()).filter(|(here, there)| here != there).take(5);
                let lines: String = lines.map(|(here, there)| format!("\n< {here}\n> {there}")).collect();
                self.different.push(format!(
                    "{part} of {what}: {} and {} bytes{lines}",
                    here.len(),
                    there.len()
                ));
            }
        };
        compare("exit code", format!("{code:?}"), format!("{:?}", theirs.0));
        compare("messages", without_host(&errors), without_host(&theirs.2));
        match command {
            "cat" => compare("content", sha256(&here.stdout), sha256(&there.stdout)),
            _ => compare("text", without_host(&text), without_host(&theirs.1)),
        }
        self.compared += 1;
    }

    /// The same figures, as far as they are not the host's.
    fn same_capacity(&mut self) {
        let (here, there) = self.outputs("capacity", &["--json"]);
        self.compared += 1;
        let mut compare = |part: &str, here: &dyn std::fmt::Debug, there: &dyn std::fmt::Debug| {
            let (here, there) = (format!("{here:?}"), format!("{there:?}"));
            if here != there {
                self.different.push(format!("{part} of capacity {}\n< {here}\n> {there}", self.image));
            }
        };
        compare("exit code", &outcome(&here).0, &outcome(&there).0);
        let json = |output: &Output| serde_json::from_slice::<Value>(&output.stdout).ok();
        let (Some(here), Some(there)) = (json(&here), json(&there)) else { return };
        let (here, there) = (&here["host_volumes"][0]["disks"][0], &there["host_volumes"][0]["disks"][0]);
        // With holes in the file Linux knows where they are, and Wine does not.
        let has_holes = there["estimate"].as_str().is_some_and(|text| text.contains("holes"));
        for figure in FIGURES.iter().filter(|figure| !has_holes || figure.ends_with("size")) {
            compare(figure, &here[figure], &there[figure]);
        }
        let volumes = |report: &Value| {
            let rows = report["volume"].as_array().cloned().unwrap_or_default();
            let figure = |row: &Value, name: &str| row.get(name).cloned().unwrap_or_default();
            let names = ["name", "label", "filesystem", "size", "free_reported"];
            rows.iter().map(|row| names.map(|name| figure(row, name))).collect::<Vec<_>>()
        };
        compare("volumes", &volumes(here), &volumes(there));
    }

    /// Everything that needs no mount.
    fn everything(&mut self, files: &[String]) {
        for (command, arguments) in [("info", &["--json"][..]), ("ls", &["-lR"]), ("check", &[])] {
            self.same(command, arguments);
        }
        self.same_capacity();
        let mut group: Vec<&str> = Vec::new();
        for (index, file) in files.iter().enumerate() {
            group.push(file);
            let next = files.get(index + 1).map_or(MAX_ARGUMENTS, |file| file.len() + 3);
            if group.iter().map(|file| file.len() + 3).sum::<usize>() + next > MAX_ARGUMENTS {
                self.same("cat", &group);
                group.clear();
            }
        }
    }
}

/// Without the synthetic files, whose length depends on the host's figures, and without what Wine misses of the host. A path
/// of the host is the same one by another name.
fn without_host(text: &str) -> String {
    let of_program = |line: &&str| !line.contains(".capacity") && !line.starts_with("wine: ");
    let alike = |line: &str| match line.contains(r"\\?\Z:") {
        true => line.replace(r"\\?\Z:", "").replace('\\', "/"),
        false => line.to_owned(),
    };
    text.split_inclusive('\n').filter(of_program).map(alike).collect()
}

#[test]
fn the_demo_disk_is_the_same() {
    let Some(wine) = wine() else { return };
    let folder = scratch();
    unpack(folder.path());
    let mut both =
        Both { wine, folder: folder.path(), image: "demo.vhdx", compared: 0, different: Vec::new() };
    let files = manifest().into_iter().filter(|row| matches!(row.kind, "file" | "stream"));
    let files: Vec<_> = files.map(|row| row.path).collect();
    both.everything(&files);
    for file in &files {
        both.same("cat", &[file]);
    }
    for (command, arguments) in [
        ("cat", &["p3/Windows/missing"][..]),
        ("cat", &["p3/Windows"]),
        ("cat", &["p3/documents AND settings/ada/documents/read me first.txt"]),
        ("ls", &["-l", "esp", "p3/Users/Ada"]),
        ("ls", &[r"p3\Windows"]),
        ("ls", &["-R", "--show-sys-files"]),
        ("check", &["--json"]),
        ("info", &[]),
    ] {
        both.same(command, arguments);
    }
    assert!(both.compared > files.len() + 10, "{}", both.compared);
    assert!(both.different.is_empty(), "{}", both.different.join("\n"));
}

#[test]
fn the_demo_reads_every_file_without_a_mount() {
    let Some(wine) = wine() else { return };
    let arguments = ["demo", "--no-mount"];
    let here = outcome(&run(vhdmount().args(arguments))).1;
    let there = outcome(&wine::run_in_wine(wine.vhdmount().args(arguments))).1;
    let tree = |text: &str| -> Vec<String> {
        let lines = text.lines().skip_while(|line| !line.starts_with("What is in it"));
        let lines = lines.take_while(|line| !line.starts_with("Not mounted"));
        lines.filter(|line| !line.contains(".capacity")).map(str::to_owned).collect()
    };
    assert!(tree(&here).len() > 10);
    assert_eq!(tree(&there), tree(&here));
    let end = |text: &str| -> Vec<String> { text.lines().rev().take(2).map(str::to_owned).collect() };
    assert_eq!(end(&there), end(&here));
    assert!(there.contains("each SHA-256 as in the manifest") && there.contains("unchanged"), "{there}");
}

#[test]
fn real_images_are_the_same() {
    let (Some(entries), Some(wine)) = (catalog(), wine()) else { return };
    let small: Vec<_> = entries.iter().filter(|entry| entry.size <= MAX_IMAGE).collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let results = std::sync::Mutex::new((0, Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(entry) = small.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    let (compared, different) = compare(wine, entry);
                    let mut results = results.lock().unwrap();
                    results.0 += compared;
                    results.1.extend(different);
                }
            });
        }
    });
    let (compared, different) = results.into_inner().unwrap();
    println!("{} images, {compared} runs compared", small.len());
    assert!(!small.is_empty());
    assert!(different.is_empty(), "{} differences:\n{}", different.len(), different.join("\n"));
}

fn compare(wine: &Wine, entry: &CatalogEntry) -> (usize, Vec<String>) {
    let folder = scratch();
    let path: PathBuf = entry.unpack(folder.path());
    let name = path.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned();
    let files = entry.truth().files.into_iter().map(|row| {
        let volume = if row.volume == "p0" { "p1" } else { &row.volume };
        format!("{volume}/{}", row.path)
    });
    let files: Vec<_> = files.filter(|file| !file.contains(['"', '\\'])).collect();
    let mut both = Both { wine, folder: folder.path(), image: &name, compared: 0, different: Vec::new() };
    both.everything(&files);
    (both.compared, both.different)
}
