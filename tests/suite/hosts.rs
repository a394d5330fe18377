//! Predictions and what came of them: hosts that really fill up, filled by other programs through the images on them.
//! What went in is what `vhdmount capacity` had said, within one block and what the writer leaves sparse in it.

mod guest;
mod nested;

use std::path::Path;

use vhdmount::{bytes::ByteSource, image::Image};

use crate::support::{
    host::{Host, MIB, capacity, figure, fill, write},
    run, tool,
};

/// Promised by every image here: more than any host has.
const PROMISED: u64 = 4 << 30;
/// What a host may use for itself that its free space does not show: the stated allowance of these experiments.
const HOST_METADATA: u64 = 64 << 10;

/// Fills `image` from its first byte on and compares with the prediction.
fn predict_and_fill(host: &Host, image: &Path, format: &str, block: u64) {
    let before = capacity(image);
    let (predicted, at_most) = (figure(&before, "achievable_size"), figure(&before, "achievable_at_most"));
    assert_eq!(before["status"], "critical");
    let written = fill(image, format, 0, at_most + 4 * MIB);
    host.settle();
    println!("{}: {predicted} to {at_most} predicted, {written} written", image.display());
    assert!(predicted <= written + HOST_METADATA, "{written} bytes instead of {predicted}: {before:#}");
    assert!(written <= at_most + 4096, "{written} bytes, at most {at_most} expected: {before:#}");
    assert!(
        written < predicted + block + 8 * block / 1000 + MIB,
        "{written} instead of {predicted}: {before:#}"
    );
    let after = capacity(image);
    assert!(figure(&after, "host_free") < MIB + HOST_METADATA, "{after:#}");
    assert!(figure(&after, "backed") >= written, "{after:#}");
    assert_reads_as_written(image, written);
}

/// Everything whose write the writer saw succeed is there.
fn assert_reads_as_written(image: &Path, written: u64) {
    let image = Image::open(image, &Default::default()).unwrap();
    let mut buf = vec![0; 1 << 20];
    for offset in (0..written).step_by(1 << 20) {
        let take = usize::try_from(written - offset).unwrap().min(buf.len());
        image.disk().read_exact_at(offset, &mut buf[..take]).unwrap();
        assert!(buf[..take].iter().all(|byte| *byte == 0x5a), "the MiB at {offset:#x}");
    }
}

#[test]
fn vhdx_blocks_of_1_2_and_32_mib_go_as_far_as_predicted() {
    for (block, size) in [(1, 60), (2, 60), (32, 100)] {
        let Some(host) = Host::ext4(size) else { return };
        let image = host.create("thin.vhdx", "vhdx", &format!("block_size={block}M"), PROMISED);
        predict_and_fill(&host, &image, "vhdx", block * MIB);
    }
}

#[test]
fn a_dynamic_vhd_goes_as_far_as_predicted() {
    let Some(host) = Host::ext4(70) else { return };
    let image = host.create("thin.vhd", "vpc", "force_size=on", PROMISED);
    predict_and_fill(&host, &image, "vpc", 2 * MIB);
}

#[test]
fn sparse_fixed_and_raw_images_go_as_far_as_predicted() {
    for (name, format, options) in
        [("thin.raw", "raw", ""), ("fixed.vhd", "vpc", "subformat=fixed,force_size=on")]
    {
        let Some(host) = Host::ext4(70) else { return };
        let image = host.create(name, format, options, PROMISED);
        predict_and_fill(&host, &image, format, 4096);
    }
}

#[test]
fn hosts_that_keep_blocks_by_pointers_go_as_far_as_predicted() {
    for filesystem in ["ext2", "ext3"] {
        let options: &[&str] = if filesystem == "ext2" { &["-m", "0"] } else { &["-m", "0", "-J", "size=4"] };
        let Some(host) = Host::new(filesystem, 60, options) else { return };
        let image = host.create("thin.raw", "raw", "", PROMISED);
        predict_and_fill(&host, &image, "raw", 4096);
    }
}

#[test]
fn an_image_on_xfs_goes_as_far_as_predicted() {
    let Some(host) = Host::new("xfs", 320, &[]) else { return };
    host.leave(50 * MIB);
    let image = host.create("thin.vhdx", "vhdx", "block_size=2M", PROMISED);
    predict_and_fill(&host, &image, "vhdx", 2 * MIB);
}

