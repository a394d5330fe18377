//! `vhdmount create` and `convert`: what they make is judged by qemu-img, libvhdi, 7-Zip and sgdisk, which share no code with this
//! program, and by comparing content.

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{
    demo::{outcome, unpack, vhdmount},
    have, run, scratch, tool,
};

const MIB: u64 = 1 << 20;

/// A raw disk of this size with content at its ends, over the boundaries of blocks, and in scattered sectors.
fn disk(folder: &Path, size: u64) -> PathBuf {
    let path = folder.join("disk.raw");
    let file = File::create(&path).unwrap();
    file.set_len(size).unwrap();
    let pattern = |at: u64, len: usize| -> Vec<u8> {
        (at..).take(len).map(|at| u8::try_from(at % 249).unwrap() | 1).collect()
    };
    let write = |at: u64, len: usize| {
        if at + len as u64 <= size {
            file.write_all_at(&pattern(at, len), at).unwrap();
        }
    };
    write(0, 512);
    write(2 * MIB - 4096, 8192);
    write(5 * MIB, 3 << 20);
    (10..20).for_each(|index| write(index * MIB + index * 4096, 512));
    write(size - 512, 512);
    path
}

fn convert(image: &Path, dest: &Path, options: &[&str]) -> String {
    outcome(&run(vhdmount().arg("convert").args(options).arg(image).arg(dest))).1
}

/// What qemu calls a format.
fn qemu_name(path: &Path) -> &'static str {
    match path.extension().unwrap().to_str().unwrap() {
        "vhdx" => "vhdx",
        "vhd" => "vpc",
        _ => "raw",
    }
}

/// The content is that of the raw disk, and nobody finds fault with the file.
fn judge(raw: &Path, image: &Path) {
    let format = qemu_name(image);
    run(tool("qemu-img").args(["compare", "-f", "raw", "-F", format]).arg(raw).arg(image));
    // qemu checks no other container of these.
    if format == "vhdx" {
        run(tool("qemu-img").args(["check", "-f", format]).arg(image));
    }
    let checked = vhdmount().arg("check").arg(image).output().unwrap();
    assert!(checked.status.success(), "{}: {}", image.display(), outcome(&checked).1);
    if format != "raw" {
        let info = outcome(&run(tool("vhdiinfo").arg(image))).1;
        let size = fs::metadata(raw).unwrap().len();
        assert!(info.contains(&format!("({size} bytes)")), "{size}: {info}");
        // 7-Zip opens no VHDX of another size, whoever made it.
        if format != "vhdx" || size.is_multiple_of(4096) {
            run(tool("7z").args(["t", "-bd"]).arg(image));
        }
    }
}

#[test]
fn every_kind_of_image_has_the_content_of_the_disk() {
    if !have(&["qemu-img", "vhdiinfo", "7z"]) {
        return;
    }
    // One sector, less than a block, just over one, and odd ones.
    for size in [512, MIB + 4096, 2 * MIB + 512, 33 * MIB] {
        let folder = scratch();
        let raw = disk(folder.path(), size);
        let kinds: [(&str, &[&str]); 8] = [
            ("dynamic.vhdx", &[]),
            ("small.vhdx", &["--block-size", "1MiB"]),
            ("large.vhdx", &["--block-size", "256MiB"]),
            ("fixed.vhdx", &["--type", "fixed"]),
            ("dynamic.vhd", &[]),
            ("small.vhd", &["--block-size", "512KiB"]),
            ("fixed.vhd", &["--type", "fixed"]),
            ("copy.raw", &[]),
        ];
        for (name, options) in kinds {
            let image = folder.path().join(name);
            convert(&raw, &image, &[options, &["--verify"]].concat());
            judge(&raw, &image);
            // And back, by another way.
            let back = folder.path().join("back.img");
            convert(&image, &back, &["--to", "raw"]);
            assert_eq!(fs::read(&back).unwrap(), fs::read(&raw).unwrap(), "{name}, {size} bytes");
            fs::remove_file(back).unwrap();
        }
    }
}

