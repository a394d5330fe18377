//! The stand-in for the driver (`tests/windows/driver.c`): built once a run, laid beside the command, and talked to over
//! local connections. Here are bytes only; what they mean is in `wire`, what the driver does with them in `volume`.

use std::{
    fmt::Write as _,
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Condvar, Mutex, Once, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use super::wire::{Answer, Request, utf16};
use crate::support::{
    have, run, scratch, skip, tool,
    wine::{Wine, compile, never_ran, wine},
};

/// Far longer than anything takes here: the end of a test that hangs.
const PATIENCE: Duration = Duration::from_secs(120);
/// Of mingw: shows what a DLL exports.
const OBJDUMP: &str = "x86_64-w64-mingw32-objdump";

/// The genuine library of WinFsp and the stand-in that is loaded in its place.
#[derive(Debug)]
struct Libraries {
    genuine: PathBuf,
    stand_in: PathBuf,
}

/// Both, made at their first use; `None`, and SKIPPED, where they cannot be had.
fn libraries() -> Option<&'static Libraries> {
    static LIBRARIES: OnceLock<Result<Libraries, String>> = OnceLock::new();
    if !have(&[OBJDUMP]) {
        return None;
    }
    match LIBRARIES.get_or_init(|| genuine().map(stand_in)) {
        Ok(libraries) => Some(libraries),
        Err(why) => {
            skip(why);
            None
        }
    }
}

/// Where cargo keeps the library: in the sources of the package `winfsp-sys`, which it fetches if need be.
fn genuine() -> Result<PathBuf, String> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/windows/winfsp/Cargo.toml");
    let metadata = |offline: &[&str]| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["metadata", "--format-version", "1", "--locked"]).args(offline);
        cargo.arg("--manifest-path").arg(&manifest).output().expect("cargo starts")
    };
    let mut output = metadata(&["--offline"]);
    if !output.status.success() {
        output = metadata(&[]);
    }
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("cargo cannot fetch winfsp-sys, which contains WinFsp's library: {why}"));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let package = metadata["packages"].as_array().into_iter().flatten().find(|it| it["name"] == "winfsp-sys");
    let folder =
        package.and_then(|package| package["manifest_path"].as_str()).and_then(|it| Path::new(it).parent());
    Ok(folder.expect("the package is what was asked for").join("winfsp/bin/winfsp-x64.dll"))
}

/// Compiles the stand-in: it exports what the genuine library exports.
fn stand_in(genuine: PathBuf) -> Libraries {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(target).expect("the target folder is writable");
    let folder = tempfile::tempdir_in(target).expect("the target folder is writable");
    let (exports, made) = (folder.path().join("exports.def"), folder.path().join("winfsp-x64.dll"));
    let listed = run(tool(OBJDUMP).arg("-p").arg(&genuine));
    let listed = String::from_utf8_lossy(&listed.stdout);
    let table = listed.split("[Ordinal/Name Pointer] Table").nth(1).expect("the library exports something");
    let names = table.lines().skip(1).map_while(|line| line.trim().strip_prefix('[')?.split_once("] "));
    let mut text = String::from("LIBRARY \"winfsp-x64.dll\"\nEXPORTS\n");
    names.for_each(|(_, name)| writeln!(text, "    {name} = winfsp-real.{name}").expect("memory"));
    assert!(text.contains("FspFileSystemCreate"), "{text}");
    std::fs::write(&exports, text).expect("the target folder is writable");
    let exports = exports.to_str().expect("UTF-8");
    let warnings = ["-Wall", "-Wextra", "-Werror"];
    let options = [&["-shared", exports, "-lws2_32", "-ladvapi32"], &warnings[..]].concat();
    compile(&["driver.c", "driver_imports.c"], &made, &options);
    // Another run may be about to read it.
    let stand_in = target.join("winfsp-driver.dll");
    std::fs::rename(made, &stand_in).expect("in one folder");
    Libraries { genuine, stand_in }
}

