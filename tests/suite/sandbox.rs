//! The sandbox: each command tries to get out of it from inside (`--test-sandbox`), and does its work all the same.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::{Command, Stdio},
};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

use crate::{
    chain::{base, child, put},
    serving::{public, wait},
    support::{
        self,
        demo::{outcome, unpack, vhdmount},
        scratch,
        vhd_writer::{VhdWriter, utf16le},
    },
};

/// What the confined process tries while it searches for the image and its parents, and when the chain is open; what the
/// process outside tries that opens parents; and what the keeper of a mount and its guard try.
const SEARCH: usize = 17;
const OPEN: usize = 13;
const BROKER: usize = 11;
const KEEPER: usize = 8;

/// The lines of the self-test in what a command printed as errors.
pub(crate) fn attempts<'a>(stderr: &'a str, stage: &str) -> Vec<&'a str> {
    let start = format!("self-test {stage} ");
    stderr.lines().filter(|line| line.starts_with(&start)).collect()
}

/// Everything was tried, and was refused by the sandbox, but for what begins with one of `left`.
fn assert_refused_but(left: &[&str], what: &str, stderr: &str, stage: &str, count: usize) {
    let attempts = attempts(stderr, stage);
    assert_eq!(attempts.len(), count, "{what}: {stderr}");
    for attempt in attempts {
        let name = attempt.strip_prefix(&format!("self-test {stage} ")).unwrap();
        // EPERM, EACCES: not because of what is there.
        let refused = attempt.contains("(os error 1)") || attempt.contains("(os error 13)");
        assert!(refused || left.iter().any(|left| name.starts_with(left)), "{what}: {attempt}");
    }
}

fn assert_refused(what: &str, stderr: &str, stage: &str, count: usize) {
    let left = if have_landlock() { &[][..] } else { READING };
    assert_refused_but(left, what, stderr, stage, count);
}

/// Without Landlock all files are open to reading.
const READING: &[&str] = &["open ", "list "];
/// And, for what makes files, to writing.
const WRITING: &[&str] = &["open ", "list ", "write ", "make a folder "];

fn have_landlock() -> bool {
    use landlock::{AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr};
    let oldest = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    oldest.handle_access(AccessFs::ReadFile).is_ok_and(|ruleset| ruleset.create().is_ok())
}

/// How a command is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// As root, where the tests run as root.
    Plain,
    Unprivileged,
    /// By root, as another user.
    As,
    WithoutLandlock,
    Confined,
}

impl Mode {
    const ALL: [Self; 5] = [Self::Plain, Self::Unprivileged, Self::As, Self::WithoutLandlock, Self::Confined];

    /// The modes that this user can start something in.
    fn possible() -> Vec<Self> {
        let root = nix::unistd::geteuid().is_root() && support::have(&["setpriv"]);
        Self::ALL.into_iter().filter(|mode| root || !matches!(mode, Self::Unprivileged | Self::As)).collect()
    }

    fn command(self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        match self {
            Self::Unprivileged => {
                command = Command::new("setpriv");
                command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
            }
            Self::WithoutLandlock => drop(without_landlock(&mut command)),
            _ => {}
        }
        command.args(arguments);
        match self {
            Self::As => command.args(["--user", "nobody"]),
            Self::Confined if !UNSOUGHT.contains(&arguments[0]) => command.arg("--confine"),
            _ => &mut command,
        };
        command
    }

    fn has_landlock(self) -> bool {
        self != Self::WithoutLandlock && have_landlock()
    }

    /// Whether a second process opens files.
    fn has_broker(self) -> bool {
        self != Self::Confined
    }
}

/// Commands that take their parent as an argument, or none.
const UNSOUGHT: [&str; 4] = ["create", "recover", "discard", "reconnect"];