#[test]
fn what_others_made_is_converted() {
    if !have(&["qemu-img"]) {
        return;
    }
    let folder = scratch();
    let raw = disk(folder.path(), 21 * MIB);
    for (format, options, name) in [
        ("vhdx", "subformat=dynamic,block_size=1048576", "one.vhdx"),
        ("vhdx", "subformat=fixed", "two.vhdx"),
        ("vpc", "subformat=dynamic,force_size=on", "three.vhd"),
        ("vpc", "subformat=fixed,force_size=on", "four.vhd"),
    ] {
        let image = folder.path().join(name);
        run(tool("qemu-img").args(["convert", "-O", format, "-o", options]).arg(&raw).arg(&image));
        let dest = folder.path().join(format!("our {name}")).with_extension("vhdx");
        convert(&image, &dest, &["--verify"]);
        run(tool("qemu-img").args(["compare", "-f", "raw", "-F", "vhdx"]).arg(&raw).arg(&dest));
        fs::remove_file(dest).unwrap();
    }
}

#[test]
fn chains_are_flattened_and_holes_stay_holes() {
    let folder = scratch();
    let demo = unpack(folder.path());
    let child = folder.path().join("child.vhdx");
    run(vhdmount().args(["create", "-q", "--parent"]).arg(&demo).arg(&child));
    let flat = folder.path().join("flat.vhdx");
    let text = convert(&child, &flat, &["--verify"]);
    assert!(text.contains("dynamic VHDX") && text.contains("compared"), "{text}");
    let listing = |image: &Path| outcome(&run(vhdmount().args(["ls", "-R"]).arg(image))).1;
    assert_eq!(listing(&flat), listing(&demo));
    let size = fs::metadata(&flat).unwrap().blocks() * 512;
    let before = fs::metadata(&demo).unwrap().len();
    assert!(size <= before + 4 * MIB, "{size} bytes on the host instead of {before}");
}

#[test]
fn nothing_is_replaced_and_nothing_half_is_left() {
    let folder = scratch();
    let raw = disk(folder.path(), 4 * MIB);
    let dest = folder.path().join("there.vhdx");
    let ends = |command: &mut Command| {
        let (code, _, errors) = outcome(&command.output().unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "something was left: {errors}");
        (code.unwrap(), errors)
    };
    fs::write(&dest, "mine").unwrap();
    let (code, errors) = ends(vhdmount().arg("convert").arg(&raw).arg(&dest));
    assert!(code == 3 && errors.contains("not replaced"), "{code} {errors}");
    let (code, errors) = ends(vhdmount().args(["create", "--size", "1G"]).arg(&dest));
    assert!(code == 3 && errors.contains("not replaced"), "{code} {errors}");
    assert_eq!(fs::read(&dest).unwrap(), b"mine");
    // The image itself.
    let (code, _) = ends(vhdmount().arg("convert").arg(&raw).arg(&raw));
    assert_eq!(code, 3);
    fs::remove_file(&dest).unwrap();
    fs::write(folder.path().join("there.vhdx.partial"), "").unwrap();
    let (code, errors) = ends(vhdmount().arg("convert").arg(&raw).arg(&dest));
    assert!(code == 3 && errors.contains(".partial exists"), "{code} {errors}");
    fs::remove_file(folder.path().join("there.vhdx.partial")).unwrap();
    // Sizes that a format cannot have, and a file too large for its filesystem.
    fs::write(&dest, "").unwrap();
    for (name, options) in [
        ("x.vhd", &["--size", "3T"][..]),
        ("x.vhdx", &["--size", "65T"]),
        ("x.vhdx", &["--size", "1000"]),
        ("x.vhdx", &["--size", "1G", "--block-size", "3MiB"]),
        ("x.vhd", &["--size", "1G", "--sector-size", "4096"]),
        ("x.vhdx", &["--size", "3M", "--gpt", "--esp"]),
    ] {
        let (code, errors) = ends(vhdmount().arg("create").args(options).arg(folder.path().join(name)));
        assert!(code == 1 && !errors.is_empty(), "{options:?}: {code} {errors}");
    }
}