#[test]
fn an_image_on_btrfs_goes_as_far_as_predicted_and_is_called_an_estimate() {
    let Some(host) = Host::new("btrfs", 160, &[]) else { return };
    host.leave(50 * MIB);
    let image = host.create("thin.vhdx", "vhdx", "block_size=2M", PROMISED);
    let before = capacity(&image);
    assert!(before["estimate"].as_str().unwrap().contains("copies on write"), "{before:#}");
    assert!(before["host"].as_str().unwrap().ends_with("host (btrfs)"), "{before:#}");
    predict_and_fill(&host, &image, "vhdx", 2 * MIB);
}

#[test]
fn a_hundred_promised_thirty_used_fifteen_free_is_forty_five() {
    let Some(host) = Host::ext4(70) else { return };
    let image = host.create("thin.vhdx", "vhdx", "block_size=1M", 100 * MIB);
    assert_eq!(write(&image, "vhdx", 0, 30 * MIB, MIB), 30 * MIB);
    host.settle();
    // 8 KiB of log for each of the sixteen blocks that come into question.
    host.leave(15 * MIB + 16 * 8192 + 4096);
    let report = capacity(&image);
    assert_eq!(figure(&report, "backed"), 30 * MIB);
    assert_eq!(figure(&report, "achievable_size"), 45 * MIB, "{report:#}");
    assert_eq!(figure(&report, "shortfall"), 55 * MIB);
    let written = write(&image, "vhdx", 30 * MIB, 70 * MIB, MIB);
    assert_eq!(written, 15 * MIB);
    assert_reads_as_written(&image, 45 * MIB);
}

#[test]
fn two_images_on_one_host_get_the_same_figure_and_then_what_is_left() {
    let Some(host) = Host::ext4(90) else { return };
    let first = host.create("first.vhdx", "vhdx", "block_size=2M", PROMISED);
    let second = host.create("second.vhd", "vpc", "force_size=on", PROMISED);
    let alone = capacity(&first);
    assert_eq!(figure(&alone, "host_free"), figure(&capacity(&second), "host_free"));
    assert_eq!(write(&first, "vhdx", 0, 40 * MIB, MIB), 40 * MIB);
    host.settle();
    let rest = capacity(&first);
    let less = figure(&alone, "host_free") - figure(&rest, "host_free");
    assert!((40 * MIB..41 * MIB).contains(&less), "blocks of 40 MiB and their log, {less}");
    predict_and_fill(&host, &second, "vpc", 2 * MIB);
    let full = capacity(&first);
    assert!(figure(&full, "host_free") < MIB);
    assert_eq!(figure(&full, "achievable_size"), 40 * MIB + figure(&full, "host_free") / (2 * MIB) * 2 * MIB);
}

#[test]
fn holes_of_the_host_file_are_filled_before_blocks_are_made() {
    let Some(host) = Host::ext4(70) else { return };
    let image = host.create("thin.vhdx", "vhdx", "block_size=2M", PROMISED);
    assert_eq!(write(&image, "vhdx", 0, 40 * MIB, MIB), 40 * MIB);
    host.settle();
    // Ten MiB in the middle of the blocks, from a place that is no boundary of theirs.
    run(tool("fallocate").args(["-p", "-o", "20000768", "-l", "10485760"]).arg(&image));
    host.settle();
    let report = capacity(&image);
    assert_eq!(figure(&report, "backed"), 30 * MIB, "{report:#}");
    predict_and_fill(&host, &image, "vhdx", 2 * MIB);
}

#[test]
fn space_that_the_host_has_reserved_is_there() {
    let Some(host) = Host::ext4(90) else { return };
    let image = host.create("reserved.raw", "raw", "", 60 * MIB);
    run(tool("fallocate").args(["-l", "60M"]).arg(&image));
    host.leave(MIB);
    let report = capacity(&image);
    assert_eq!((figure(&report, "backed"), &report["status"]), (60 * MIB, &"ok".into()), "{report:#}");
    assert_eq!(write(&image, "raw", 0, 60 * MIB, MIB), 60 * MIB);
}

#[test]
fn nothing_grows_on_a_read_only_host_or_in_an_immutable_file() {
    let Some(host) = Host::ext4(60) else { return };
    let image = host.create("thin.vhdx", "vhdx", "block_size=1M", PROMISED);
    assert!(figure(&capacity(&image), "host_free") > 0);
    run(tool("chattr").arg("+i").arg(&image));
    let report = capacity(&image);
    run(tool("chattr").arg("-i").arg(&image));
    assert_eq!(figure(&report, "host_free"), 0);
    assert!(report["host_note"].as_str().unwrap().contains("immutable"), "{report:#}");
    host.remount("ro");
    let report = capacity(&image);
    assert_eq!((figure(&report, "host_free"), figure(&report, "achievable_size")), (0, 0));
    assert!(report["host_note"].as_str().unwrap().contains("read-only"), "{report:#}");
}

