//! The command without a mount: what it prints and how it ends.

use std::process::Command;

use crate::support::{
    self,
    demo::{manifest, only_disk, outcome, unpack, vhdmount},
    run, scratch, sha256,
};

fn json(command: &mut Command) -> serde_json::Value {
    serde_json::from_slice(&run(command).stdout).expect("JSON")
}

#[test]
fn info_names_container_partitions_and_volumes() {
    let folder = scratch();
    let image = unpack(folder.path());
    let info = json(vhdmount().args(["info", "--json"]).arg(&image));
    assert_eq!((&info["format"], &info["kind"]), (&"vhdx".into(), &"dynamic".into()));
    assert_eq!(info["partition_scheme"], "gpt");
    let volumes: Vec<_> = info["partitions"].as_array().unwrap().iter().map(|p| &p["volume"]).collect();
    assert_eq!((&volumes[0]["filesystem"], &volumes[0]["label"]), (&"fat32".into(), &"SYSTEM".into()));
    assert_eq!((&volumes[2]["filesystem"], &volumes[2]["label"]), (&"ntfs".into(), &"Windows".into()));
    let text = outcome(&run(vhdmount().arg("info").arg(&image))).1;
    for part in ["vhdx dynamic", "EFI system partition", "Microsoft reserved", "fat32", "ntfs", "64.0 GiB"] {
        assert!(text.contains(part), "{part} in:\n{text}");
    }
    if support::have(&["qemu-img"]) {
        let other = json(support::tool("qemu-img").args(["info", "--output=json"]).arg(&image));
        assert_eq!(info["virtual_size"], other["virtual-size"]);
    }
}

#[test]
fn readers_that_have_seen_enough_change_no_exit_code() {
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    let failed = vhdmount().args(["info", "/nowhere"]).stderr(closed()).status().unwrap();
    assert_eq!(failed.code(), Some(2));
    let folder = scratch();
    let image = unpack(folder.path());
    let mut copy = vhdmount();
    copy.arg("cp").arg(&image).args(["p3/none", "p3/nowhere"]).arg(folder.path()).stderr(closed());
    assert_eq!(copy.status().unwrap().code(), Some(4));
    let shown = vhdmount().arg("demo").stdout(closed()).stderr(closed()).status().unwrap();
    assert_eq!(shown.code(), Some(0));
}

#[test]
fn cat_writes_what_the_manifest_says() {
    let folder = scratch();
    let image = unpack(folder.path());
    for row in manifest().iter().filter(|row| matches!(row.kind, "file" | "stream")).step_by(7) {
        let output = run(vhdmount().arg("cat").arg(&image).arg(&row.path));
        assert_eq!(sha256(&output.stdout), row.sha256, "{}", row.path);
    }
    let through_alias = run(vhdmount().arg("cat").arg(&image).arg("esp/EFI/Microsoft/Boot/BCD"));
    let row = manifest().into_iter().find(|row| row.path.ends_with("Boot/BCD")).unwrap();
    assert_eq!(sha256(&through_alias.stdout), row.sha256);
    // As `dir /r` of Windows names streams.
    let stream = manifest().into_iter().find(|row| row.path.ends_with(":Zone.Identifier")).unwrap();
    let named = run(vhdmount().arg("cat").arg(&image).arg(format!("{}:$DATA", stream.path)));
    assert_eq!(sha256(&named.stdout), stream.sha256);
    let unnamed = run(vhdmount().arg("cat").arg(&image).arg("esp/EFI/Microsoft/Boot/BCD::$data"));
    assert_eq!(sha256(&unnamed.stdout), row.sha256);
    // Through a junction with an absolute target, without regard to case.
    run(vhdmount().arg("cat").arg(&image).arg("p3/documents AND settings/ada/documents/read me first.txt"));
}

