//! What a native boot of the Windows in an image takes of the host: the setting in hives that hivex wrote, on a volume
//! that ntfs-3g filled, in a dynamic VHDX that qemu-img made.

use std::{fs, path::Path};

use vhdmount::{
    capacity::{NativeBoot, Report},
    host::Expansion,
    image::{Image, OpenOptions},
};

use super::{
    Ntfs3g,
    links::hives::{empty_hive, hivexsh},
    make,
};
use crate::support::{have, have_fuse, run, scratch, tool};

const TOOLS: [&str; 4] = ["mkntfs", "ntfs-3g", "hivexsh", "qemu-img"];
const CURRENT: &str = "add Select\ncd Select\nsetval 1\nCurrent\ndword:2\ncd \\\n";
const SERVICE: &str =
    "add ControlSet002\ncd ControlSet002\nadd Services\ncd Services\nadd FsDepends\ncd FsDepends\n";

/// The report of a disk of this format with a Windows whose hive the script fills.
fn report(folder: &Path, format: &str, script: &str) -> Report {
    let hive = folder.join("SYSTEM");
    let raw = make(folder, 16 << 20, 512, 4096);
    fs::write(&hive, empty_hive()).unwrap();
    hivexsh(&hive, &format!("{script}commit\n"));
    let mounted = Ntfs3g::mount(&raw, "rw");
    let config = mounted.folder.join("Windows/System32/config");
    fs::create_dir_all(&config).unwrap();
    fs::copy(&hive, config.join("SYSTEM")).unwrap();
    drop(mounted);
    let image = folder.join("disk.image");
    run(tool("qemu-img").args(["convert", "-f", "raw", "-O", format]).arg(&raw).arg(&image));
    Image::open(&image, &OpenOptions::default()).unwrap().capacity().report().unwrap()
}

#[test]
fn the_windows_inside_says_whether_its_disk_is_expanded() {
    if !have(&TOOLS) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let parameters = format!("{CURRENT}{SERVICE}add Parameters\ncd Parameters\n");
    let four = format!("{parameters}setval 1\nVirtualDiskExpandOnMount\ndword:4\n");
    for (script, expected) in [
        (format!("{CURRENT}{SERVICE}"), Some(Expansion::AtBoot)),
        (parameters.clone(), Some(Expansion::AtBoot)),
        (four, Some(Expansion::Off)),
        // Before Windows 7 there was no native boot; and another control set is not the one that boots.
        (CURRENT.into(), None),
        (format!("{CURRENT}{}", SERVICE.replace("002", "001")), None),
    ] {
        let report = report(folder.path(), "vhdx", &script);
        let boot = report.volumes[0].native_boot;
        let needs = (expected == Some(Expansion::AtBoot)).then_some(report.growth_to_full);
        let fits = needs.map(|needs| needs <= report.host_free);
        let expected =
            expected.map(|expand_at_boot| NativeBoot { expand_at_boot, boot_needs: needs, boot_fits: fits });
        assert_eq!(boot, expected, "{script}");
        let toml = report.to_toml();
        assert_eq!(toml.contains("expand_at_boot"), boot.is_some(), "{toml}");
        assert_eq!(toml.contains("boot_needs"), needs.is_some(), "{toml}");
        toml::from_str::<toml::Value>(&toml).unwrap();
    }
}

#[test]
fn nothing_is_said_of_a_disk_that_is_not_dynamic() {
    if !have(&TOOLS) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let report = report(folder.path(), "raw", &format!("{CURRENT}{SERVICE}"));
    assert_eq!(report.volumes[0].native_boot, None);
}
