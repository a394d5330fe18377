//! The Windows build of the command, run by Wine beside the tests: one Wine prefix for every run of a checkout, prepared
//! at its first use, and the command built once per run unless `VHDMOUNT_EXE` names a build.
//!
//! Where Wine, mingw or Rust's standard library for Windows is missing a test prints SKIPPED, and fails under
//! `VHDMOUNT_NO_SKIP`. With `VHDMOUNT_NO_WINE=REASON` it prints SKIPPED in any case.

use std::{
    ffi::OsStr,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

use super::{demo::outcome, find_tool, run, skip};

/// The C compiler for programs that Wine runs.
pub(crate) const MINGW: &str = "x86_64-w64-mingw32-gcc";
/// The Rust target of the command.
pub(crate) const TARGET: &str = "x86_64-pc-windows-gnu";

/// A prepared Wine prefix and the command.
#[derive(Debug)]
pub(crate) struct Wine {
    prefix: PathBuf,
    exe: PathBuf,
}

/// The Wine of this run; `None`, and SKIPPED, where it is unavailable or disabled.
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

/// The Windows path of a host file under Wine: `Z:\…`.
pub(crate) fn windows_path(path: &Path) -> String {
    let absolute = std::path::absolute(path).expect("a path that is not empty");
    let text = absolute.to_str().expect("tests name their files in UTF-8");
    format!("Z:{}", text.replace('/', r"\"))
}

/// Runs a command of this Wine and collects what it prints; once more if Wine did not load the program.
pub(crate) fn output(command: &mut Command) -> Output {
    let mut once = || command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let first = once();
    let (code, text, errors) = outcome(&first);
    if !never_ran(code, &(text + &errors)) {
        return first;
    }
    println!("again: Wine did not load the program: {first:?}");
    once()
}

/// As [`output`], of a command that must succeed.
pub(crate) fn run_in_wine(command: &mut Command) -> Output {
    let output = output(command);
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}

/// True if Wine failed to load a program, as it does about once in a thousand runs on a busy machine: the program ends
/// before its first instruction, with the low byte of `STATUS_DLL_INIT_FAILED` (0xC0000142) or with 1, and prints nothing. A
/// failure of the program has a message.
pub(crate) fn never_ran(code: Option<i32>, printed: &str) -> bool {
    matches!(code, Some(0x42 | 1)) && printed.lines().all(|line| line.starts_with("wine: "))
}

impl Wine {
    /// A command that runs `vhdmount.exe`; the caller adds arguments.
    pub(crate) fn vhdmount(&self) -> Command {
        self.program(&self.exe)
    }

    /// A command that runs a Windows program, or one of Wine's own; the caller adds arguments. DLLs beside it are found.
    pub(crate) fn program(&self, exe: impl AsRef<OsStr>) -> Command {
        run_by(&self.prefix, exe)
    }

    /// Copies the command into `folder`, for a test that puts DLLs beside it.
    pub(crate) fn copy_exe(&self, folder: &Path) -> PathBuf {
        let copy = folder.join("vhdmount.exe");
        // A hard link avoids writing 40 MB.
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

/// A command that runs a program by Wine; the script creates the prefix when it is missing.
fn run_by(prefix: &Path, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/windows/wine"));
    command.env("VHDMOUNT_WINEPREFIX", prefix).arg(program);
    command
}

/// Keeps Wine's server and services running as long as the tests: a Wine program reads from a pipe that closes with this
/// process.
fn keep_awake(prefix: &Path) {
    // Services inherit the handles of the program that starts them, and would keep a test's pipes open.
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

/// Builds the command; the error names what is missing.
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
