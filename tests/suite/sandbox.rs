//! The sandbox: each command tries to get out of it from inside (`--test-sandbox`), and does its work all the same.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::Command,
};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

use crate::{
    chain::{base, child, put},
    support::{
        self,
        demo::{outcome, unpack, vhdmount},
        scratch,
        vhd_writer::{VhdWriter, utf16le},
    },
};

/// What the confined process tries while it searches for the image and its parents, and when the chain is open.
const SEARCH: usize = 17;
const OPEN: usize = 13;

/// The lines of the self-test in what a command printed as errors.
fn attempts<'a>(stderr: &'a str, stage: &str) -> Vec<&'a str> {
    let start = format!("self-test {stage} ");
    stderr.lines().filter(|line| line.starts_with(&start)).collect()
}

fn assert_refused(what: &str, stderr: &str, stage: &str, count: usize) {
    let attempts = attempts(stderr, stage);
    assert_eq!(attempts.len(), count, "{what}: {stderr}");
    for attempt in attempts {
        // Without Landlock files stay open to reading; what follows is not about that.
        let about_files = attempt.contains("open") || attempt.contains("list");
        assert!(attempt.contains(": refused") || about_files && !have_landlock(), "{what}: {attempt}");
    }
}

fn have_landlock() -> bool {
    use landlock::{AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr};
    let oldest = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    oldest.handle_access(AccessFs::ReadFile).is_ok_and(|ruleset| ruleset.create().is_ok())
}

#[test]
fn every_command_is_kept_in_and_does_its_work() {
    let folder = scratch();
    let image = unpack(folder.path()).into_os_string().into_string().unwrap();
    let at = |name: &str| folder.path().join(name).into_os_string().into_string().unwrap();
    let (copy, picture, images) = (at("copy"), at("map.svg"), at(""));
    fs::create_dir(at("elsewhere")).unwrap();
    for (arguments, stages) in [
        (vec!["info", &image], 2),
        (vec!["info", "--json", &image], 2),
        (vec!["ls", "-lR", &image], 2),
        (vec!["ls", "--deleted", &image, "p3"], 2),
        (vec!["cat", &image, "p3/Users/Ada/Documents/Thesis.txt"], 2),
        (vec!["cp", "-a", &image, "p3/Users", &copy], 2),
        (vec!["check", &image], 2),
        (vec!["check", "--json", &image], 2),
        (vec!["map", &image], 2),
        (vec!["map", &image, "--svg", &picture], 2),
        (vec!["capacity", &image], 2),
        (vec!["capacity", "--json", "-r", &images], 1),
    ] {
        let what = arguments.join(" ");
        let confined = vhdmount().args(&arguments).arg("--test-sandbox").output().unwrap();
        let (code, stdout, stderr) = outcome(&confined);
        assert_eq!(code, Some(0), "{what}: {stderr}");
        // A copy into the image's folder may write there.
        match arguments[0] {
            "cp" => assert!(attempts(&stderr, "search").len() == SEARCH, "{stderr}"),
            "map" if arguments.len() > 2 => {}
            "capacity" if arguments.len() > 2 => assert!(!stderr.contains(": DONE"), "{stderr}"),
            _ => assert_refused(&what, &stderr, "search", SEARCH),
        }
        assert_eq!(attempts(&stderr, "open").len(), if stages == 2 { OPEN } else { 0 }, "{what}");
        let mut free = vhdmount();
        free.args(&arguments).arg("--no-sandbox");
        let free = match arguments[0] {
            // What is there is not replaced.
            "cp" => free.arg("-f").output(),
            _ => free.output(),
        };
        let (code, expected, stderr) = outcome(&free.unwrap());
        assert_eq!(code, Some(0), "{what}: {stderr}");
        // What the host has left changes meanwhile.
        if !matches!(arguments[0], "capacity" | "cp" | "map") {
            assert_eq!(stdout, expected, "{what}");
        }
    }
    assert!(Path::new(&copy).join("Ada/Documents/Thesis.txt").exists() && Path::new(&picture).exists());
}

