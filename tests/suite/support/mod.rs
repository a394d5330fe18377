//! Support code that the tests share: other programs as oracles, scratch folders, hashes.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "much of it serves mounts"))]

pub(crate) mod boot_record;
pub(crate) mod conformance;
pub(crate) mod corpus;
pub(crate) mod demo;
#[cfg(target_os = "linux")]
pub(crate) mod halfway;
#[cfg(target_os = "linux")]
pub(crate) mod host;
pub(crate) mod mutate;
pub(crate) mod vhd_writer;
pub(crate) mod vhdx_writer;
pub(crate) mod wim;
#[cfg(target_os = "linux")]
pub(crate) mod wine;
#[cfg(target_os = "linux")]
pub(crate) mod written_mount;

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use sha2::{Digest, Sha256};
use vhdmount::bytes::ByteSource;

/// True when every tool is installed; otherwise prints SKIPPED with the reason, and the caller returns. With
/// `VHDMOUNT_NO_SKIP` set (CI does) a missing tool fails the test instead.
pub(crate) fn have(tools: &[&str]) -> bool {
    let missing: Vec<_> = tools.iter().copied().filter(|tool| find_tool(tool).is_none()).collect();
    missing.is_empty() || skip(&format!("not installed: {}", missing.join(", ")))
}

/// True when a filesystem can be mounted through FUSE here; otherwise as [`have`].
pub(crate) fn have_fuse() -> bool {
    let opened = std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse");
    opened.is_ok() || skip("/dev/fuse cannot be opened")
}

/// The mountpoints in the mount table, which escapes spaces, tabs, line feeds and backslashes.
#[cfg(target_os = "linux")]
pub(crate) fn mounts() -> Vec<PathBuf> {
    let unescaped = |field: &str| {
        let mut parts = field.split('\\');
        let mut path = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            path.push(u8::from_str_radix(&part[..3], 8).unwrap().into());
            path += &part[3..];
        }
        PathBuf::from(path)
    };
    let table = std::fs::read_to_string("/proc/self/mounts").unwrap();
    table.lines().filter_map(|line| line.split(' ').nth(1)).map(unescaped).collect()
}

/// A path quoted for a shell.
pub(crate) fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// Prints SKIPPED past the test harness's capture. Returns false.
pub(crate) fn skip(why: &str) -> bool {
    let name = std::thread::current().name().unwrap_or("test").to_owned();
    assert!(std::env::var_os("VHDMOUNT_NO_SKIP").is_none(), "{name} may not be skipped here: {why}");
    writeln!(std::io::stderr(), "SKIPPED {name}: {why}").expect("stderr is open");
    false
}

fn find_tool(tool: &str) -> Option<PathBuf> {
    if cfg!(windows) {
        // Wine shows the host system's folders, whose programs it cannot run.
        return None;
    }
    let path = std::env::var("PATH").unwrap_or_default();
    // mkntfs, mkfs.fat and sgdisk are in sbin, which a user's PATH may lack.
    let folders = path.split(':').chain(["/usr/sbin", "/sbin", "/usr/local/sbin"]);
    folders.map(|folder| Path::new(folder).join(tool)).find(|file| file.is_file())
}

/// A command for another program, also searched for in sbin.
pub(crate) fn tool(name: &str) -> Command {
    Command::new(find_tool(name).unwrap_or_else(|| name.into()))
}

/// Runs a command to its end; fails the test with its whole output unless it succeeds.
pub(crate) fn run(command: &mut Command) -> Output {
    run_with_codes(command, &[0])
}

/// Runs a command that may mount a disk without a readable volume, which has its own exit code.
#[cfg(target_os = "linux")]
pub(crate) fn run_mount(command: &mut Command) -> Output {
    run_with_codes(command, &[0, 7])
}

fn run_with_codes(command: &mut Command, codes: &[i32]) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(
        output.status.code().is_some_and(|code| codes.contains(&code)),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// A scratch folder, removed when dropped. Not in `/tmp`, which may be small or in memory.
pub(crate) fn scratch() -> tempfile::TempDir {
    let base = std::env::var_os("VHDMOUNT_SCRATCH").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
    let base = if base.is_dir() { base } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("vhdmount-test.").tempdir_in(base).expect("a scratch folder")
}

/// SHA-256 as hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 of a whole source, read in pieces of an odd size so that reads straddle every boundary.
pub(crate) fn sha256_source(source: &dyn ByteSource) -> vhdmount::Result<String> {
    let mut hash = Sha256::new();
    let mut buf = vec![0; 1_000_003];
    let mut offset = 0;
    while offset < source.size() {
        let take = usize::try_from(source.size() - offset).unwrap_or(usize::MAX).min(buf.len());
        source.read_exact_at(offset, &mut buf[..take])?;
        hash.update(&buf[..take]);
        offset += take as u64;
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