/// What the stand-in reports unasked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// A volume with these `FSP_FSCTL_VOLUME_PARAMS` has been created.
    Volume(Vec<u8>),
    /// A drive letter has been defined, removed.
    Drive(String),
    Removed(String),
    /// A directory has become a mount point: its reparse data.
    Directory(Vec<u8>),
    /// The mount manager was to learn of it.
    Manager(Vec<u8>),
    /// The file system serves no more.
    Stop,
}

impl Event {
    fn parse(line: &str) -> Self {
        let (what, with) = line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
        let bytes = || -> Vec<u8> {
            let digits = with.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
            digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
        };
        let text = || String::from_utf16(&utf16(&bytes())).unwrap();
        match what {
            "volume" => Self::Volume(bytes()),
            "drive" => Self::Drive(text()),
            "removed" => Self::Removed(text()),
            "directory" => Self::Directory(bytes()),
            "manager" => Self::Manager(bytes()),
            "stop" => Self::Stop,
            _ => panic!("the driver was wronged: {line}"),
        }
    }
}

/// A drive letter that no other test has: all mounts are in one Wine, where each has a name by which it is unmounted.
#[derive(Debug)]
struct Letter(char);

static LETTERS: (Mutex<Vec<char>>, Condvar) = (Mutex::new(Vec::new()), Condvar::new());

impl Letter {
    fn take() -> Self {
        static FILLED: Once = Once::new();
        FILLED.call_once(|| LETTERS.0.lock().unwrap().extend('G'..='X'));
        let free = LETTERS.1.wait_while(LETTERS.0.lock().unwrap(), |free| free.is_empty());
        Self(free.unwrap().pop().expect("waited for"))
    }
}

impl Drop for Letter {
    fn drop(&mut self) {
        LETTERS.0.lock().unwrap_or_else(PoisonError::into_inner).push(self.0);
        LETTERS.1.notify_one();
    }
}

/// A folder with the command and the libraries, from which the command can be run.
#[derive(Debug)]
pub(super) struct Setting {
    folder: TempDir,
    exe: PathBuf,
    wine: &'static Wine,
    letter: Letter,
}

impl Setting {
    pub(super) fn new() -> Option<Self> {
        let setting = Self::without_winfsp()?;
        let libraries = libraries()?;
        let lay = |from: &Path, name| std::fs::copy(from, setting.folder.path().join(name)).unwrap();
        lay(&libraries.genuine, "winfsp-real.dll");
        lay(&libraries.stand_in, "winfsp-x64.dll");
        Some(setting)
    }

    /// As a Windows is on which WinFsp is not installed.
    pub(super) fn without_winfsp() -> Option<Self> {
        let wine = wine()?;
        let folder = scratch();
        let exe = wine.copy_exe(folder.path());
        Some(Self { folder, exe, wine, letter: Letter::take() })
    }

    /// The drive that is this test's: `X:`.
    pub(super) fn drive(&self) -> String {
        format!("{}:", self.letter.0)
    }

    /// The command, to be given arguments.
    pub(super) fn vhdmount(&self) -> Command {
        let mut command = self.wine.program(&self.exe);
        command.stdin(Stdio::null());
        command
    }
}

/// A running `vhdmount -f` and the connections to the driver in it.
#[derive(Debug)]
pub(super) struct Driver {
    pub(super) setting: Setting,
    process: Mutex<Child>,
    listener: TcpListener,
    events: Mutex<BufReader<TcpStream>>,
    idle: Mutex<Vec<TcpStream>>,
}

impl Driver {
    /// Starts the command with these arguments and waits until it has reached for the driver.
    pub(super) fn start(setting: Setting, arguments: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let log = |name| File::create(setting.folder.path().join(name)).unwrap();
        let mut command = setting.vhdmount();
        command.args(arguments).stdout(log("stdout")).stderr(log("stderr"));
        command.env("WINFSP_DRIVER_PORT", listener.local_addr().unwrap().port().to_string());
        let mut process = command.spawn().unwrap();
        let mut events = accept(&listener, &mut process);
        let ended = if events.is_none() { process.try_wait().unwrap() } else { None };
        if ended.is_some_and(|status| never_ran(status.code(), &said(setting.folder.path()))) {
            println!("again: Wine did not load {command:?}");
            process = command.spawn().unwrap();
            events = accept(&listener, &mut process);
        }
        let events = events.unwrap_or_else(|| {
            panic!("{command:?} does not reach for the driver:\n{}", said(setting.folder.path()))
        });
        let events = Mutex::new(BufReader::new(events));
        Self { setting, process: Mutex::new(process), listener, events, idle: Mutex::default() }
    }

