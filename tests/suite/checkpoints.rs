//! What is said of chains: children beside a base, parents that are missing, trees of a folder, volumes that are not shown.

use std::{fs, path::Path};

use serde_json::Value;

use crate::support::{
    demo::{outcome, unpack, vhdmount},
    have_fuse,
    host::Mounted,
    run, run_mount, scratch,
};

/// A base (the demo disk) with two children, one of which has a child.
fn chains(folder: &Path) {
    fs::rename(unpack(folder), folder.join("base.vhdx")).unwrap();
    for (child, parent) in
        [("one.avhdx", "base.vhdx"), ("two.avhdx", "base.vhdx"), ("three.avhdx", "one.avhdx")]
    {
        run(vhdmount()
            .arg("create")
            .arg(folder.join(child))
            .args(["--format", "vhdx", "--parent"])
            .arg(folder.join(parent)));
    }
}

/// Exit code, standard output and standard error of `vhdmount ARGUMENTS PATH`.
fn told(arguments: &[&str], path: &Path) -> (Option<i32>, String, String) {
    outcome(&vhdmount().args(arguments).arg(path).output().unwrap())
}

#[test]
fn a_base_names_the_children_beside_it() {
    let folder = scratch();
    chains(folder.path());
    let (code, out, err) = told(&["info"], &folder.path().join("base.vhdx"));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("has children beside it (one.avhdx, two.avhdx)"), "{out}");
    let (_, out, _) = told(&["info"], &folder.path().join("one.avhdx"));
    assert!(out.contains("has children beside it (three.avhdx)"), "{out}");
    for leaf in ["two.avhdx", "three.avhdx"] {
        let (_, out, _) = told(&["info"], &folder.path().join(leaf));
        assert!(!out.contains("children"), "{out}");
    }
}

#[test]
fn an_image_without_its_parent_shows_what_it_says_of_itself() {
    let folder = scratch();
    chains(folder.path());
    fs::remove_file(folder.path().join("base.vhdx")).unwrap();
    let image = folder.path().join("three.avhdx");
    let (code, out, err) = told(&["info"], &image);
    assert_eq!(code, Some(2));
    assert!(out.contains("parent 1") && out.contains("one.avhdx") && out.contains("MISSING"), "{out}");
    assert!(err.contains("the parent of") && err.contains("--parent FILE"), "{err}");
    let (code, out, _) = told(&["info", "--json"], &image);
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, document["schema"].as_str()), (Some(2), Some("info_orphan/1")));
    assert_eq!(document["layers"].as_array().unwrap().len(), 2);
    assert!(document["missing_parent"].as_str().unwrap().contains("base.vhdx"));
}

#[test]
fn the_chains_of_a_folder_are_drawn_as_trees() {
    let folder = scratch();
    chains(folder.path());
    fs::write(folder.path().join("notes.txt"), vec![b'x'; 4096]).unwrap();
    let (code, out, err) = told(&["info", "--recursive"], folder.path());
    assert_eq!(code, Some(0), "{err}");
    let lines: Vec<_> = out.lines().map(|line| line.split("  64.0 GiB").next().unwrap()).collect();
    assert_eq!(lines, ["base.vhdx", "├─ one.avhdx", "│  └─ three.avhdx", "└─ two.avhdx"]);
    fs::create_dir(folder.path().join("elsewhere")).unwrap();
    fs::rename(folder.path().join("one.avhdx"), folder.path().join("elsewhere/one.avhdx")).unwrap();
    fs::remove_file(folder.path().join("base.vhdx")).unwrap();
    let (_, out, _) = told(&["info", "-r", "--json"], folder.path());
    let document: Value = serde_json::from_str(&out).unwrap();
    let parent_of = |name: &str| {
        let images = document["images"].as_array().unwrap();
        let image = images.iter().find(|image| image["path"].as_str().unwrap().ends_with(name)).unwrap();
        image["parent"].as_str().map(|parent| parent.rsplit('/').next().unwrap().to_owned())
    };
    assert_eq!(parent_of("three.avhdx").as_deref(), Some("one.avhdx"));
    assert_eq!((parent_of("one.avhdx"), parent_of("two.avhdx")), (None, None));
    let (code, _, err) = told(&["info"], folder.path());
    assert!(code == Some(2) && err.contains("--recursive"), "{err}");
}

#[test]
fn volumes_that_are_not_shown_are_named_with_the_reason() {
    let folder = scratch();
    let image = folder.path().join("disk.raw");
    // A LUKS header as the whole disk.
    let mut bytes = vec![0; 1 << 20];
    bytes[..8].copy_from_slice(b"LUKS\xba\xbe\x00\x02");
    fs::write(&image, bytes).unwrap();
    let (code, out, err) = told(&["ls"], &image);
    assert_eq!(code, Some(0), "{err}");
    assert!(!out.contains("p1") && err.contains("p1 is not listed: LUKS"), "{out}{err}");
    let (code, _, err) = outcome(&vhdmount().arg("ls").arg(&image).arg("p1/home").output().unwrap());
    assert!(code == Some(4) && err.contains("p1 cannot be listed: LUKS"), "{err}");
    let (_, _, err) = told(&["ls", "--deleted"], &image);
    assert!(err.contains("p1 is not listed: LUKS"), "{err}");
    let (_, _, err) = told(&["ls"], &unpack(folder.path()));
    assert_eq!(err, "", "a partition that never has files is no loss");
}

#[test]
fn a_mount_prints_its_chain_and_its_copies_can_be_deleted() {
    if !have_fuse() {
        return;
    }
    let folder = scratch();
    chains(folder.path());
    let at = folder.path().join("mnt");
    fs::create_dir(&at).unwrap();
    let output = run_mount(vhdmount().arg(folder.path().join("three.avhdx")).arg(&at));
    let mounted = Mounted(at.clone());
    let (_, out, _) = outcome(&output);
    let chain = out.lines().find(|line| line.starts_with("Chain")).unwrap();
    let places: Vec<_> = ["three.avhdx (", "one.avhdx (", "base.vhdx ("]
        .iter()
        .map(|name| chain.find(name).unwrap())
        .collect();
    assert!(places.is_sorted(), "{chain}");
    let copy = folder.path().join("copy");
    run(std::process::Command::new("cp").arg("-a").arg(at.join("p3/Users")).arg(&copy));
    mounted.end();
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&copy), mode(&copy.join("Ada/Documents/Thesis.txt"))), (0o755, 0o644));
    fs::remove_dir_all(&copy).unwrap();
}