#[test]
fn every_command_is_kept_in_and_does_its_work() {
    let (folder, made) = (scratch(), scratch());
    let (program, image) = public(folder.path());
    fs::set_permissions(made.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let text = |path: std::path::PathBuf| path.into_os_string().into_string().unwrap();
    let image = text(image);
    for mode in Mode::possible() {
        let at = |name: &str| text(made.path().join(format!("{name}-{mode:?}")));
        let (copy, svg, vhd, new) = (at("copy"), at("map.svg"), at("new.vhd"), at("new.vhdx"));
        let child = at("child.vhdx");
        crate::support::run(
            vhdmount().args(["create", "-q", "--format", "vhdx", &child, "--parent", &image]),
        );
        fs::set_permissions(&child, fs::Permissions::from_mode(0o666)).unwrap();
        for (arguments, narrowed) in [
            (vec!["info", &image], true),
            (vec!["info", "--json", &image], true),
            (vec!["ls", "-lR", &image, "p3"], true),
            (vec!["ls", "--deleted", &image, "p3"], true),
            (vec!["cat", &image, "p3/Users/Ada/Documents/Thesis.txt"], true),
            (vec!["cp", "-r", &image, "p3/Users", &copy], true),
            (vec!["check", &image], true),
            (vec!["check", "--json", &image], true),
            (vec!["map", &image], true),
            (vec!["map", &image, "--svg", &svg], true),
            (vec!["capacity", &image], true),
            (vec!["diff", &child, "--parent", &image], true),
            (vec!["capacity", &image, &image], false),
            (vec!["convert", "-q", &image, &vhd], true),
        ] {
            let what = format!("{mode:?}: {}", arguments.join(" "));
            let tested = mode.command(&program, &arguments).arg("--test-sandbox").output();
            let (code, stdout, stderr) = outcome(&tested.unwrap());
            assert_eq!(code, Some(0), "{what}: {stderr}");
            let writes = matches!(arguments[0], "cp" | "convert") || arguments.contains(&"--svg");
            let left = match mode.has_landlock() {
                true => &[][..],
                false if writes => WRITING,
                false => READING,
            };
            assert_refused_but(left, &what, &stderr, "search", SEARCH);
            assert_refused_but(left, &what, &stderr, "open", if narrowed { OPEN } else { 0 });
            assert_refused_but(&[], &what, &stderr, "broker", if mode.has_broker() { BROKER } else { 0 });
            let free = vhdmount().args(&arguments).arg("--no-sandbox").output();
            // What the host has left changes meanwhile, and what was made is not made again.
            if !matches!(arguments[0], "capacity" | "map") && !writes {
                assert_eq!(stdout, outcome(&free.unwrap()).1, "{what}");
            }
        }
        assert!(Path::new(&copy).join("Ada/Documents/Thesis.txt").exists() && Path::new(&svg).exists());
        assert!(fs::metadata(&vhd).unwrap().len() > 0);
        for arguments in [
            &["create", &new, "--size", "1G", "--test-sandbox"][..],
            &["recover", &child, "--test-sandbox"],
            &["reconnect", &child, "--parent", &image, "--test-sandbox"],
            &["discard", "-f", &child, "--test-sandbox"],
        ] {
            let (code, _, stderr) = outcome(&mode.command(&program, arguments).output().unwrap());
            assert_eq!(code, Some(0), "{mode:?} {arguments:?}: {stderr}");
            assert!(!stderr.is_empty() || !mode.has_landlock(), "{mode:?} {arguments:?}");
            assert!(!mode.has_landlock() || !stderr.contains("DONE"), "{mode:?} {arguments:?}: {stderr}");
        }
        assert!(!Path::new(&child).exists(), "{mode:?}");
    }
}

/// What is opened later than others keeps the folders that the user named, and nothing else.
#[test]
fn folders_are_kept_where_images_are_sought_in_them() {
    let folder = scratch();
    unpack(folder.path());
    let mut command = vhdmount();
    command.args(["capacity", "--json", "--test-sandbox", "-r"]).arg(folder.path());
    let (code, stdout, stderr) = outcome(&command.output().unwrap());
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("demo.vhdx") && !attempts(&stderr, "search").is_empty(), "{stdout}");
    assert!(!have_landlock() || !stderr.contains("DONE"), "{stderr}");
}

/// A copy to another folder than the image's cannot write beside the image; what reads alone writes nowhere.
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
    if have_landlock() {
        assert_refused("cp", &stderr, "search", SEARCH);
    }
    assert!(elsewhere.path().join("Thesis.txt").exists());
}

