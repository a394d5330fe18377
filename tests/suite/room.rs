//! `vhdmount create` and `convert` on hosts with little space, and on those whose filesystem lets files share blocks.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
};

use rustix::process::Signal;

use crate::support::{
    demo::{outcome, vhdmount},
    halfway::signalled,
    host::{Host, MIB},
    run, scratch, tool,
};

/// A raw disk without zeros in so many bytes at its beginning.
fn disk(path: &Path, size: u64, content: u64) {
    let file = File::create(path).unwrap();
    file.set_len(size).unwrap();
    let bytes: Vec<u8> = (0..content).map(|at| u8::try_from(at % 249).unwrap() | 1).collect();
    file.write_all_at(&bytes, 0).unwrap();
    file.sync_all().unwrap();
}

#[test]
fn blocks_are_shared_where_the_filesystem_can() {
    for (filesystem, options) in [("xfs", &["-m", "reflink=1"][..]), ("btrfs", &[])] {
        let Some(host) = Host::new(filesystem, 400, options) else { continue };
        let raw = host.path("disk.raw");
        disk(&raw, 200 * MIB + 512, 90 * MIB);
        host.settle();
        let free = host.free();
        // A chain of three formats: no step copies the content.
        let mut from = raw.clone();
        for name in ["one.vhdx", "two.vhd", "three.raw"] {
            let to = host.path(name);
            let output = run(vhdmount().args(["convert", "--verify"]).arg(&from).arg(&to));
            let text = outcome(&output).1;
            assert!(text.contains("(90.0 MiB shared with"), "{filesystem}: {text}");
            from = to;
        }
        host.settle();
        let taken = free.saturating_sub(host.free());
        assert!(taken < 40 * MIB, "{filesystem}: three copies of 90 MiB take {taken} bytes");
        run(tool("cmp").arg(&raw).arg(&from));
        run(tool("qemu-img")
            .args(["compare", "-f", "raw", "-F", "vhdx"])
            .arg(&raw)
            .arg(host.path("one.vhdx")));
        // What becomes of one does not become of the other.
        let before = fs::read(&raw).unwrap();
        File::options().write(true).open(&from).unwrap().write_all_at(&[0; 8192], 4096).unwrap();
        assert!(fs::read(&raw).unwrap() == before, "{filesystem}: the source changed with its copy");
    }
}

#[test]
fn what_cannot_fit_is_refused_before_it_is_written() {
    let Some(host) = Host::ext4(64) else { return };
    let raw = host.outside().join("disk.raw");
    disk(&raw, 400 * MIB, 90 * MIB);
    let dest = host.path("dest.vhdx");
    let ends = |arguments: &[&str]| {
        let output = vhdmount().args(arguments).arg(&raw).arg(&dest).output().unwrap();
        let (code, _, errors) = outcome(&output);
        assert!(!dest.exists() && !host.path("dest.vhdx.partial").exists(), "something was left: {errors}");
        assert_eq!(code, Some(3), "{errors}");
        errors
    };
    let errors = ends(&["convert", "--type", "fixed"]);
    assert!(errors.contains("a fixed image takes 400.0 MiB") && errors.contains("are free on"), "{errors}");
    let errors = ends(&["convert"]);
    assert!(errors.contains("may take up to 90.0 MiB") && errors.contains("No space left"), "{errors}");
    // A filesystem whose files end earlier than the disk.
    let large = host.outside().join("large.raw");
    File::create(&large).unwrap().set_len(20 << 40).unwrap();
    let dest = host.path("dest.raw");
    let (code, _, errors) = outcome(&vhdmount().arg("convert").arg(&large).arg(&dest).output().unwrap());
    assert!(code == Some(3) && errors.contains("files on") && errors.contains("dynamic image"), "{errors}");
    assert!(!dest.exists());
}

#[test]
fn an_interrupted_conversion_leaves_nothing() {
    let folder = scratch();
    let (raw, dest) = (folder.path().join("disk.raw"), folder.path().join("dest"));
    disk(&raw, 300 * MIB, 256 * MIB);
    fs::create_dir(&dest).unwrap();
    let image = dest.join("disk.vhdx");
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        for _ in 0..10 {
            let mut command = vhdmount();
            command.arg("convert").arg(&raw).arg(&image);
            let (code, err, halfway) = signalled(&mut command, &dest, signal);
            let left: Vec<_> =
                fs::read_dir(&dest).unwrap().flatten().map(|entry| entry.file_name()).collect();
            let whole = image.exists();
            for name in &left {
                if name != "disk.vhdx" {
                    // What a killed process cannot remove does not pass for an image.
                    assert!(signal == Signal::KILL && name == "disk.vhdx.partial", "{name:?} was left");
                    let read = vhdmount().arg("ls").arg(dest.join(name)).output().unwrap();
                    assert!(!read.status.success() || whole, "half an image opens");
                }
                fs::remove_file(dest.join(name)).unwrap();
            }
            if halfway && !whole {
                let wanted = if signal == Signal::KILL { None } else { Some(130) };
                assert_eq!(code, wanted, "{err}");
                break;
            }
        }
    }
}