/// A copy to another folder than the image's cannot write beside the image.
#[test]
fn a_copy_writes_below_its_destination_alone() {
    let folder = scratch();
    let image = unpack(folder.path());
    let elsewhere = scratch();
    let mut command = vhdmount();
    command.args(["cp", "--test-sandbox"]).arg(&image);
    command.arg("p3/Users/Ada/Documents/Thesis.txt").arg(elsewhere.path());
    let (code, _, stderr) = outcome(&command.output().unwrap());
    assert_eq!(code, Some(0), "{stderr}");
    assert_refused("cp", &stderr, "search", SEARCH);
    assert!(elsewhere.path().join("Thesis.txt").exists());
}

/// In the foreground and in the background, confined and not: what the mount shows is the same.
#[test]
fn the_process_that_serves_a_mount_is_kept_in() {
    if !support::have_fuse() {
        return;
    }
    let folder = scratch();
    let (image, at) = (scattered(folder.path()), folder.path().join("mnt"));
    fs::rename(folder.path().join("roots/root.vhd"), folder.path().join("roots/renamed.vhd")).unwrap();
    fs::create_dir(&at).unwrap();
    let mut seen = Vec::new();
    for options in [&["--test-sandbox"][..], &["--no-sandbox"], &["-o", "no_sandbox"]] {
        let output = vhdmount().arg(&image).arg(&at).args(options).output().unwrap();
        let (code, _, stderr) = outcome(&output);
        // The chain holds noise: there is no volume.
        assert_eq!(code, Some(7), "{stderr}");
        let raw = fs::read(at.join(".vhdmount/disk.raw")).map(|bytes| support::sha256(&bytes));
        // Looked at anew, with all parents, when the image has changed.
        fs::File::options()
            .append(true)
            .open(&image)
            .unwrap()
            .set_modified(std::time::SystemTime::now())
            .unwrap();
        let capacity = fs::read_to_string(at.join(".capacity.json"));
        support::run(vhdmount().arg("-u").arg(&at));
        if options == ["--test-sandbox"] {
            assert_refused("mount", &stderr, "search", SEARCH);
            assert_refused("mount", &stderr, "open", OPEN);
        }
        let capacity: serde_json::Value = serde_json::from_str(&capacity.unwrap()).unwrap();
        seen.push((raw.unwrap(), capacity["virtual_size"].clone(), capacity["note"].clone()));
    }
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
}

