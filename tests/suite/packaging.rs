//! What a release consists of beside the command: manual pages, completions, archives, manifests, workflows.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{
    demo::{outcome, vhdmount},
    have, have_fuse, quoted, run, scratch, sha256, tool,
};

const SHELLS: [(&str, &[&str]); 3] =
    [("bash", &["bash", "-n"]), ("zsh", &["zsh", "-n"]), ("fish", &["fish", "--no-execute"])];

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The commands that `--help` lists.
fn commands() -> Vec<String> {
    let help = outcome(&run(vhdmount().arg("--help"))).1;
    let listed = help.split("Commands:\n").nth(1).expect("a list of commands").split("\n\n").next().unwrap();
    // Wrapped lines are indented further.
    let lines = listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = lines.map(|line| line.split_whitespace().next().unwrap().to_owned());
    names.filter(|name| name != "help").collect()
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = scratch();
    run(vhdmount().arg("man").arg(folder.path()));
    let commands = commands();
    assert!(commands.len() >= 9, "{commands:?}");
    let mut pages = vec!["man1/vhdmount.1".to_owned()];
    let below = ["reg-query", "reg-export", "reg-diff"].map(str::to_owned);
    pages.extend(commands.iter().chain(&below).map(|name| format!("man1/vhdmount-{name}.1")));
    let root = fs::read_to_string(folder.path().join(&pages[0])).unwrap();
    for page in &pages {
        let text = fs::read_to_string(folder.path().join(page)).unwrap_or_else(|e| panic!("{page}: {e}"));
        assert!(text.contains(".SH NAME\n") && text.contains(".SH SYNOPSIS\n"), "{page}:\n{text}");
        assert!(text.contains(&format!("\"vhdmount {}\"", env!("CARGO_PKG_VERSION"))), "{page}:\n{text}");
    }
    for name in &commands {
        assert!(root.contains(&format!("\\fBvhdmount\\-{name}\\fR(1)")), "SEE ALSO lacks {name}:\n{root}");
    }
    let written = fs::read_dir(folder.path().join("man1")).unwrap().count();
    assert_eq!(written, pages.len());
    // mount(8) knows the command by these names.
    if cfg!(target_os = "linux") {
        for helper in ["mount.fuse.vhdmount", "mount.vhdmount"] {
            let page = fs::read_to_string(folder.path().join(format!("man8/{helper}.8"))).unwrap();
            assert_eq!(page, ".so man1/vhdmount.1\n");
        }
    } else {
        assert!(!folder.path().join("man8").exists(), "other systems have no mount(8)");
    }
    if !have(&["mandoc"]) {
        return;
    }
    for page in &pages {
        let checked =
            tool("mandoc").args(["-Tlint", "-Wwarning"]).arg(folder.path().join(page)).output().unwrap();
        let problems = outcome(&checked).1;
        // The same version makes the same pages: they have no date. Lists of values have a line break too many.
        let tolerated =
            |line: &&str| line.contains("missing date") || line.contains("skipping paragraph macro: br");
        let mut problems = problems.lines().filter(|line| !tolerated(line));
        assert_eq!(problems.next(), None, "{page}");
        let shown = outcome(&run(tool("mandoc").args(["-Tutf8"]).arg(folder.path().join(page)))).1;
        assert!(shown.lines().count() > 10, "{shown}");
    }
}

