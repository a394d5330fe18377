//! The command as built for Windows, run by Wine beside the tests: one Wine prefix for every run of a checkout, prepared
//! at its first use, and the command built once a run unless `VHDMOUNT_EXE` names a build.
//!
//! Where Wine, mingw or Rust's standard library for Windows is missing a test says SKIPPED, and fails under
//! `VHDMOUNT_NO_SKIP`. With `VHDMOUNT_NO_WINE=REASON` it says SKIPPED in any case.

use std::{
    ffi::OsStr,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

use super::{find_tool, run, skip};

/// The compiler whose programs Wine runs.
pub(crate) const MINGW: &str = "x86_64-w64-mingw32-gcc";
/// What the command is built for.
pub(crate) const TARGET: &str = "x86_64-pc-windows-gnu";

/// A Wine that is ready, with the command.
#[derive(Debug)]
pub(crate) struct Wine {
    prefix: PathBuf,
    exe: PathBuf,
}

/// The Wine of this run; `None`, and SKIPPED, where there can be none, or shall be none.
pub(crate) fn wine() -> Option<&'static Wine> {
    static WINE: OnceLock<Result<Wine, String>> = OnceLock::new();
    if let Ok(reason) = std::env::var("VHDMOUNT_NO_WINE") {
        writeln!(std::io::stderr(), "SKIPPED, no Wine: {reason}").expect("stderr is open");
        return None;
    }
    match WINE.get_or_init(Wine::prepare) {
        Ok(wine) => Some(wine),
        Err(why) => {
            skip(why);
            None
        }
    }
}

/// The path of a file of this system as Windows programs under Wine know it: `Z:\…`.
pub(crate) fn windows_path(path: &Path) -> String {
    let absolute = std::path::absolute(path).expect("a path that is not empty");
    let text = absolute.to_str().expect("tests name their files in UTF-8");
    format!("Z:{}", text.replace('/', r"\"))
}

impl Wine {
    /// `vhdmount.exe`, to be given arguments.
    pub(crate) fn vhdmount(&self) -> Command {
        self.program(&self.exe)
    }

    /// A program for Windows, or one that Wine brings, to be given arguments. DLLs beside it are found.
    pub(crate) fn program(&self, exe: impl AsRef<OsStr>) -> Command {
        run_by(&self.prefix, exe)
    }

    /// The command in `folder`, for a test that lays DLLs beside it.
    pub(crate) fn copy_exe(&self, folder: &Path) -> PathBuf {
        let copy = folder.join("vhdmount.exe");
        // Another name does as well, and writes no 40 MB.
        if std::fs::hard_link(&self.exe, &copy).is_err() {
            std::fs::copy(&self.exe, &copy).expect("scratch is writable");
        }
        copy
    }

    fn prepare() -> Result<Self, String> {
        let missing: Vec<_> = ["wine", "wineboot", "flock", MINGW]
            .into_iter()
            .filter(|tool| find_tool(tool).is_none())
            .collect();
        if !missing.is_empty() {
            return Err(format!("not installed: {}", missing.join(", ")));
        }
        let exe = match std::env::var_os("VHDMOUNT_EXE") {
            Some(exe) => PathBuf::from(exe),
            None => build()?,
        };
        let prefix = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("wine");
        keep_awake(&prefix);
        Ok(Self { prefix, exe })
    }
}

/// Wine with a program of its own or another; the script makes the prefix when there is none.
fn run_by(prefix: &Path, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/windows/wine"));
    command.env("VHDMOUNT_WINEPREFIX", prefix).arg(program);
    command
}

/// Keeps Wine's server and services running as long as the tests: a program of Wine's reads from a pipe that ends with us.
fn keep_awake(prefix: &Path) {
    // What it starts inherits what it is given, and would keep the pipes of a test open.
    let quiet = |command: &mut Command| command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    let made = quiet(run_by(prefix, "cmd").args(["/c", "exit"]).stdin(Stdio::null()));
    assert!(made.is_ok_and(|status| status.success()), "Wine does not run in {}", prefix.display());
    let waiting = run_by(prefix, "cmd")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("wine starts");
    // Neither waited for nor closed: the system does both when the tests end.
    std::mem::forget(waiting);
}

/// Builds the command; the text of an error says what is missing.
fn build() -> Result<PathBuf, String> {
    let asked = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--print", "target-libdir", "--target", TARGET])
        .output();
    let library = asked.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    if !library.is_ok_and(|folder| Path::new(&folder).is_dir()) {
        return Err(format!("Rust's standard library for Windows: rustup target add {TARGET}"));
    }
    let output = run(Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--target", TARGET, "--bin", "vhdmount", "--message-format", "json"]));
    Ok(executable(&output).expect("cargo names the program that it has built"))
}

fn executable(output: &Output) -> Option<PathBuf> {
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut programs =
        messages.filter_map(|message| Some(PathBuf::from(message.get("executable")?.as_str()?)));
    programs.find(|program| program.ends_with("vhdmount.exe"))
}

/// Compiles C for Windows: `sources` below `tests/windows`, `options` as mingw takes them.
pub(crate) fn compile(sources: &[&str], to: &Path, options: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/windows");
    let sources = sources.iter().map(|name| folder.join(name));
    run(Command::new(MINGW).arg("-O1").arg("-static-libgcc").arg("-o").arg(to).args(sources).args(options));
}
