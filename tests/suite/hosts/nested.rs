//! An image inside an image: a server's whole disk whose NTFS volume holds a virtual machine's. Both are mounted, and the
//! inner one is measured against what its volume can really get from the outer one's host.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::support::{
    demo::vhdmount,
    have, have_fuse,
    host::{Host, MIB, Mounted, capacity, figure, write},
    run, tool,
};

const VOLUME: u64 = 160 * MIB;
const INNER: &str = "Hyper-V/Server2022.vhdx";

/// A GPT disk whose one partition is NTFS with the inner image in it.
fn physical_disk(folder: &Path) -> PathBuf {
    let (volume, disk) = (folder.join("volume.ntfs"), folder.join("disk.raw"));
    File::create(&volume).unwrap().set_len(VOLUME).unwrap();
    // It begins at sector 2048 of the disk.
    run(tool("mkntfs").args(["-F", "-Q", "-q", "-s", "512", "-p", "2048", "-L", "Machines"]).arg(&volume));
    let mounted = Mounted::new(tool("ntfs-3g").arg(&volume), folder.join("making"));
    std::fs::create_dir(mounted.path("Hyper-V")).unwrap();
    let inner = mounted.path(INNER);
    let mut create = tool("qemu-img");
    run(create.args(["create", "-q", "-f", "vhdx", "-o", "block_size=1M"]).arg(&inner).arg("1G"));
    assert_eq!(write(&inner, "vhdx", 0, 12 * MIB, MIB), 12 * MIB);
    mounted.end();

    File::create(&disk).unwrap().set_len(VOLUME + 2 * MIB).unwrap();
    run(tool("sgdisk").args(["-n", "1:2048:+160M", "-t", "1:0700"]).arg(&disk));
    let (from, to) = (File::open(&volume).unwrap(), File::options().write(true).open(&disk).unwrap());
    let mut buf = vec![0; 64 << 10];
    for offset in (0..VOLUME).step_by(buf.len()) {
        from.read_exact_at(&mut buf, offset).unwrap();
        if buf.iter().any(|byte| *byte != 0) {
            to.write_all_at(&buf, MIB + offset).unwrap();
        }
    }
    disk
}

/// Our own mount.
fn mount(image: &Path, at: PathBuf) -> Mounted {
    Mounted::new(vhdmount().arg(image), at)
}

/// Of a new snapshot: a name leads to the same one for 0.3 s.
fn report_of(mounted: &Mounted) -> Value {
    std::thread::sleep(std::time::Duration::from_millis(450));
    serde_json::from_slice(&std::fs::read(mounted.path(".capacity.json")).unwrap()).unwrap()
}

#[test]
fn an_image_inside_a_thin_image_has_what_the_outer_host_can_give() {
    if !have(&["mkntfs", "ntfs-3g", "qemu-img", "qemu-io", "sgdisk"]) || !have_fuse() {
        return;
    }
    for format in ["raw", "vhdx"] {
        let Some(host) = Host::ext4(80) else { return };
        let disk = physical_disk(host.outside());
        let outer = host.path(&format!("outer.{format}"));
        run(tool("qemu-img").args(["convert", "-f", "raw", "-O", format]).arg(&disk).arg(&outer));
        host.settle();
        host.leave(30 * MIB);

        let outer_mount = mount(&outer, host.outside().join("outer"));
        let outer_report = report_of(&outer_mount);
        let p1 = &outer_report["volume"][0];
        let [reported, honest] = ["free_reported", "free_achievable"].map(|name| figure(p1, name));
        assert!(honest < reported, "the host cannot back what the volume has: {outer_report:#}");

        let inner = outer_mount.path(&format!("p1/{INNER}"));
        let report = capacity(&inner);
        println!("{format}: the volume says {reported} free, {honest} are to be had");
        assert_eq!(figure(&report, "host_free"), honest, "{outer_report:#}");
        assert!(report["host"].as_str().unwrap().ends_with("outer (fuse.vhdmount)"), "{report:#}");
        assert!(figure(&report, "backed") <= 12 * MIB && figure(&report, "backed") > 11 * MIB, "{report:#}");
        let achievable = figure(&report, "achievable_size");
        assert!(achievable <= 12 * MIB + honest && achievable + 3 * MIB > 12 * MIB + honest, "{report:#}");

        let inner_mount = mount(&inner, host.outside().join("inner"));
        assert_eq!(figure(&report_of(&inner_mount), "host_free"), honest);
        // The outer host fills up, and both follow.
        host.leave(10 * MIB);
        let [outer_now, inner_now] = [&outer_mount, &inner_mount].map(report_of);
        let honest_now = figure(&outer_now["volume"][0], "free_achievable");
        assert!(honest_now + 9 * MIB < honest, "{outer_now:#}");
        assert_eq!(figure(&inner_now, "host_free"), honest_now, "{inner_now:#}");
    }
}

#[test]
fn what_the_volume_has_reserved_for_the_inner_image_still_needs_the_outer_host() {
    if !have(&["mkntfs", "ntfs-3g", "qemu-img", "qemu-io", "sgdisk"]) || !have_fuse() {
        return;
    }
    let Some(host) = Host::ext4(60) else { return };
    let folder = host.outside().join("reserved");
    std::fs::create_dir(&folder).unwrap();
    let volume = host.path("outer.raw");
    File::create(&volume).unwrap().set_len(VOLUME).unwrap();
    run(tool("mkntfs").args(["-F", "-Q", "-q", "-L", "Machines"]).arg(&volume));
    let mounted = Mounted::new(tool("ntfs-3g").arg(&volume), folder.join("making"));
    // A fixed disk to which nothing was written: its clusters are its own, but the outer image lacks them.
    std::fs::write(mounted.path("fixed.img"), vec![0; 30 << 20]).unwrap();
    mounted.end();
    run(tool("fallocate").arg("--dig-holes").arg(&volume));
    host.settle();
    host.leave(12 * MIB);
    let outer_mount = mount(&volume, folder.join("outer"));
    let inner = outer_mount.path("p1/fixed.img");
    let occupied = std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(&inner).unwrap()) * 512;
    let report = capacity(&inner);
    assert_eq!(occupied, 30 * MIB);
    let outer = report_of(&outer_mount);
    let below = figure(&outer, "achievable_size") - figure(&outer, "backed");
    assert!(figure(&report, "backed") < MIB, "{report:#}");
    let achievable = figure(&report, "achievable_size") - figure(&report, "backed");
    assert!(achievable <= below && achievable + MIB > below, "{report:#} {outer:#}");
    assert_eq!(report["status"], "critical");
}