#[test]
fn ls_lists_the_whole_tree() {
    let folder = scratch();
    let image = unpack(folder.path());
    let listed = outcome(&run(vhdmount().args(["ls", "-R"]).arg(&image))).1;
    let mut dir = String::new();
    let mut found = std::collections::BTreeSet::new();
    for line in listed.lines().filter(|line| !line.is_empty()) {
        match line.strip_suffix(':') {
            Some(head) if head.starts_with('/') => dir = head.trim_start_matches('/').to_owned(),
            _ => drop(found.insert(format!("{dir}/{line}").trim_start_matches('/').to_owned())),
        }
    }
    for row in manifest().iter().filter(|row| row.kind != "stream") {
        assert!(found.contains(&row.path), "{} is not listed", row.path);
    }
    let long = outcome(&run(vhdmount().args(["ls", "-l"]).arg(&image).arg("p3"))).1;
    assert!(
        long.lines().any(|line| line.starts_with('l') && line.ends_with("Documents and Settings -> Users")),
        "{long}"
    );
}

#[test]
fn capacity_is_toml_and_json() {
    let folder = scratch();
    let image = unpack(folder.path());
    let text = outcome(&run(vhdmount().arg("capacity").arg(&image))).1;
    let toml: toml::Value = toml::from_str(&text).expect("TOML");
    assert_eq!(toml["virtual_size"].as_integer(), Some(64 << 30));
    assert!(
        toml["volume"]["p3"]["free_achievable"].as_integer()
            <= toml["volume"]["p3"]["free_reported"].as_integer()
    );
    let json = json(vhdmount().args(["capacity", "--json"]).arg(&image));
    assert_eq!(only_disk(&json)["virtual_size"], 64_u64 << 30);
}