    /// What the command has printed so far.
    pub(super) fn said(&self) -> String {
        said(self.setting.folder.path())
    }

    /// Waits for a text among what the command prints.
    pub(super) fn wait_until_it_says(&self, text: &str) {
        let start = Instant::now();
        while !self.said().contains(text) {
            let ended = self.process.lock().unwrap().try_wait().unwrap();
            let hopeless = start.elapsed() > PATIENCE || ended.is_some_and(|status| !status.success());
            assert!(!hopeless || self.said().contains(text), "no {text:?}:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The next event.
    pub(super) fn event(&self) -> Event {
        let mut line = String::new();
        let got = self.events.lock().unwrap().read_line(&mut line);
        assert!(matches!(got, Ok(1..)), "no event from the driver ({got:?}):\n{}", self.said());
        Event::parse(&line)
    }

    /// Asks the file system. As many may ask at once as like.
    pub(super) fn transact(&self, request: Request) -> Answer {
        let request = request.finish();
        let idle = self.idle.lock().unwrap().pop();
        let mut stream = idle.unwrap_or_else(|| self.connection());
        match exchange(&mut stream, &request) {
            Ok(Some(answer)) => {
                self.idle.lock().unwrap().push(stream);
                answer
            }
            Ok(None) => panic!("unmounted while a request was under way:\n{}", self.said()),
            Err(e) => panic!("the connection to the driver broke: {e}\n{}", self.said()),
        }
    }

    fn connection(&self) -> TcpStream {
        self.events.lock().unwrap().get_mut().write_all(b"+").unwrap();
        let accepted = accept(&self.listener, &mut self.process.lock().unwrap());
        accepted.unwrap_or_else(|| panic!("the command ended:\n{}", self.said()))
    }

    /// Ctrl-C.
    pub(super) fn interrupt(&self) {
        let id = self.process.lock().unwrap().id();
        run(tool("kill").args(["-INT", &id.to_string()]));
    }

    /// Waits until the command has ended.
    pub(super) fn wait(&self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.process.lock().unwrap().try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "the command does not end:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let process = self.process.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = process.kill();
        let _ = process.wait();
    }
}

fn said(folder: &Path) -> String {
    let read = |name| std::fs::read(folder.join(name)).unwrap_or_default();
    format!("{}{}", String::from_utf8_lossy(&read("stdout")), String::from_utf8_lossy(&read("stderr")))
}

/// A connection; `None` when the command ends or nothing comes.
fn accept(listener: &TcpListener, process: &mut Child) -> Option<TcpStream> {
    listener.set_nonblocking(true).unwrap();
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).unwrap();
                stream.set_nodelay(true).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                return Some(stream);
            }
            // One that has put a server into the background has ended, and well.
            Err(_) if process.try_wait().unwrap().is_some_and(|status| !status.success()) => return None,
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
    None
}

/// A request and its answer; `None` when the volume has been stopped.
fn exchange(stream: &mut TcpStream, request: &Request) -> std::io::Result<Option<Answer>> {
    let size = u32::try_from(request.bytes.len()).unwrap();
    let envelope = [size, request.buffer, request.address_at, request.token_at];
    let mut message: Vec<u8> = envelope.iter().flat_map(|field| field.to_le_bytes()).collect();
    message.extend_from_slice(&request.bytes);
    stream.write_all(&message)?;
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let mut answer = Answer {
        bytes: vec![0; usize::try_from(u32::from_le_bytes(size)).unwrap()],
        buffer: vec![0; usize::try_from(request.buffer).unwrap()],
    };
    stream.read_exact(&mut answer.bytes)?;
    stream.read_exact(&mut answer.buffer)?;
    Ok((!answer.bytes.is_empty()).then_some(answer))
}
