//! The process behind a mount: how it ends, what it says where it cannot begin, and that no root is needed.

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    self,
    demo::{manifest, outcome, unpack, vhdmount},
    run, scratch, sha256,
};

struct Served {
    at: PathBuf,
    /// The keeper: the process that unmounts, which has two children.
    pid: String,
    folder: tempfile::TempDir,
}

/// The children of a process that have not ended.
fn children(pid: &str) -> Vec<String> {
    let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    listed.split_whitespace().map(str::to_owned).collect()
}

/// The child that serves: it alone has several threads.
fn server_below(keeper: &str) -> String {
    let threads = |pid: &String| fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    children(keeper).into_iter().max_by_key(threads).expect("the keeper has children")
}

/// Waits for `what`, which comes soon or never.
pub(crate) fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}: not after 20 s");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The demo disk, mounted in the background; `None`, and SKIPPED, where FUSE is missing.
fn serve() -> Option<Served> {
    if !support::have_fuse() {
        return None;
    }
    let folder = scratch();
    let (image, at, pid_file) = (unpack(folder.path()), folder.path().join("mnt"), folder.path().join("pid"));
    fs::create_dir(&at).unwrap();
    run(vhdmount().arg(&image).arg(&at).arg("--pid-file").arg(&pid_file));
    let pid = fs::read_to_string(&pid_file).unwrap().trim().to_owned();
    Some(Served { at, pid, folder })
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = vhdmount().arg("-u").arg(&self.at).output();
    }
}

impl Served {
    fn signal(&self, signal: &str) {
        kill(signal, &self.pid);
    }

    fn server(&self) -> String {
        server_below(&self.pid)
    }

    /// The keeper's other child, which would take the mount away if the keeper were killed.
    fn guard(&self) -> String {
        let server = self.server();
        children(&self.pid).into_iter().find(|pid| *pid != server).expect("there is a guard")
    }

    /// Nothing is mounted, no process is left, and the pid file is gone.
    fn assert_nothing_is_left(&self, processes: &[String]) {
        wait("it is unmounted", || !support::mounts().contains(&self.at));
        wait("the processes end", || self.has_ended() && processes.iter().all(|pid| has_ended(pid)));
        assert!(!self.folder.path().join("pid").exists(), "the pid file is removed");
        assert_eq!(fs::read_dir(&self.at).unwrap().count(), 0);
    }

    /// Waits for the program to end; its zombie may stay until its parent reaps it. The kernel has closed the connection
    /// to FUSE only when the last thread is gone: it may outlive the first one, whose state is the process's.
    fn wait_until_ended(&self) {
        wait("the server ends", || self.has_ended());
    }

    fn has_ended(&self) -> bool {
        has_ended(&self.pid)
    }
}

fn has_ended(pid: &str) -> bool {
    let process = Path::new("/proc").join(pid);
    let Ok(stat) = fs::read_to_string(process.join("stat")) else { return true };
    let zombie = stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'));
    zombie && fs::read_dir(process.join("task")).map_or(0, Iterator::count) <= 1
}

/// True when every thread of a process has stopped: the signal's sender does not wait for that, and a thread that runs on may
/// still answer a request.
fn has_stopped(pid: &str) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let is_stopped =
        |stat: String| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'));
    let mut states =
        threads.map(|thread| fs::read_to_string(thread.path().join("stat")).is_ok_and(is_stopped));
    states.all(|is_stopped| is_stopped)
}

fn kill(signal: &str, pid: &str) {
    run(support::tool("kill").arg(signal).arg(pid));
}

#[test]
fn a_dead_mount_is_named_and_cured() {
    let Some(served) = serve() else { return };
    let server = served.server();
    kill("-KILL", &served.guard());
    served.signal("-KILL");
    served.wait_until_ended();
    wait("the server ends with its keeper", || has_ended(&server));
    let image = served.folder.path().join("demo.vhdx");
    let (code, _, stderr) = outcome(&vhdmount().arg(&image).arg(&served.at).output().unwrap());
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("dead mount") && stderr.contains("vhdmount -u"), "{stderr}");
    run(vhdmount().arg("-u").arg(&served.at));
    assert_eq!(fs::read_dir(&served.at).unwrap().count(), 0);
    let (code, _, stderr) = outcome(&vhdmount().arg("-u").arg(&served.at).output().unwrap());
    assert!(code == Some(3) && stderr.contains("nothing is mounted"), "{stderr}");
}

#[test]
fn a_killed_server_leaves_no_mount() {
    let Some(served) = serve() else { return };
    let processes = children(&served.pid);
    let file = File::open(served.at.join(".vhdmount/disk.raw")).unwrap();
    kill("-KILL", &served.server());
    served.assert_nothing_is_left(&processes);
    // What was open is lost, and says so at once.
    assert!(file.read_exact_at(&mut [0; 512], 1 << 20).is_err());
}