#[test]
fn a_block_device_grows_no_image() {
    let Some(host) = Host::ext4(40) else { return };
    let image = host.create("disk.raw", "raw", "", 20 * MIB);
    let attached = run(tool("losetup").args(["--find", "--show", "--read-only"]).arg(&image)).stdout;
    let device = String::from_utf8(attached).unwrap();
    let report = capacity(Path::new(device.trim()));
    run(tool("losetup").args(["--detach", device.trim()]));
    assert_eq!((figure(&report, "achievable_size"), figure(&report, "host_free")), (20 * MIB, 0));
    assert!(report["host_note"].as_str().unwrap().contains("block device"), "{report:#}");
    assert!(report["estimate"].as_str().unwrap().contains("thin"), "{report:#}");
}

#[test]
fn a_child_grows_on_its_own_host_and_its_parent_is_named_with_its() {
    let Some(host) = Host::ext4(60) else { return };
    let folder = crate::support::scratch();
    let mut parent = crate::support::vhdx_writer::Recipe::fixed(MIB, &vec![7; 2 << 20]);
    parent.data_write_guid = [0xaa; 16];
    parent.build().save(&folder.path().join("parent.vhdx"));
    let child = crate::support::vhdx_writer::Recipe::differencing(2 * MIB, MIB, [0xaa; 16], "parent.vhdx");
    child.build().save(&host.path("child.vhdx"));
    host.settle();
    let output = run(crate::support::demo::vhdmount()
        .args(["capacity", "--json", "--parent-dir"])
        .arg(folder.path())
        .arg(host.path("child.vhdx")));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let report = crate::support::demo::only_disk(&report);
    assert_eq!(figure(report, "host_free"), host.free());
    assert_eq!((figure(report, "backed"), figure(report, "achievable_size")), (0, 2 * MIB));
    let parent_host = report["parent_hosts"][0].as_str().unwrap();
    assert!(!parent_host.is_empty() && parent_host != report["host"], "{report:#}");
    // Two blocks and the bitmap block of their chunk, and the holes of what the test's writer left sparse.
    assert_eq!(figure(report, "growth_to_full") - figure(report, "overhead_to_full"), 2 * MIB);
    assert!(figure(report, "overhead_to_full") >= MIB);
}

#[test]
fn what_a_child_has_of_bitmap_blocks_is_not_paid_twice() {
    use crate::support::vhdx_writer::{Block, Recipe};
    let folder = crate::support::scratch();
    let path = folder.path().join("child.vhdx");
    let sectors = [(0, vec![1; 512])].into_iter().collect();
    let child = Recipe::differencing(16 * MIB, MIB, [0xaa; 16], "none.vhdx");
    child.block(0, Block::Partial(sectors)).build().save(&path);
    // Nothing of the file is a hole now.
    run(tool("fallocate").arg("-l").arg(std::fs::metadata(&path).unwrap().len().to_string()).arg(&path));
    let output =
        run(crate::support::demo::vhdmount().args(["capacity", "--json", "--force-parent"]).arg(&path));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let report = crate::support::demo::only_disk(&report);
    assert_eq!((figure(report, "growth_to_full"), figure(report, "overhead_to_full")), (15 * MIB, 0));
}

#[test]
fn blocks_of_a_crafted_table_that_share_a_place_count_once() {
    use crate::support::vhdx_writer::{Block, Recipe};
    let folder = crate::support::scratch();
    let path = folder.path().join("crafted.vhdx");
    let honest = Recipe::dynamic(64 * MIB, MIB).block(0, Block::Full(vec![1; 1 << 20]));
    let image = honest.build();
    let entry = u64::from_le_bytes(image.read(image.bat_offset, 8).try_into().unwrap());
    let crafted = (1..40).fold(honest, |recipe, number| recipe.block(number, Block::Entry(entry)));
    crafted.build().save(&path);
    let report = capacity(&path);
    assert_eq!(figure(&report, "backed"), MIB, "{report:#}");
    assert_eq!(figure(&report, "achievable_size"), 25 * MIB, "{report:#}");
    let problem = report["problem"].as_str().unwrap();
    assert!(problem.starts_with("39.0 MiB") && problem.contains("same place"), "{problem}");
}
