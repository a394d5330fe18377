//! The self-test: the confined process tries what an image that controls it would try, and prints what became of it. The
//! command then goes on as always.

use std::{
    ffi::CString,
    fs::{self, File},
    io,
    net::TcpStream,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use nix::{
    sys::ptrace,
    unistd::{Pid, execv, getppid},
};
use rustix::mount::{MountFlags, UnmountFlags};

use super::broker;
use crate::rights::Rights;

/// Tries everything, and prints one line for each attempt: `self-test STAGE ATTEMPT: refused` or `DONE`, which is a hole.
pub(super) fn run(stage: &str, rights: &Rights) {
    let report = |attempt: &str, done: io::Result<()>| match done {
        Ok(()) => eprintln!("self-test {stage} {attempt}: DONE"),
        Err(error) => eprintln!("self-test {stage} {attempt}: refused ({error})"),
    };
    let opened = |path: &str| File::open(path).map(drop);
    report("open /etc/passwd", opened("/etc/passwd"));
    report("list /etc", fs::read_dir("/etc").map(drop));
    report("ask for /etc/passwd", ask(Path::new("/etc/passwd")));
    report("open the parent's environment", opened(&format!("/proc/{}/environ", getppid())));
    if let Some(beside) = rights.images.first().and_then(|image| beside(image)) {
        report("write beside the image", File::create_new(&beside).map(drop));
        report("make a folder beside the image", fs::create_dir(&beside));
    }
    if let Some(image) = rights.images.first() {
        report("write to the image", File::options().write(true).open(image).map(drop));
        report(
            "change the image's permissions",
            image.metadata().and_then(|found| fs::set_permissions(image, found.permissions())),
        );
    }
    report("connect", TcpStream::connect("127.0.0.1:9").map(drop));
    report("connect to a local socket", UnixStream::connect("/run/systemd/notify").map(drop));
    report("trace another process", ptrace::attach(getppid()).map_err(io::Error::from));
    report("signal another process", nix::sys::signal::kill(getppid(), None).map_err(io::Error::from));
    report(
        "mount",
        rustix::mount::mount("none", "/tmp", "tmpfs", MountFlags::empty(), None).map_err(io::Error::from),
    );
    report("unmount", rustix::mount::unmount("/proc", UnmountFlags::DETACH).map_err(io::Error::from));
    report("start a program", std::process::Command::new("/bin/true").status().map(drop));
    let program = CString::from(c"/bin/true");
    // If this succeeds, the rest of the output is missing.
    report("become another program", execv(&program, &[&program]).map(drop).map_err(io::Error::from));
    report("have another user", nix::unistd::setuid(1.into()).map_err(io::Error::from));
}

fn ask(path: &Path) -> io::Result<()> {
    broker().ok_or(io::ErrorKind::PermissionDenied)?.open(path).map(drop)
}

fn beside(image: &Path) -> Option<PathBuf> {
    Some(image.canonicalize().ok()?.parent()?.join(format!(".vhdmount-self-test-{}", Pid::this())))
}