#[test]
fn a_killed_keeper_leaves_no_mount() {
    let Some(served) = serve() else { return };
    let processes = children(&served.pid);
    assert_eq!(processes.len(), 2);
    served.signal("-KILL");
    served.assert_nothing_is_left(&processes);
}

/// A terminal's Ctrl-C, or a service manager that ends a whole group, reaches all of them: the keeper unmounts.
#[test]
fn a_signal_to_all_processes_is_one_unmount() {
    let Some(served) = serve() else { return };
    let processes = children(&served.pid);
    run(support::tool("kill").arg("-TERM").args(&processes).arg(&served.pid));
    served.assert_nothing_is_left(&processes);
}

#[test]
fn in_the_foreground_a_killed_server_is_the_commands_failure() {
    if !support::have_fuse() {
        return;
    }
    let folder = scratch();
    let (image, at) = (unpack(folder.path()), folder.path().join("mnt"));
    fs::create_dir(&at).unwrap();
    let mut command = vhdmount();
    command.arg("-f").arg(&image).arg(&at).stdout(Stdio::null()).stderr(Stdio::piped());
    let keeper = command.spawn().unwrap();
    let pid = keeper.id().to_string();
    wait("it is served", || at.join("p3/Windows").is_dir());
    kill("-KILL", &server_below(&pid));
    let (code, _, stderr) = outcome(&keeper.wait_with_output().unwrap());
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("ended by SIGKILL") && !support::mounts().contains(&at), "{stderr}");
}

/// The user that serves needs no right to the image: the keeper hands it over.
#[test]
fn root_can_let_another_user_serve() {
    if !support::have_fuse() || !nix::unistd::geteuid().is_root() {
        return;
    }
    let folder = scratch();
    let (image, at, pid_file) = (unpack(folder.path()), folder.path().join("mnt"), folder.path().join("pid"));
    fs::set_permissions(&image, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::create_dir(&at).unwrap();
    let row = manifest().into_iter().find(|row| row.kind == "file").unwrap();
    for option in [["--user", "nobody"], ["-o", "run_as=nobody"]] {
        run(vhdmount().arg(&image).arg(&at).args(option).arg("--pid-file").arg(&pid_file));
        let keeper = fs::read_to_string(&pid_file).unwrap().trim().to_owned();
        let status = fs::read_to_string(format!("/proc/{}/status", server_below(&keeper))).unwrap();
        let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
        let read = fs::read(at.join(&row.path)).map(|bytes| sha256(&bytes));
        let capacity = fs::read_to_string(at.join(".capacity"));
        run(vhdmount().arg("-u").arg(&at));
        assert!(!uid.split_whitespace().any(|id| id == "0"), "{uid}");
        assert_eq!(read.unwrap(), row.sha256);
        assert!(capacity.unwrap().contains("achievable"));
    }
    let (code, _, stderr) =
        outcome(&vhdmount().arg(&image).arg(&at).args(["--user", "no such"]).output().unwrap());
    assert!(code == Some(1) && stderr.contains("no such user"), "{stderr}");
    let (code, stdout, stderr) =
        outcome(&vhdmount().args(["ls", "--user", "nobody"]).arg(&image).output().unwrap());
    assert!(code == Some(0) && stdout.contains("p3"), "{stderr}");
}

/// fusermount3 holds the other end of a socket, which the kernel closes with the process.
#[test]
fn with_auto_unmount_a_killed_process_leaves_no_mount() {
    if !support::have_fuse() || !support::have(&["fusermount3"]) {
        return;
    }
    let folder = scratch();
    let (image, at, pid_file) = (unpack(folder.path()), folder.path().join("mnt"), folder.path().join("pid"));
    fs::create_dir(&at).unwrap();
    run(vhdmount().arg(&image).arg(&at).args(["-o", "auto_unmount", "--pid-file"]).arg(&pid_file));
    let pid = fs::read_to_string(&pid_file).unwrap().trim().to_owned();
    let served = Served { at, pid, folder };
    assert!(served.at.join("p3/Windows").is_dir());
    kill("-KILL", &served.guard());
    served.signal("-KILL");
    served.wait_until_ended();
    wait("the dead mount goes", || !support::mounts().contains(&served.at));
    assert_eq!(fs::read_dir(&served.at).unwrap().count(), 0);
}

/// A server that waits for an answer of its own mount while it is killed keeps the connection open, and every program that looks at
/// the mount waits with it. By chance: that instant was hit 3 times in 400 on a loaded machine.
#[test]
fn a_server_killed_while_it_starts_leaves_nothing_that_waits() {
    if !support::have_fuse() {
        return;
    }
    let folder = scratch();
    let (image, at) = (unpack(folder.path()), folder.path().join("mnt"));
    fs::create_dir(&at).unwrap();
    for _ in 0..30 {
        let mut server = vhdmount().arg("-f").arg(&image).arg(&at).stdout(Stdio::null()).spawn().unwrap();
        wait("it mounts", || support::mounts().contains(&at));
        server.kill().unwrap();
        wait("it ends", || server.try_wait().unwrap().is_some());
        wait("the mount goes", || !support::mounts().contains(&at));
    }
}

/// A mount that no process serves at the moment is unmounted within a time limit, and no other program has to wait for it.
#[test]
fn a_stopped_mount_is_unmounted_in_time() {
    let Some(served) = serve() else { return };
    let server = served.server();
    kill("-STOP", &server);
    wait("the server stops", || has_stopped(&server));
    let output = vhdmount().arg("-u").arg(&served.at).output().unwrap();
    kill("-CONT", &server);
    served.wait_until_ended();
    let (code, _, stderr) = outcome(&output);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("does not answer"), "{stderr}");
}

