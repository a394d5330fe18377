//! The command: what it prints, and how it ends.

use std::{fs, path::Path};

use crate::support::{
    demo::{outcome, unpack, vhdmount},
    scratch,
    vhdx_writer::{Block, MIB, Recipe, pattern},
};

/// The demo disk with bytes changed.
fn damaged(folder: &Path, places: &[usize]) -> std::path::PathBuf {
    let path = unpack(folder);
    let mut bytes = fs::read(&path).unwrap();
    places.iter().for_each(|at| bytes[*at] ^= 0x55);
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn exit_code_states_how_bad_it_is() {
    let folder = scratch();
    let check = |path: &Path, arguments: &[&str]| {
        outcome(&vhdmount().arg("check").arg(path).args(arguments).output().unwrap())
    };
    let path = unpack(folder.path());
    let (code, text, errors) = check(&path, &[]);
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{text}");
    for part in [
        "container (dynamic VHDX): fine",
        "partition table (GPT): fine",
        "p2 (Microsoft reserved: no filesystem): nothing to examine",
        ": nothing is wrong (0 errors",
    ] {
        assert!(text.contains(part), "{part} in:\n{text}");
    }
    let (code, text, _) = check(&path, &["-q"]);
    assert_eq!((code, text.as_str()), (Some(0), ""));

    let path = damaged(folder.path(), &[64 << 10]);
    let (code, text, errors) = check(&path, &[]);
    assert_eq!((code, errors.as_str()), (Some(5), ""), "{text}");
    assert!(
        text.contains("WARNING  VHDX header 1: no signature") && text.contains("nothing is lost"),
        "{text}"
    );

    let path = damaged(folder.path(), &[64 << 10, 128 << 10]);
    let (code, text, _) = check(&path, &["-q"]);
    assert_eq!(code, Some(6), "{text}");
    assert!(text.contains("ERROR    VHDX header 1") && !text.contains("note"), "{text}");

    assert_eq!(check(&folder.path().join("nowhere"), &[]).0, Some(2));
    assert_eq!(check(folder.path(), &[]).0, Some(2));
    assert_eq!(check(&path, &["--no-such-option"]).0, Some(1));
    assert_eq!(check(&unpack(folder.path()), &["-p", "9"]).0, Some(2));
    fs::write(&path, b"QFI\xfb\0\0\0\x03 not ours".repeat(100)).unwrap();
    assert_eq!(check(&path, &[]).0, Some(2));
}

#[test]
fn json_is_one_object_with_stable_names() {
    let folder = scratch();
    let path = damaged(folder.path(), &[64 << 10]);
    let (code, text, errors) =
        outcome(&vhdmount().args(["check", "--json", "-p", "3"]).arg(&path).output().unwrap());
    assert_eq!((code, errors.as_str()), (Some(5), ""));
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&json["verdict"], &json["counts"]["warnings"]), (&"warnings".into(), &1.into()));
    assert_eq!(json["schema"], "check/1");
    assert_eq!(json["image"], path.display().to_string());
    let areas: Vec<_> =
        json["areas"].as_array().unwrap().iter().map(|area| area["area"].as_str().unwrap()).collect();
    assert_eq!(areas, ["container", "partition table", "p3"]);
    let container = &json["areas"][0];
    assert_eq!((&container["counts"]["warnings"], &container["what"]), (&1.into(), &"dynamic VHDX".into()));
    let finding = &container["findings"][0];
    assert_eq!((&finding["severity"], &finding["structure"]), (&"warning".into(), &"VHDX header 1".into()));
    assert!(finding["problem"].is_string() && finding["meaning"].is_string());
    assert_eq!((&container["examined"], &container["more"]), (&true.into(), &serde_json::json!([])));
}

#[test]
fn a_flood_of_findings_is_counted() {
    let folder = scratch();
    let path = folder.path().join("disk.vhdx");
    let mut recipe = Recipe::dynamic(1000 * MIB, MIB).block(0, Block::Full(pattern(MIB, 1)));
    // Every other one, or they would be one finding.
    for number in (1..1000).step_by(2) {
        recipe = recipe.block(number, Block::Entry((9_000 * MIB) | 6));
    }
    recipe.build().save(&path);
    let (code, text, _) = outcome(&vhdmount().arg("check").arg(&path).output().unwrap());
    assert_eq!(code, Some(6));
    assert!(text.contains("… and 400 more like these: VHDX BAT entry of block #"), "{text}");
    // One more for what the disk begins with: it cannot be read.
    assert!(text.contains("(501 errors, 0 warnings"), "{text}");
}