#[test]
fn a_damaged_disk_is_not_converted_as_if_it_were_whole() {
    let folder = scratch();
    let raw = disk(folder.path(), 33 * MIB);
    let image = folder.path().join("cut.vhdx");
    convert(&raw, &image, &[]);
    let len = fs::metadata(&image).unwrap().len();
    File::options().write(true).open(&image).unwrap().set_len(len - 3 * MIB / 2).unwrap();
    let dest = folder.path().join("dest.vhdx");
    let (code, _, errors) = outcome(&vhdmount().arg("convert").arg(&image).arg(&dest).output().unwrap());
    assert!(code == Some(2) && errors.contains("cut.vhdx"), "{code:?} {errors}");
    assert!(!dest.exists() && !folder.path().join("dest.vhdx.partial").exists());
    // Too large for the format that was asked for: a matter of the arguments.
    let large = folder.path().join("large.raw");
    File::create(&large).unwrap().set_len(3 << 40).unwrap();
    let dest = folder.path().join("dest.vhd");
    let (code, _, errors) = outcome(&vhdmount().arg("convert").arg(&large).arg(&dest).output().unwrap());
    assert!(code == Some(1) && errors.contains("2.0 TiB"), "{code:?} {errors}");
}

#[test]
fn tables_are_those_of_others() {
    if !have(&["sgdisk", "qemu-img"]) {
        return;
    }
    let folder = scratch();
    for (name, options) in [
        ("one.raw", &["--size", "64G", "--gpt", "--esp", "--msr"][..]),
        ("two.raw", &["--size", "40M", "--gpt"]),
    ] {
        let path = folder.path().join(name);
        run(vhdmount().arg("create").args(options).arg(&path));
        let verified = outcome(&run(tool("sgdisk").arg("-v").arg(&path))).1;
        assert!(verified.contains("No problems found"), "{verified}");
    }
    let table = outcome(&run(tool("sgdisk").arg("-p").arg(folder.path().join("one.raw")))).1;
    for code in ["EF00", "0C01", "0700"] {
        assert!(table.contains(code), "{table}");
    }
    let image = folder.path().join("4k.vhdx");
    run(vhdmount().args(["create", "--size", "8G", "--sector-size", "4096", "--gpt", "--esp"]).arg(&image));
    let info = outcome(&run(vhdmount().args(["info", "--json"]).arg(&image))).1;
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    assert_eq!(info["partitions"].as_array().unwrap().len(), 2, "{info}");
    assert_eq!(info["partitions"][0]["esp"], true);
}

#[test]
fn children_find_their_parent_wherever_both_are_moved() {
    if !have(&["vhdiinfo", "7z"]) {
        return;
    }
    let folder = scratch();
    let (here, there) = (folder.path().join("here"), folder.path().join("there"));
    fs::create_dir_all(here.join("base disks")).unwrap();
    let raw = disk(folder.path(), 33 * MIB);
    for extension in ["vhdx", "vhd"] {
        let base = here.join("base disks").join(format!("base.{extension}"));
        convert(&raw, &base, &["-q"]);
        let child = here.join(format!("child.{extension}"));
        let said = outcome(&run(vhdmount().arg("create").arg("--parent").arg(&base).arg(&child))).1;
        assert!(said.contains("must not change"), "{said}");
        run(tool("vhdiinfo").arg(&child));
        // 7-Zip looks for parents beside the child alone.
        let (beside, child_of_it) =
            (here.join(format!("base.{extension}")), here.join(format!("of.{extension}")));
        fs::copy(&base, &beside).unwrap();
        run(vhdmount().args(["create", "-q", "--parent"]).arg(&beside).arg(&child_of_it));
        let read = run(tool("7z").args(["x", "-so"]).arg(&child_of_it)).stdout;
        assert!(read == fs::read(&raw).unwrap(), "7-Zip reads something else of {extension}");
        let grandchild = here.join(format!("grandchild.{extension}"));
        run(vhdmount().args(["create", "-q", "--parent"]).arg(&child).arg(&grandchild));
    }
    fs::rename(&here, &there).unwrap();
    for extension in ["vhdx", "vhd"] {
        let top = there.join(format!("grandchild.{extension}"));
        let back = folder.path().join(format!("back {extension}.raw"));
        convert(&top, &back, &[]);
        assert_eq!(fs::read(&back).unwrap(), fs::read(&raw).unwrap());
    }
}