#[test]
fn of_eight_mounts_at_once_one_wins_and_the_others_leave_nothing() {
    if !support::have_fuse() {
        return;
    }
    let folder = scratch();
    let image = unpack(folder.path());
    for named in [true, false] {
        let at = folder.path().join(if named { "mnt" } else { "demo" });
        if named {
            fs::create_dir(&at).unwrap();
        }
        let start = |number: usize| {
            let mut command = vhdmount();
            command.current_dir(folder.path()).arg(&image).args(named.then_some(&at));
            command.arg("--pid-file").arg(folder.path().join(format!("pid{number}")));
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let started: Vec<_> = (0..8).map(start).collect();
        let ended: Vec<_> =
            started.into_iter().map(|child| outcome(&child.wait_with_output().unwrap())).collect();
        let lost: Vec<_> = ended.iter().filter(|(code, ..)| *code != Some(0)).collect();
        assert_eq!(lost.len(), 7, "{ended:?}");
        for (code, _, stderr) in lost {
            assert_eq!(*code, Some(3), "{stderr}");
            assert!(stderr.contains("mounted here already"), "{stderr}");
        }
        let pid_files =
            || (0..8).filter(|number| folder.path().join(format!("pid{number}")).exists()).count();
        assert_eq!(pid_files(), 1);
        assert_eq!(support::mounts().iter().filter(|mount| **mount == at).count(), 1);
        assert!(at.join("p3/Windows").is_dir(), "the winner is served");
        run(vhdmount().arg("-u").arg(&at));
        assert_eq!((pid_files(), at.exists()), (0, named));
    }
}

/// With few descriptors it is refused, or served; it never hangs, and leaves no mount without workers.
#[test]
fn a_mount_with_too_few_descriptors_is_refused_before_it_is_made() {
    if !support::have_fuse() {
        return;
    }
    let folder = scratch();
    let (image, at) = (unpack(folder.path()), folder.path().join("mnt"));
    fs::create_dir(&at).unwrap();
    for (limit, expected) in [(10, 3), (30, 3), (47, 0), (60, 0)] {
        let script = format!("ulimit -n {limit}; exec \"$0\" \"$@\"");
        let mut shell = Command::new("timeout");
        shell.args(["60", "sh", "-c", &script]).arg(vhdmount().get_program()).arg(&image).arg(&at);
        let (code, _, stderr) = outcome(&shell.output().unwrap());
        assert_eq!(code, Some(expected), "{limit}: {stderr}");
        if expected == 0 {
            assert!(at.join("p3/Windows").is_dir());
            run(vhdmount().arg("-u").arg(&at));
        } else {
            assert!(stderr.contains("ulimit -n") || stderr.contains("os error 24"), "{limit}: {stderr}");
        }
        assert_eq!(fs::read_dir(&at).unwrap().count(), 0);
    }
}

#[test]
fn the_mount_table_has_the_name_of_the_image_as_it_is() {
    if !support::have_fuse() {
        return;
    }
    let folder = scratch();
    let (image, at) = (folder.path().join(r"disk, old\ one.vhdx"), folder.path().join("mnt"));
    fs::rename(unpack(folder.path()), &image).unwrap();
    fs::create_dir(&at).unwrap();
    run(vhdmount().arg(&image).arg(&at));
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let source = image.to_str().unwrap().replace('\\', r"\134").replace(' ', r"\040");
    let found = mounts.lines().any(|line| line.split(' ').next() == Some(&source));
    run(vhdmount().arg("-u").arg(&at));
    assert!(found, "{source} is not in {mounts}");
}

/// What the kernel answers depends on SELinux; that it is asked does not.
#[test]
fn security_contexts_are_the_kernels_to_judge() {
    if !support::have_fuse() {
        return;
    }
    let folder = scratch();
    let (image, at) = (unpack(folder.path()), folder.path().join("mnt"));
    fs::create_dir(&at).unwrap();
    for option in
        [r#"context="system_u:object_r:samba_share_t:s0:c1,c2",ro"#, "fscontext=system_u:object_r:x:s0"]
    {
        let output = vhdmount().arg(&image).arg(&at).args(["-o", option]).output().unwrap();
        let (code, _, stderr) = outcome(&output);
        assert!(code == Some(0) || stderr.contains("Invalid argument"), "{stderr}");
        let _ = vhdmount().arg("-u").arg(&at).output();
    }
    let output =
        vhdmount().arg(&image).arg(&at).args(["-o", "iversion,nomand,nosymfollow,X-mount.mkdir"]).output();
    let (code, _, stderr) = outcome(&output.unwrap());
    let _ = vhdmount().arg("-u").arg(&at).output();
    assert_eq!(code, Some(0), "{stderr}");
}

#[test]
fn a_busy_mount_is_not_unmounted() {
    let Some(served) = serve() else { return };
    let file = File::open(served.at.join(".vhdmount/disk.raw")).unwrap();
    let (code, _, stderr) = outcome(&vhdmount().arg("-u").arg(&served.at).output().unwrap());
    assert!(code == Some(3) && stderr.contains("in use"), "{stderr}");
    file.read_exact_at(&mut [0; 512], 0).unwrap();
}

#[test]
fn a_signal_unmounts_and_leaves_open_files_readable() {
    let Some(served) = serve() else { return };
    let file = File::open(served.at.join(".vhdmount/disk.raw")).unwrap();
    served.signal("-TERM");
    wait("it is unmounted", || fs::read_dir(&served.at).unwrap().count() == 0);
    let mut sector = [0; 512];
    file.read_exact_at(&mut sector, 512).unwrap();
    assert_eq!(&sector[..8], b"EFI PART");
    drop(file);
    served.wait_until_ended();
    assert!(!served.folder.path().join("pid").exists(), "the pid file is removed");
}

/// Runs a script in a mount namespace of its own, as root; `None` where that is not possible.
pub(crate) fn isolated(script: &str, arguments: &[&Path]) -> Option<std::process::Output> {
    let may =
        Command::new("unshare").args(["-m", "true"]).output().is_ok_and(|output| output.status.success());
    if !may {
        support::skip("no right to a mount namespace");
        return None;
    }
    Some(Command::new("unshare").args(["-m", "sh", "-c", script, "sh"]).args(arguments).output().unwrap())
}

/// The program and the demo disk where every user can read them.
pub(crate) fn public(folder: &Path) -> (PathBuf, PathBuf) {
    let program = folder.join("vhdmount");
    fs::copy(env!("CARGO_BIN_EXE_vhdmount"), &program).unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    (program, unpack(folder))
}

#[test]
fn users_mount_through_fusermount3() {
    if !support::have_fuse() || !support::have(&["fusermount3", "setpriv", "unshare"]) {
        return;
    }
    let folder = scratch();
    let (program, image) = public(folder.path());
    let row = manifest().into_iter().find(|row| row.kind == "file").unwrap();
    let script = r#"
        set -e
        mknod "$4/fuse" c 10 229 && chmod 666 "$4/fuse" && mount --bind "$4/fuse" /dev/fuse
        mkdir "$4/mnt" && chown 65534:65534 "$4/mnt"
        user() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
        user "$1" -q --test-sandbox "$2" "$4/mnt"
        user cat "$4/mnt/$3"
        user "$1" -u "$4/mnt"
        test -z "$(ls "$4/mnt")"
    "#;
    let arguments = [program.as_path(), &image, Path::new(&row.path), folder.path()];
    let Some(output) = isolated(script, &arguments) else { return };
    let (code, _, stderr) = outcome(&output);
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(sha256(&output.stdout), row.sha256);
    assert!(stderr.contains("self-test open ") && !stderr.contains("DONE"), "{stderr}");
}

#[test]
fn without_the_fuse_device_the_error_says_what_to_do() {
    let folder = scratch();
    let (program, image) = public(folder.path());
    let script = r#"mount -t tmpfs none /dev && mkdir "$3/mnt" && "$1" "$2" "$3/mnt""#;
    let Some(output) = isolated(script, &[&program, &image, folder.path()]) else { return };
    let (code, _, stderr) = outcome(&output);
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("--device /dev/fuse") && stderr.contains("vhdmount info"), "{stderr}");
}
