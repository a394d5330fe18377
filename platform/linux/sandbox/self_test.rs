//! The self-test: the confined process tries what an image that controls it would try, and prints what became of it. The
//! command then goes on as always.

use std::{
    ffi::CString,
    fs::{self, File},
    io::{self, Write},
    net::TcpStream,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use nix::{
    sys::ptrace::{self, Options},
    unistd::{Pid, execv, getppid},
};
use rustix::mount::{MountFlags, UnmountFlags};

use super::broker;
use crate::rights::Rights;

/// Prints one line for each attempt: `self-test STAGE ATTEMPT: refused` or `DONE`, which is a hole.
struct Report<'a> {
    stage: &'a str,
    out: &'a mut dyn Write,
}

impl Report<'_> {
    fn add(&mut self, attempt: &str, done: io::Result<()>) {
        let result = done.map_or_else(|error| format!("refused ({error})"), |()| "DONE".into());
        // At once: several processes may write to the same place.
        let _ = self.out.write_all(format!("self-test {} {attempt}: {result}\n", self.stage).as_bytes());
    }
}

/// A process that is not this one's: who started it.
static ANOTHER: OnceLock<Pid> = OnceLock::new();

/// From now on the test runs. To be called before the process is confined, which could not find out its parent.
pub(super) fn prepare() {
    ANOTHER.get_or_init(getppid);
}

pub(super) fn is_wanted() -> bool {
    ANOTHER.get().is_some()
}

fn another() -> Pid {
    *ANOTHER.get_or_init(getppid)
}

/// What the process that reads the image tries.
pub(super) fn run(stage: &str, rights: &Rights) {
    let mut report = Report { stage, out: &mut io::stderr() };
    let opened = |path: &str| File::open(path).map(drop);
    report.add("open /etc/passwd", opened("/etc/passwd"));
    report.add("list /etc", fs::read_dir("/etc").map(drop));
    report.add("ask for /etc/passwd", ask(Path::new("/etc/passwd")));
    report.add("open the parent's environment", opened(&format!("/proc/{}/environ", another())));
    writing(&mut report, rights);
    let mounted = rustix::mount::mount("none", "/tmp", "tmpfs", MountFlags::empty(), None);
    report.add("mount", mounted.map_err(io::Error::from));
    report.add("unmount", rustix::mount::unmount("/proc", UnmountFlags::DETACH).map_err(io::Error::from));
    beyond_files(&mut report);
}

/// What the process tries that opens files for the one that reads the image.
pub(super) fn of_broker(rights: &Rights, out: &mut dyn Write) {
    let mut report = Report { stage: "broker", out };
    writing(&mut report, rights);
    beyond_files(&mut report);
}

/// What the keeper of a mount or its guard tries.
pub(super) fn of_helper(stage: &str, out: &mut dyn Write) {
    let mut report = Report { stage, out };
    let changed = rustix::mount::mount_bind("/proc", "/tmp");
    report.add("mount something else", changed.map_err(io::Error::from));
    beyond_files(&mut report);
}

fn writing(report: &mut Report<'_>, rights: &Rights) {
    let Some(image) = rights.images.first() else { return };
    if let Some(beside) = beside(image) {
        report.add("write beside the image", File::create_new(&beside).map(drop));
        report.add("make a folder beside the image", fs::create_dir(&beside));
    }
    report.add("write to the image", File::options().write(true).open(image).map(drop));
    report.add(
        "change the image's permissions",
        image.metadata().and_then(|found| fs::set_permissions(image, found.permissions())),
    );
}

fn beyond_files(report: &mut Report<'_>) {
    report.add("connect", TcpStream::connect("127.0.0.1:9").map(drop));
    report.add("make a local socket", UnixDatagram::unbound().map(drop));
    report.add("trace another process", ptrace::seize(another(), Options::empty()).map_err(io::Error::from));
    report.add("signal another process", nix::sys::signal::kill(another(), None).map_err(io::Error::from));
    report.add("start a program", std::process::Command::new("/bin/true").status().map(drop));
    let program = CString::from(c"/bin/true");
    // If this succeeds, the rest of the output is missing.
    report.add("become another program", execv(&program, &[&program]).map(drop).map_err(io::Error::from));
    report.add("have another user", nix::unistd::setuid(1.into()).map_err(io::Error::from));
}

fn ask(path: &Path) -> io::Result<()> {
    let refused = || io::Error::from(rustix::io::Errno::ACCESS);
    broker().ok_or_else(refused)?.open(path).map(drop)
}

fn beside(image: &Path) -> Option<PathBuf> {
    Some(image.canonicalize().ok()?.parent()?.join(format!(".vhdmount-self-test-{}", Pid::this())))
}