#[test]
fn exit_codes_are_those_of_the_help_text() {
    let folder = scratch();
    let image = unpack(folder.path());
    let nowhere = folder.path().join("nowhere");
    let code = |command: &mut Command| outcome(&command.output().unwrap());
    for (command, expected, part) in [
        (vhdmount().arg("--no-such-option"), 1, "--no-such-option"),
        (&mut vhdmount(), 1, "IMAGE"),
        (vhdmount().arg("info").arg(&image).args(["--codepage", "99999"]), 1, "437"),
        (vhdmount().arg("inf").arg(&image), 2, "inf: no such file, and no command"),
        (vhdmount().arg("info").arg(&nowhere), 2, "nowhere"),
        (vhdmount().arg("cat").arg(&image).arg("p3/Windows/missing"), 4, "missing"),
        (vhdmount().arg("ls").arg(&image).arg("p9"), 4, "p9"),
        (vhdmount().arg("ls").arg(&image).arg("Windows"), 4, "where paths begin"),
        (vhdmount().arg("ls").arg(&image).arg(r"p3\Windows"), 4, "separates names"),
        (vhdmount().args(["ls", "--partition", "2"]).arg(&image), 2, "partition 2"),
    ] {
        let (got, _, stderr) = code(command);
        assert_eq!(got, Some(expected), "{command:?}: {stderr}");
        assert!(stderr.contains(part), "{command:?}: {stderr}");
    }
    assert_eq!(code(vhdmount().arg("--help")).0, Some(0));
    assert_eq!(code(vhdmount().arg("help")).0, Some(0));
    assert_eq!(code(vhdmount().arg("--version")).0, Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn exit_codes_of_a_mount_are_those_of_the_help_text() {
    let folder = scratch();
    let image = unpack(folder.path());
    let not_empty = folder.path().join("text");
    std::fs::write(&not_empty, "text").unwrap();
    for (command, expected, part) in [
        (vhdmount().arg(&image).arg(folder.path()).args(["-o", "rw"]), 1, "--overlay CHILD"),
        (vhdmount().arg(&image).arg(folder.path()).args(["-o", "codepage=1"]), 1, "437"),
        (vhdmount().arg(&image).arg(folder.path()).args(["-o", "parent="]), 1, "path"),
        (vhdmount().arg(&image).arg(folder.path()).arg("p3"), 1, "\"p3\""),
        (vhdmount().arg(&image).arg(&not_empty), 3, "text"),
    ] {
        let (got, _, stderr) = outcome(&command.output().unwrap());
        assert_eq!(got, Some(expected), "{command:?}: {stderr}");
        assert!(stderr.contains(part), "{command:?}: {stderr}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_mount_without_a_readable_volume_has_an_exit_code_of_its_own() {
    if !crate::support::have_fuse() {
        return;
    }
    let folder = scratch();
    let (image, at) = (folder.path().join("noise.raw"), folder.path().join("mnt"));
    std::fs::write(&image, vec![7; 1 << 20]).unwrap();
    std::fs::create_dir(&at).unwrap();
    // mount(8) calls a link, and would take another code for a failure.
    let helper = folder.path().join("mount.fuse.vhdmount");
    std::os::unix::fs::symlink(vhdmount().get_program(), &helper).unwrap();
    for (mut command, expected) in [(vhdmount(), 7), (Command::new(&helper), 0)] {
        let (code, stdout, stderr) = outcome(&command.arg(&image).arg(&at).output().unwrap());
        let raw = std::fs::read(at.join(".vhdmount/disk.raw")).map(|bytes| bytes.len());
        let _ = vhdmount().arg("-u").arg(&at).output();
        assert_eq!((code, raw.ok()), (Some(expected), Some(1 << 20)), "{stderr}");
        assert!(stdout.contains("No volume is readable"), "{stdout}");
    }
}

#[test]
fn ls_takes_several_paths_and_prints_sizes_for_people() {
    let folder = scratch();
    let image = unpack(folder.path());
    let paths = ["p3/Users/Ada", "p3/Users/Ada/Documents/mail.mbox", "esp"];
    let text = outcome(&run(vhdmount().args(["ls", "-lh"]).arg(&image).args(paths))).1;
    for part in ["p3/Users/Ada:\n", "1.6 MiB ", "\nesp:\n"] {
        assert!(text.contains(part), "{part} in:\n{text}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_no_success() {
    let Ok(full) = std::fs::File::options().write(true).open("/dev/full") else {
        support::skip("there is no /dev/full");
        return;
    };
    let folder = scratch();
    let image = unpack(folder.path());
    for arguments in [&["info"][..], &["capacity"], &["ls"], &["cat", ".capacity"]] {
        let mut command = vhdmount();
        command.arg(arguments[0]).arg(&image).args(&arguments[1..]).stdout(full.try_clone().unwrap());
        let (code, _, stderr) = outcome(&command.output().unwrap());
        assert!(code == Some(4) && stderr.contains("standard output"), "{arguments:?}: {stderr}");
    }
}

#[test]
fn other_formats_are_named() {
    if !support::have(&["qemu-img"]) {
        return;
    }
    let folder = scratch();
    for (format, name) in
        [("qcow2", "qcow2"), ("vmdk", "VMDK"), ("vdi", "VDI"), ("qed", "QED"), ("parallels", "Parallels")]
    {
        let image = folder.path().join(format);
        run(support::tool("qemu-img").args(["create", "-q", "-f", format]).arg(&image).arg("8M"));
        let (code, _, stderr) = outcome(&vhdmount().arg("info").arg(&image).output().unwrap());
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.to_lowercase().contains(&name.to_lowercase()), "{stderr}");
    }
}

#[test]
fn demo_needs_no_fuse() {
    let (_, text, stderr) = outcome(&run(vhdmount().args(["demo", "--no-mount"])));
    assert!(text.contains("each SHA-256 as in the manifest"), "{text}");
    assert!(!text.contains("PROBLEM") && stderr.is_empty(), "{text}{stderr}");
}

/// On other systems the demo does without a mount.
#[cfg(target_os = "linux")]
#[test]
fn demo_mounts_without_a_warning() {
    if !support::have_fuse() {
        return;
    }
    let (_, text, stderr) = outcome(&run(vhdmount().arg("demo")));
    assert!(text.contains("Mounted at") && text.contains("each SHA-256 as in the manifest"), "{text}");
    assert!(!text.contains("PROBLEM") && stderr.is_empty(), "{text}{stderr}");
}
