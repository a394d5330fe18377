//! In a container: namespaces of its own, a root folder with the command and its libraries alone, hardly any capabilities.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::{
    sandbox::{attempts, without_landlock},
    serving::public,
    support::{self, demo::outcome, run, scratch},
};

/// A root folder with nothing but the command, its libraries and an image; `None`, and SKIPPED, where no container can be made.
fn root(folder: &Path) -> Option<PathBuf> {
    if !support::have(&["unshare", "chroot", "setpriv", "ldd"]) {
        return None;
    }
    let made = Command::new("unshare").args(["-mpf", "chroot", "/", "true"]).output();
    if !made.is_ok_and(|output| output.status.success()) {
        support::skip("no right to namespaces and another root");
        return None;
    }
    let (program, image) = public(folder);
    let root = folder.join("root");
    for name in ["", "bin", "dev", "img", "mnt", "proc", "tmp"] {
        fs::create_dir(root.join(name)).unwrap();
    }
    let listed = run(support::tool("ldd").arg(&program)).stdout;
    for library in String::from_utf8(listed).unwrap().split_whitespace().filter(|word| word.starts_with('/'))
    {
        let at = root.join(library.trim_start_matches('/'));
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::copy(library, at).unwrap();
    }
    fs::rename(program, root.join("bin/vhdmount")).unwrap();
    fs::rename(image, root.join("img/demo.vhdx")).unwrap();
    Some(root)
}

/// Runs `chroot ROOT` with these arguments in namespaces of its own, with `/proc` if that is there, as root with the capability
/// for chroot alone, or with all of them.
fn contained(root: &Path, with_proc: bool, all: bool, landlock: bool, arguments: &[&str]) -> Output {
    let mut command = Command::new("unshare");
    command.arg("-mpf");
    if with_proc {
        command.arg(format!("--mount-proc={}", root.join("proc").display()));
    }
    if !all {
        command.args(["setpriv", "--inh-caps=-all", "--bounding-set=-all,+sys_chroot"]);
    }
    command.arg("chroot").arg(root).args(arguments);
    if !landlock {
        without_landlock(&mut command);
    }
    command.output().unwrap()
}

#[test]
fn commands_work_in_a_bare_container_and_are_kept_in() {
    let folder = scratch();
    let Some(root) = root(folder.path()) else { return };
    for (with_proc, all, landlock) in
        [(true, false, true), (false, false, true), (true, true, false), (false, true, true)]
    {
        for arguments in [
            &["info"][..],
            &["ls", "-lR"],
            &["cat", "p3/Users/Ada/Documents/Thesis.txt"],
            &["check"],
            &["cp", "-r", "p3/Users"],
        ] {
            let mut all_arguments = vec!["vhdmount", arguments[0], "--test-sandbox", "/img/demo.vhdx"];
            all_arguments.extend(&arguments[1..]);
            let copy = format!("/tmp/copy-{with_proc}-{all}-{landlock}");
            all_arguments.extend((arguments[0] == "cp").then_some(&*copy));
            let what = format!("{arguments:?}, /proc {with_proc}, capabilities {all}, Landlock {landlock}");
            let (code, _, stderr) = outcome(&contained(&root, with_proc, all, landlock, &all_arguments));
            assert_eq!(code, Some(0), "{what}: {stderr}");
            // Not there is as good as refused.
            for stage in ["search", "open", "broker"] {
                let attempts = attempts(&stderr, stage);
                assert!(!attempts.is_empty(), "{what}: {stderr}");
                let done = attempts.iter().filter(|attempt| attempt.contains("DONE"));
                let hole = |attempt: &&&str| {
                    !["open ", "write ", "make a folder "].iter().any(|left| attempt.contains(left))
                };
                match landlock {
                    true => assert_eq!(done.count(), 0, "{what}: {stderr}"),
                    false => assert_eq!(done.filter(hole).count(), 0, "{what}: {stderr}"),
                }
            }
        }
    }
}

/// Root of a container that may not mount reads what to do.
#[test]
fn a_container_mounts_if_it_has_the_right_to() {
    let folder = scratch();
    let Some(root) = root(folder.path()).filter(|_| support::have_fuse()) else { return };
    let mount = ["vhdmount", "-q", "--test-sandbox", "/img/demo.vhdx", "/mnt"];
    let (code, _, stderr) = outcome(&contained(&root, true, false, true, &mount));
    assert!(code == Some(3) && stderr.contains("--cap-add SYS_ADMIN"), "{stderr}");
    let script = r#"
        set -e
        mknod "$1/dev/fuse" c 10 229
        ! chroot "$1" vhdmount -q /img/demo.vhdx /mnt
        mknod "$1/dev/null" c 1 3
        chroot "$1" vhdmount -q --test-sandbox /img/demo.vhdx /mnt
        ls "$1/mnt/p3"
        chroot "$1" vhdmount -u /mnt
        test -z "$(ls "$1/mnt")"
        mount -t tmpfs none "$1/proc"
        ! setpriv --inh-caps=-all --bounding-set=-all,+sys_chroot chroot "$1" vhdmount -q /img/demo.vhdx /mnt
    "#;
    let mut command = Command::new("unshare");
    command.arg("-mpf").arg(format!("--mount-proc={}", root.join("proc").display()));
    let (code, stdout, stderr) =
        outcome(&command.args(["sh", "-c", script, "sh"]).arg(&root).output().unwrap());
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("Windows"), "{stdout}");
    assert!(stderr.contains("self-test keeper ") && !stderr.contains("DONE"), "{stderr}");
    assert!(stderr.contains("/dev/null: No such file"), "{stderr}");
    assert!(stderr.contains("--cap-add SYS_ADMIN"), "{stderr}");
}

/// A user namespace, as of containers without root: its root is no one outside.
#[test]
fn in_a_user_namespace_it_is_the_same() {
    let may = Command::new("unshare").args(["-Urmpf", "--mount-proc", "true"]).output();
    if !support::have(&["unshare"]) || !support::have_fuse() {
        return;
    }
    if !may.is_ok_and(|output| output.status.success()) {
        support::skip("no right to a user namespace");
        return;
    }
    let folder = scratch();
    let (program, image) = public(folder.path());
    let script = r#"
        set -e
        "$1" ls -lR --test-sandbox "$2"
        mkdir "$3/mnt"
        "$1" -q --test-sandbox "$2" "$3/mnt"
        ls "$3/mnt/p3"
        "$1" -u "$3/mnt"
        test -z "$(ls "$3/mnt")"
    "#;
    let mut command = Command::new("unshare");
    command.args(["-Urmpf", "--mount-proc", "sh", "-c", script, "sh"]).arg(&program).arg(&image);
    let (code, stdout, stderr) = outcome(&command.arg(folder.path()).output().unwrap());
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("\nWindows"), "{stdout}");
    assert!(stderr.contains("self-test broker ") && stderr.contains("self-test keeper "), "{stderr}");
    assert!(!stderr.contains("DONE"), "{stderr}");
}
