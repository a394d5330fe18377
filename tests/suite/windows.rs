//! The command as built for Windows, run by Wine: its figures for a file are those of the host below.
//!
//! What Wine cannot show: ranges of sparse files, other filesystems than "NTFS", a real native boot.

mod alike;
mod copying;
mod registry;
mod sandbox;

use std::{
    path::{Path, PathBuf},
    process::Output,
};

use serde_json::Value;

use crate::support::{
    demo::vhdmount,
    run, scratch,
    vhdx_writer::{Block, MIB, Recipe},
    wine::{compile, output, run_in_wine, windows_path, wine},
};

/// What a natively booted Windows does with its dynamic disk.
const PARAMETERS: &str = r"HKLM\SYSTEM\CurrentControlSet\Services\FsDepends\Parameters";
const EXPAND: &str = "VirtualDiskExpandOnMount";

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Of the only disk.
fn figures(output: &Output) -> Value {
    crate::support::demo::only_disk(&json(output)).clone()
}

/// A dynamic disk of 64 GiB with a block, whose file has no holes.
fn image(folder: &Path) -> PathBuf {
    let path = folder.join("Server 2022.vhdx");
    let recipe = Recipe::dynamic(64 << 30, MIB).block(0, Block::Full(vec![7; 1 << 20]));
    recipe.build().save(&path);
    // Read and written as a whole: nothing of it stays a hole.
    std::fs::write(&path, std::fs::read(&path).unwrap()).unwrap();
    path
}

#[test]
fn figures_on_windows_are_those_of_the_host_below() {
    let Some(wine) = wine() else { return };
    let folder = scratch();
    let image = image(folder.path());
    let there = figures(&run_in_wine(wine.vhdmount().args(["capacity", "--json"]).arg(&image)));
    let here = figures(&run(vhdmount().args(["capacity", "--json"]).arg(&image)));
    for figure in ["virtual_size", "file_size", "allocated_on_host", "backed", "growth_to_full", "block_size"]
    {
        assert_eq!(there[figure], here[figure], "{figure}");
    }
    assert_eq!(there.get("estimate"), None);
    // Others write to this host, too.
    let free = |report: &Value| report["host_free"].as_u64().unwrap();
    assert!(free(&there).abs_diff(free(&here)) < 1 << 30, "{} {}", free(&there), free(&here));
    assert_eq!(there["host"], "Z:\\ (ntfs)");
}

#[test]
fn holes_that_are_not_reported_make_an_estimate_that_promises_no_more() {
    let Some(wine) = wine() else { return };
    let folder = scratch();
    let raw = folder.path().join("sparse.raw");
    let file = std::fs::File::create(&raw).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &vec![1; 3 << 20], 1 << 20).unwrap();
    file.set_len(64 << 20).unwrap();
    let there = figures(&run_in_wine(wine.vhdmount().args(["capacity", "--json"]).arg(&raw)));
    let here = figures(&run(vhdmount().args(["capacity", "--json"]).arg(&raw)));
    assert_eq!(there["backed"], here["backed"]);
    assert_eq!(there["growth_to_full"], here["growth_to_full"]);
    assert!(there["estimate"].as_str().unwrap().contains("holes"), "{there}");
}

#[test]
fn a_windows_on_no_virtual_disk_says_so_and_one_on_an_image_reports_how_far_it_grows() {
    let Some(wine) = wine() else { return };
    let folder = scratch();
    let none = output(wine.vhdmount().args(["capacity", "--self"]));
    assert_eq!(none.status.code(), Some(2));
    let text = String::from_utf8_lossy(&none.stderr).into_owned();
    assert!(text.contains("does not run from a virtual disk"), "{text}");

    let exe = wine.copy_exe(folder.path());
    compile(&["virtdisk.c"], &folder.path().join("virtdisk.dll"), &["-shared"]);
    let image = image(folder.path());
    let (volume, path) = (windows_path(folder.path()) + r"\", r"\Server 2022.vhdx");
    // The registry outlives a run.
    let _ = output(wine.program("reg").args(["delete", PARAMETERS, "/v", EXPAND, "/f"]));
    let own = || {
        let mut command = wine.program(&exe);
        command.args(["capacity", "--self"]).env("SELF_VOLUME", &volume).env("SELF_PATH", path);
        command
    };
    let on = json(&run_in_wine(own().arg("--json")));
    assert_eq!(on["disk"].as_array().unwrap().len(), 1, "a parent does not grow: {on}");
    let disk = &on["disk"][0];
    assert!(disk["image"].as_str().unwrap().ends_with(r"\Server 2022.vhdx"), "{disk}");
    assert_eq!(disk["device"], r"\\.\PhysicalDrive7");
    assert_eq!((&on["expand_at_boot"], &disk["virtual_size"]), (&"on".into(), &(64_u64 << 30).into()));
    let here = figures(&run(vhdmount().args(["capacity", "--json"]).arg(&image)));
    assert_eq!(disk["report"]["backed"], here["backed"]);
    assert_eq!(disk["boot_needs"], here["growth_to_full"]);

    run_in_wine(wine.program("reg").args([
        "add",
        PARAMETERS,
        "/v",
        EXPAND,
        "/t",
        "REG_DWORD",
        "/d",
        "4",
        "/f",
    ]));
    let off = run_in_wine(&mut own());
    let text = String::from_utf8_lossy(&off.stdout).into_owned();
    assert!(text.contains("expand_at_boot = \"off\"") && !text.contains("boot_needs"), "{text}");
}

#[test]
fn on_linux_self_says_that_it_is_for_windows_or_names_the_loop_devices_file() {
    let output = vhdmount().args(["capacity", "--self"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.code() {
        Some(0) => assert!(String::from_utf8_lossy(&output.stdout).contains("[[disk]]")),
        code => assert!(code == Some(2) && text.contains("booted natively"), "{code:?} {text}"),
    }
    let both = vhdmount().args(["capacity", "--self", "a.vhdx"]).output().unwrap();
    assert_eq!(both.status.code(), Some(1));
}