#[test]
fn completions_are_accepted_by_their_shells() {
    let folder = scratch();
    for (shell, check) in SHELLS {
        let script = run(vhdmount().args(["completions", shell])).stdout;
        let text = String::from_utf8(script).unwrap();
        for command in commands() {
            assert!(text.contains(&command), "{shell} does not know {command}");
        }
        let path = folder.path().join(shell);
        fs::write(&path, text).unwrap();
        if have(&[check[0]]) {
            run(tool(check[0]).args(&check[1..]).arg(&path));
        }
    }
    let script = outcome(&run(vhdmount().args(["completions", "powershell"]))).1;
    assert!(script.contains("Register-ArgumentCompleter -Native -CommandName 'vhdmount'"), "{script}");
    for command in commands() {
        assert!(script.contains(&format!("'vhdmount;{command}'")), "PowerShell does not know {command}");
    }
    if have(&["bash"]) {
        // A path is left to bash, which knows how to quote it.
        fs::write(folder.path().join("my parent.vhd"), "").unwrap();
        for (words, answer) in [("cap", "capacity"), ("--parent my", ""), ("map --output my", "")] {
            let (word, before) =
                words.rsplit_once(' ').map_or((words, "vhdmount"), |(all, word)| (word, all));
            let before = before.rsplit(' ').next().unwrap();
            let ask = format!(
                "cd {}; source ./bash; COMP_WORDS=(vhdmount {words}); COMP_CWORD={}; _vhdmount vhdmount {word} {before}; echo \"${{COMPREPLY[*]}}\"",
                quoted(folder.path()),
                words.split(' ').count()
            );
            assert_eq!(outcome(&run(tool("bash").args(["-c", &ask]))).1.trim(), answer, "{words}");
        }
    }
}

#[test]
fn a_release_archive_has_the_stated_layout() {
    if !have(&["python3", "tar", "strip"]) {
        return;
    }
    let folder = scratch();
    // What makes a debug build large need not be compressed.
    let small = folder.path().join("small");
    run(tool("strip").arg("-o").arg(&small).arg(env!("CARGO_BIN_EXE_vhdmount")));
    let archive = |name: &str| {
        let mut command = tool("python3");
        // No `__pycache__` beside the scripts.
        command.arg("-B").arg(project("packaging/archive.py")).arg(&small);
        command.arg("x86_64-unknown-linux-gnu").arg(folder.path().join(name));
        PathBuf::from(outcome(&run(command.env("SOURCE_DATE_EPOCH", "1700000000"))).1.trim())
    };
    let (one, other) = std::thread::scope(|scope| {
        let other = scope.spawn(|| archive("other"));
        (archive("one"), other.join().unwrap())
    });
    let top = format!("vhdmount-{}-x86_64-unknown-linux-gnu", env!("CARGO_PKG_VERSION"));
    assert_eq!(one.file_name().unwrap().to_str(), Some(&*format!("{top}.tar.gz")));
    let digest = |path: &Path| sha256(&fs::read(path).unwrap());
    assert_eq!(digest(&one), digest(&other), "the same twice");
    let listed = outcome(&run(tool("tar").arg("-tzf").arg(&one))).1;
    let listed: BTreeSet<_> = listed.lines().collect();
    for name in [
        "vhdmount",
        "README.md",
        "CHANGELOG.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "THIRD-PARTY.txt",
        "vhdmount.cdx.json",
        "docs/capacity.md",
        "man/man1/vhdmount.1",
        "man/man1/vhdmount-info.1",
        "man/man8/mount.fuse.vhdmount.8",
        "completions/vhdmount.bash",
        "completions/_vhdmount",
        "completions/vhdmount.fish",
        "completions/_vhdmount.ps1",
    ] {
        assert!(listed.contains(&*format!("{top}/{name}")), "{name} is not in {listed:#?}");
    }
    run(tool("tar").arg("-xzf").arg(&one).arg("-C").arg(folder.path()));
    let unpacked = folder.path().join(top);
    run(Command::new(unpacked.join("vhdmount")).arg("--version"));
    let licences = fs::read_to_string(unpacked.join("THIRD-PARTY.txt")).unwrap();
    assert!(licences.contains("  fuser ") && licences.contains("  clap "), "{licences}");
    assert!(!licences.contains("  divan "), "what only tests and benchmarks use is not distributed");
    bill_of_materials(&unpacked.join("vhdmount.cdx.json"), &licences);
}

