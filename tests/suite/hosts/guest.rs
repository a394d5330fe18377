//! A guest's filesystem whose free space lies in pieces, over blocks that exist, over holes in them, and over blocks that
//! do not: The Sleuth Kit says which clusters are free, QEMU writes to them all until the host has no more.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use crate::support::{
    have, have_fuse,
    host::{Host, MIB, Mounted, capacity, figure, write_each},
    run, tool,
};

const CLUSTER: u64 = 64 << 10;

/// A volume of NTFS in a file of its own: 40 files of 512 KiB, every other one deleted again, and one file without data.
fn fragmented_ntfs(folder: &Path, size: u64) -> PathBuf {
    let volume = folder.join("volume.ntfs");
    File::create(&volume).unwrap().set_len(size).unwrap();
    run(tool("mkntfs")
        .args(["-F", "-Q", "-q", "-s", "512", "-c", &CLUSTER.to_string(), "-L", "Pieces"])
        .arg(&volume));
    let mounted = Mounted::new(tool("ntfs-3g").arg(&volume), folder.join("making"));
    let name = |number: u64| mounted.path(&format!("file {number}"));
    for number in 0..40 {
        std::fs::write(name(number), vec![0xa5; 512 << 10]).unwrap();
    }
    for number in (0..40).step_by(2) {
        std::fs::remove_file(name(number)).unwrap();
    }
    mounted.end();
    volume
}

/// The free clusters as The Sleuth Kit lists them.
fn free_clusters(volume: &Path) -> Vec<u64> {
    let listed = run(tool("blkls").args(["-l", "-f", "ntfs"]).arg(volume)).stdout;
    let listed = String::from_utf8(listed).unwrap();
    listed.lines().filter_map(|line| line.strip_suffix("|f")?.parse().ok()).collect()
}

#[test]
fn free_space_in_pieces_goes_as_far_as_predicted() {
    if !have(&["mkntfs", "ntfs-3g", "qemu-img", "blkls"]) || !have_fuse() {
        return;
    }
    for (block, left) in [(1, 9), (2, 9), (32, 40)] {
        let Some(host) = Host::ext4(100) else { return };
        let volume = fragmented_ntfs(host.outside(), 120 * MIB);
        let image = host.path("guest.vhdx");
        let mut convert = tool("qemu-img");
        convert.args(["convert", "-f", "raw", "-O", "vhdx", "-o", &format!("block_size={block}M")]);
        run(convert.arg(&volume).arg(&image));
        host.settle();
        host.leave(left * MIB);
        let before = capacity(&image);
        let p1 = &before["volume"][0];
        let figures = ["free_reported", "free_backed", "free_achievable"].map(|name| figure(p1, name));
        let [reported, backed, achievable] = figures;
        assert!(backed >= 9 * MIB, "what was deleted is still in the image: {before:#}");
        assert!(achievable < reported && achievable <= backed + figure(&before, "host_free"), "{before:#}");

        let free = free_clusters(&volume);
        assert_eq!(free.len() as u64 * CLUSTER, reported);
        let ranges = free.iter().map(|cluster| (cluster * CLUSTER, CLUSTER));
        let written = write_each(&image, "vhdx", ranges);
        host.settle();
        println!("blocks of {block} MiB: {achievable} of {reported} predicted, {written} written");
        // What of the cluster in which the host ended went in belongs to no file now.
        assert!(achievable <= written + CLUSTER, "{written}, {before:#}");
        assert!(written < achievable + block * MIB + CLUSTER, "{written}, {before:#}");
    }
}
