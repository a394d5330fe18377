//! The demo disk and its manifest, and the command under test.

use std::{
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The command as built for this test run.
pub(crate) fn vhdmount() -> Command {
    Command::new(env!("CARGO_BIN_EXE_vhdmount"))
}

/// Unpacks the demo disk into `folder`; zeros that are not written remain holes.
pub(crate) fn unpack(folder: &Path) -> PathBuf {
    let path = folder.join("demo.vhdx");
    std::fs::write(&path, image()).expect("scratch is writable");
    path
}

/// The demo disk as packed into the command.
pub(crate) const PACKED: &[u8] = include_bytes!("../../../demo/demo.vhdx.gz");

/// The demo disk's bytes.
pub(crate) fn image() -> Vec<u8> {
    let mut image = Vec::new();
    flate2::read::GzDecoder::new(PACKED).read_to_end(&mut image).expect("the demo disk unpacks");
    image
}

/// A row of the manifest, as the programs that made the disk read the file back.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) kind: &'static str,
    pub(crate) size: u64,
    pub(crate) sha256: &'static str,
    /// The path with the volume in front, as in a mount.
    pub(crate) path: String,
}

/// The whole manifest.
pub(crate) fn manifest() -> Vec<Row> {
    let rows = include_str!("../../../demo/manifest.tsv").lines().filter(|line| !line.starts_with('#'));
    let rows = rows.map(|line| match line.split('\t').collect::<Vec<_>>()[..] {
        [volume, kind, size, sha256, path] => {
            Row { kind, size: size.parse().unwrap_or(0), sha256, path: format!("{volume}/{path}") }
        }
        _ => panic!("five columns: {line}"),
    });
    rows.collect()
}

/// The only disk in the output of `capacity --json`.
pub(crate) fn only_disk(report: &serde_json::Value) -> &serde_json::Value {
    let mut volumes = report["host_volumes"].as_array().expect("an array").iter();
    // The others hold only parents.
    &volumes.find(|volume| volume["disks"][0].is_object()).expect("a disk")["disks"][0]
}

/// Exit code, standard output and standard error as text.
pub(crate) fn outcome(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}