#[test]
fn what_filesystems_call_free_is_left_out_when_asked_for() {
    if !have(&["mkntfs", "ntfscp", "ntfscat"]) {
        return;
    }
    let folder = scratch();
    let raw = folder.path().join("volume.raw");
    let file = File::create(&raw).unwrap();
    // What was there before the volume was made stays in its free clusters.
    file.write_all_at(&vec![0x55; 48 << 20], 0).unwrap();
    drop(file);
    run(tool("mkntfs").args(["-q", "-Q", "-F"]).arg(&raw));
    let content = folder.path().join("content");
    fs::write(&content, vec![7; 1_000_000]).unwrap();
    run(tool("ntfscp").args(["-q", "-f"]).arg(&raw).arg(&content).arg("kept.bin"));
    let thin = folder.path().join("thin.vhdx");
    let output = run(vhdmount()
        .args(["convert", "--skip-free", "--verify", "--block-size", "1MiB"])
        .arg(&raw)
        .arg(&thin));
    let (_, _, errors) = outcome(&output);
    assert!(errors.contains("not recoverable"), "{errors}");
    let size = fs::metadata(&thin).unwrap().len();
    assert!(size < 24 * MIB, "{size}");
    assert!(outcome(&run(vhdmount().arg("check").arg(&thin))).1.contains("nothing is wrong"));
    let read = run(vhdmount().arg("cat").arg(&thin).arg("p1/kept.bin")).stdout;
    assert_eq!(read, vec![7; 1_000_000]);
}

#[test]
fn nothing_is_left_out_of_a_volume_that_was_not_cleanly_unmounted() {
    if !have(&["mkfs.fat"]) {
        return;
    }
    let folder = scratch();
    let raw = folder.path().join("fat.raw");
    fs::write(&raw, vec![0x55; 16 << 20]).unwrap();
    run(tool("mkfs.fat").args(["-F", "16"]).arg(&raw));
    let free_is_copied = |name: &str| {
        let dest = folder.path().join(name);
        let output = run(vhdmount().args(["convert", "--skip-free", "--to", "raw"]).arg(&raw).arg(&dest));
        let errors = outcome(&output).2;
        let mut sector = [0; 512];
        File::open(&dest).unwrap().read_exact_at(&mut sector, 12 << 20).unwrap();
        assert_eq!(errors.contains("copied as a whole: p1"), sector == [0x55; 512], "{errors}");
        sector == [0x55; 512]
    };
    assert!(!free_is_copied("clean.raw"));
    // The state in the boot sector, as drivers keep it while a volume is mounted.
    File::options().write(true).open(&raw).unwrap().write_all_at(&[1], 0x25).unwrap();
    assert!(free_is_copied("dirty.raw"));
}

#[test]
fn azure_takes_a_fixed_vhd_of_whole_mebibytes() {
    if !have(&["qemu-img"]) {
        return;
    }
    let folder = scratch();
    let raw = disk(folder.path(), 21 * MIB + 512);
    let image = folder.path().join("azure.vhd");
    convert(&raw, &image, &["--azure", "--verify"]);
    assert_eq!(fs::metadata(&image).unwrap().len(), 22 * MIB + 512);
    let info = outcome(&run(tool("qemu-img").args(["info", "-f", "vpc", "--output=json"]).arg(&image))).1;
    assert!(info.contains(&format!("\"virtual-size\": {}", 22 * MIB)), "{info}");
}