/// `disks/child.vhd`, whose parent is `bases/base.vhd` beside its folder, named in other letters, and that one's parent is in a
/// third folder.
fn scattered(folder: &Path) -> std::path::PathBuf {
    let naming = |parent: &VhdWriter, locator: &str, n: u8| {
        let mut image = child(parent, "", n);
        image.locators = vec![(*b"W2ru", utf16le(locator))];
        image
    };
    for name in ["disks", "bases", "roots"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    let root = base();
    let middle = naming(&root, r"..\roots\renamed.vhd", 2);
    let top = naming(&middle, r"..\Bases\BASE.vhd", 3);
    put(&folder.join("roots/root.vhd"), &root);
    fs::write(folder.join("roots/renamed.vhd"), "not a disk").unwrap();
    put(&folder.join("bases/base.vhd"), &middle);
    put(&folder.join("disks/child.vhd"), &top)
}

/// The rules for parents are the same as without a sandbox, though the process that reads the image cannot open what lies
/// elsewhere.
#[test]
fn parents_elsewhere_are_opened_by_the_other_process() {
    let folder = scratch();
    let image = scattered(folder.path());
    // The third disk has another name than its child says, in a folder that only an image named: it is not found by identity.
    let failed = |command: &mut Command| {
        let (code, _, stderr) = outcome(&command.output().unwrap());
        assert_eq!(code, Some(2), "{stderr}");
        stderr
    };
    let confined = failed(vhdmount().arg("info").arg(&image));
    let free = failed(vhdmount().arg("info").arg(&image).arg("--no-sandbox"));
    assert_eq!(confined, free);
    fs::rename(folder.path().join("roots/root.vhd"), folder.path().join("roots/renamed.vhd")).unwrap();
    let info = |command: &mut Command| {
        let (code, stdout, stderr) = outcome(&command.output().unwrap());
        assert_eq!(code, Some(0), "{stderr}");
        (stdout, stderr)
    };
    let (confined, stderr) = info(vhdmount().args(["info", "-q", "--test-sandbox"]).arg(&image));
    assert_refused("info", &stderr, "search", SEARCH);
    assert_eq!(confined, info(vhdmount().args(["info", "--no-sandbox"]).arg(&image)).0);
    let stderr = failed(vhdmount().arg("info").arg("--confine").arg(&image));
    assert!(stderr.contains("not described"), "{stderr}");
}

/// Of a user whose process nobody may look into, `/proc` still shows that process its own descriptors.
#[test]
fn parents_are_found_by_any_user() {
    if !nix::unistd::geteuid().is_root() || !support::have(&["setpriv"]) {
        return;
    }
    let folder = scratch();
    let image = scattered(folder.path());
    fs::rename(folder.path().join("roots/root.vhd"), folder.path().join("roots/renamed.vhd")).unwrap();
    let program = folder.path().join("vhdmount");
    fs::copy(env!("CARGO_BIN_EXE_vhdmount"), &program).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
    let (code, stdout, stderr) =
        outcome(&command.args(["info", "--test-sandbox"]).arg(&image).output().unwrap());
    assert_eq!(code, Some(0), "{stderr}");
    assert_refused("info", &stderr, "search", SEARCH);
    assert!(stdout.contains("renamed.vhd"), "{stdout}");
}

/// A kernel without Landlock: the calls are not there.
fn without_landlock(command: &mut Command) -> &mut Command {
    use nix::libc;
    let calls =
        [libc::SYS_landlock_create_ruleset, libc::SYS_landlock_add_rule, libc::SYS_landlock_restrict_self];
    let filter = SeccompFilter::new(
        BTreeMap::from(calls.map(|call| (call, Vec::new()))),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS.unsigned_abs()),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    // SAFETY: the filter was made before; installing it allocates nothing.
    unsafe { command.pre_exec(move || apply_filter(&program).map_err(std::io::Error::other)) }
}

#[test]
fn without_landlock_the_rest_is_kept_out_and_verbose_output_says_so() {
    let folder = scratch();
    let image = unpack(folder.path());
    if support::have_fuse() {
        let at = folder.path().join("mnt");
        fs::create_dir(&at).unwrap();
        support::run(without_landlock(vhdmount().arg(&image).arg(&at)));
        assert!(at.join("p3/Windows").is_dir());
        support::run(vhdmount().arg("-u").arg(&at));
    }
    let output = without_landlock(vhdmount().args(["ls", "-v", "--test-sandbox"]).arg(&image)).output();
    let (code, stdout, stderr) = outcome(&output.unwrap());
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("p3") && stderr.contains("does not offer Landlock"), "{stderr}");
    for attempt in ["connect", "trace another process", "start a program", "become another program", "mount"]
    {
        assert!(stderr.contains(&format!("self-test search {attempt}: refused")), "{attempt}: {stderr}");
    }
}

/// Root opens images for other users, whose files it may read without being their owner.
#[test]
fn root_reads_private_images_and_leaves_no_trace() {
    if !nix::unistd::geteuid().is_root() {
        support::skip("not root");
        return;
    }
    let folder = scratch();
    let image = unpack(folder.path());
    fs::set_permissions(&image, fs::Permissions::from_mode(0o600)).unwrap();
    nix::unistd::chown(&image, Some(65534.into()), Some(65534.into())).unwrap();
    let (code, stdout, stderr) = outcome(&vhdmount().arg("ls").arg(&image).output().unwrap());
    assert!(code == Some(0) && stdout.contains("p3"), "{stderr}");
}