/// The libraries of `licences`, each with the checksum of its package, and dependencies only among them.
fn bill_of_materials(path: &Path, licences: &str) {
    let bill: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert_eq!((bill["bomFormat"].as_str(), bill["specVersion"].as_str()), (Some("CycloneDX"), Some("1.5")));
    let components = bill["components"].as_array().unwrap();
    let list = licences.lines().take_while(|line| !line.starts_with("==="));
    let listed = list.filter(|line| line.starts_with("  ")).count();
    // The standard library and the font are in the licences alone.
    assert_eq!(components.len(), listed - 2);
    let mut known = BTreeSet::from([bill["metadata"]["component"]["bom-ref"].as_str().unwrap()]);
    for component in components {
        let name =
            format!("  {} {}: ", component["name"].as_str().unwrap(), component["version"].as_str().unwrap());
        assert!(licences.contains(&name), "{name}");
        assert_eq!(component["hashes"][0]["content"].as_str().unwrap().len(), 64, "{name}");
        assert!(known.insert(component["bom-ref"].as_str().unwrap()), "{name} twice");
    }
    for dependency in bill["dependencies"].as_array().unwrap() {
        let on = dependency["dependsOn"].as_array().unwrap();
        let mut named = on.iter().chain([&dependency["ref"]]).map(|name| name.as_str().unwrap());
        assert!(named.all(|name| known.contains(name)), "{dependency}");
    }
}

#[test]
fn winget_manifests_are_filled() {
    if !have(&["python3"]) {
        return;
    }
    let folder = scratch();
    let archive = folder.path().join("vhdmount-1.2.3-x86_64-pc-windows-msvc.zip");
    fs::write(&archive, b"an archive").unwrap();
    let mut command = tool("python3");
    command.arg("-B").arg(project("packaging/winget.py")).arg(&archive);
    run(command.args(["https://example.org/vhdmount.zip", "Example"]).arg(folder.path()));
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let version = read("Example.vhdmount.yaml");
    let installer = read("Example.vhdmount.installer.yaml");
    let locale = read("Example.vhdmount.locale.en-US.yaml");
    for (kind, text) in [("version", &version), ("installer", &installer), ("defaultLocale", &locale)] {
        assert!(!text.contains('@'), "{text}");
        assert!(text.contains(&format!("\nManifestType: {kind}\n")), "{text}");
        assert!(text.contains("PackageIdentifier: \"Example.vhdmount\"\n"), "{text}");
        assert!(text.contains(&format!("PackageVersion: \"{}\"\n", env!("CARGO_PKG_VERSION"))), "{text}");
    }
    let hash = sha256(b"an archive").to_uppercase();
    assert!(installer.contains(&format!("InstallerSha256: \"{hash}\"")), "{installer}");
    assert!(installer.contains(r"'vhdmount-1.2.3-x86_64-pc-windows-msvc\vhdmount.exe'"), "{installer}");
    assert!(installer.contains("PackageIdentifier: WinFsp.WinFsp"), "{installer}");
}

#[test]
fn workflows_pin_actions_and_name_what_is_there() {
    let mut scripts = BTreeSet::new();
    for name in ["ci", "release"] {
        let text = fs::read_to_string(project(&format!(".github/workflows/{name}.yml"))).unwrap();
        assert!(text.contains("\npermissions:\n  contents: read\n"), "{name}: more than reading by default");
        for line in text.lines() {
            if let Some(action) = line.split("uses: ").nth(1) {
                let commit =
                    action.split('@').nth(1).unwrap_or_default().split(' ').next().unwrap_or_default();
                let pinned = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
                assert!(pinned && action.contains(" # v"), "{name}: {action} is not pinned");
            }
            let words = line.split_whitespace().filter(|_| !line.trim_start().starts_with('#'));
            scripts.extend(
                words
                    .filter(|word| ["packaging/", ".ci/"].iter().any(|p| word.starts_with(p)))
                    .map(str::to_owned),
            );
        }
    }
    assert!(scripts.len() >= 5, "{scripts:?}");
    for script in scripts {
        assert!(project(&script).is_file(), "{script} is not there");
    }
}

#[test]
fn the_workflows_mount_test_passes_here() {
    if !have(&["python3"]) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let mountpoint = folder.path().join("mnt");
    fs::create_dir(&mountpoint).unwrap();
    let mut command = tool("python3");
    command.arg("-B").arg(project(".ci/mount-demo.py")).arg(env!("CARGO_BIN_EXE_vhdmount")).arg(&mountpoint);
    let said = outcome(&run(&mut command)).1;
    assert!(
        said.contains("ok: 113 files, and no others") && said.contains("ok: the image is unchanged"),
        "{said}"
    );
}