/// In the foreground and in the background, confined and not: what the mount shows is the same.
#[test]
fn the_processes_of_a_mount_are_kept_in() {
    if !support::have_fuse() {
        return;
    }
    let folder = scratch();
    let image = scattered(folder.path());
    fs::rename(folder.path().join("roots/root.vhd"), folder.path().join("roots/renamed.vhd")).unwrap();
    let parents = folder.path().to_str().unwrap();
    let mut seen = Vec::new();
    for (options, landlock) in [
        (&["--test-sandbox"][..], true),
        (&["--test-sandbox", "-f"], true),
        (&["--test-sandbox", "-f"], false),
        (&["--test-sandbox", "-f", "--confine", "--parent-dir", parents], true),
        (&["--test-sandbox", "--confine", "--parent-dir", parents], true),
        (&["--test-sandbox", "-f", "--user", "nobody"], true),
        (&["--test-sandbox", "--user", "nobody"], true),
        (&["--no-sandbox", "-f"], true),
        (&["-o", "no_sandbox"], true),
    ] {
        let root = nix::unistd::geteuid().is_root();
        if options.contains(&"nobody") && !root {
            continue;
        }
        let (stderr, shown) = mounted(&image, &folder.path().join("mnt"), options, landlock);
        seen.push(shown);
        if options.contains(&"--test-sandbox") {
            let left = match landlock && have_landlock() {
                true => &[][..],
                false => &WRITING[..3],
            };
            let what = format!("{options:?}, Landlock: {landlock}");
            assert_refused_but(left, &what, &stderr, "search", SEARCH);
            assert_refused_but(left, &what, &stderr, "open", OPEN);
            // Others start fusermount3, which needs more rights than they have.
            for stage in ["keeper", "guard"] {
                assert_refused_but(&[], &what, &stderr, stage, if root { KEEPER } else { 0 });
            }
        }
    }
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
}

/// What the command said, and what its mount showed: the disk, and its size and notes after the image has changed.
fn mounted(image: &Path, at: &Path, options: &[&str], landlock: bool) -> (String, [serde_json::Value; 3]) {
    fs::create_dir(at).unwrap();
    let mut command = vhdmount();
    command.arg(image).arg(at).args(options).stdout(Stdio::null()).stderr(Stdio::piped());
    if !landlock {
        without_landlock(&mut command);
    }
    let started = command.spawn().unwrap();
    let pid = started.id().to_string();
    let disk = at.join(".vhdmount/disk.raw");
    let look = || {
        let raw = fs::read(&disk).map(|bytes| support::sha256(&bytes));
        // Looked at anew, with all parents, when the image has changed.
        let changed = fs::File::options().append(true).open(image).unwrap();
        changed.set_modified(std::time::SystemTime::now()).unwrap();
        (raw, fs::read_to_string(at.join(".capacity.json")))
    };
    let (output, (raw, capacity)) = match options.contains(&"-f") {
        true => {
            wait("it is served", || disk.exists());
            let seen = look();
            support::run(support::tool("kill").args(["-TERM", &pid]));
            (started.wait_with_output().unwrap(), seen)
        }
        false => {
            let output = started.wait_with_output().unwrap();
            let seen = look();
            support::run(vhdmount().arg("-u").arg(at));
            (output, seen)
        }
    };
    fs::remove_dir(at).unwrap();
    let (code, _, stderr) = outcome(&output);
    // The chain holds noise: there is no volume.
    assert_eq!(code, Some(7), "{options:?}: {stderr}");
    let capacity: serde_json::Value = serde_json::from_str(&capacity.unwrap()).unwrap();
    (stderr, [raw.unwrap().into(), capacity["virtual_size"].clone(), capacity["note"].clone()])
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
    // By another process: a descriptor of this one that writes could be inherited by what other tests start, and the program be busy.
    support::run(support::tool("cp").arg(env!("CARGO_BIN_EXE_vhdmount")).arg(&program));
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
pub(crate) fn without_landlock(command: &mut Command) -> &mut Command {
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
