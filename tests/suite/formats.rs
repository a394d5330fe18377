//! `vhdmount create` and `convert` on every system: the disk stays the same from format to format. What other programs say of the files
//! is in `new_images.rs`.

use std::{fs, path::Path};

use crate::support::{
    demo::{outcome, unpack, vhdmount},
    run, scratch,
};

fn listing(image: &Path) -> String {
    outcome(&run(vhdmount().args(["ls", "-R"]).arg(image))).1
}

#[test]
fn a_disk_is_the_same_in_every_format() {
    let folder = scratch();
    let demo = unpack(folder.path());
    let before = fs::read(&demo).unwrap();
    let expected = listing(&demo);
    let mut from = demo.clone();
    // None of them fixed: the disk says that it has 64 GiB.
    let steps: [(&str, &[&str]); 4] = [
        ("dynamic.vhd", &[]),
        ("small.vhdx", &["--block-size", "1MiB", "--keep-identity"]),
        ("disk.raw", &[]),
        ("thin.vhdx", &["--skip-free"]),
    ];
    for (name, options) in steps {
        let to = folder.path().join(name);
        let said =
            outcome(&run(vhdmount().arg("convert").args(options).arg("--verify").arg(&from).arg(&to))).1;
        assert!(said.contains("compared"), "{name}: {said}");
        assert_eq!(listing(&to), expected, "{name}");
        run(vhdmount().arg("check").arg(&to));
        from = to;
    }
    assert!(fs::read(&demo).unwrap() == before, "the source was changed");
}

#[test]
fn a_child_reads_as_its_parent() {
    let folder = scratch();
    let demo = unpack(folder.path());
    let child = folder.path().join("child.vhdx");
    let said = outcome(&run(vhdmount().arg("create").arg("--parent").arg(&demo).arg(&child))).1;
    assert!(said.contains("must not change"), "{said}");
    assert_eq!(listing(&child), listing(&demo));
    // Nothing that exists is replaced.
    let (code, _, errors) =
        outcome(&vhdmount().args(["create", "--size", "1G"]).arg(&child).output().unwrap());
    assert!(code == Some(3) && errors.contains("not replaced"), "{code:?} {errors}");
    assert_eq!(listing(&child), listing(&demo));
}

#[test]
fn new_disks_have_their_partitions() {
    let folder = scratch();
    for name in ["new.vhdx", "new.vhd", "new.raw"] {
        let image = folder.path().join(name);
        run(vhdmount().args(["create", "--size", "1G", "--gpt", "--esp", "--msr"]).arg(&image));
        let info = outcome(&run(vhdmount().args(["info", "--json"]).arg(&image))).1;
        let info: serde_json::Value = serde_json::from_str(&info).unwrap();
        let partitions = info["partitions"].as_array().unwrap();
        assert_eq!(partitions.len(), 3, "{name}: {info}");
        assert_eq!(partitions[0]["esp"], true, "{name}");
    }
}
