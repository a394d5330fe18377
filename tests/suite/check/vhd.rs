//! VHD: each structure damaged by itself.

use std::{fs, sync::Arc};

use vhdmount::bytes::MemorySource;

use super::{examine, examine_file, expect, lines};
use crate::support::{
    have, run, scratch, tool,
    vhd_writer::{Block, VhdWriter, noise, seal},
};

const BLOCK: u32 = 64 << 10;
const NOT_OPENED: (&str, &str) = ("Note container", "cannot be opened");

/// 1 MiB in blocks of 64 KiB, three of which are in the file.
fn writer() -> VhdWriter {
    let mut writer = VhdWriter::new(3, 1 << 20, BLOCK);
    for number in [0, 3, 15] {
        let sectors = BLOCK as usize / 512;
        let block = Block { present: vec![true; sectors], data: noise(number as u64 + 1, BLOCK as usize) };
        writer.blocks[number] = Some(block);
    }
    writer
}

#[track_caller]
fn finds(bytes: Vec<u8>, expected: &[(&str, &str)]) {
    expect(&examine(Arc::new(MemorySource(bytes))), "container", expected);
}

fn set_entry(bytes: &mut [u8], block: usize, sector: u32) {
    bytes[1536 + block * 4..][..4].copy_from_slice(&sector.to_be_bytes());
}

fn entry(bytes: &[u8], block: usize) -> u32 {
    u32::from_be_bytes(bytes[1536 + block * 4..][..4].try_into().unwrap())
}

#[test]
fn whole_images_have_no_findings() {
    finds(writer().build(), &[]);
    let mut reversed = writer();
    reversed.reversed = true;
    finds(reversed.build(), &[]);
    let mut fixed = VhdWriter::new(2, 1 << 20, BLOCK);
    fixed.fixed = noise(1, 1 << 20);
    finds(fixed.build(), &[]);
    fixed.footer_len = 511;
    finds(fixed.build(), &[]);
}

#[test]
fn findings_in_footers_and_header_differ() {
    let whole = writer().build();
    let end = whole.len() - 512;
    let damaged = |places: &[usize]| {
        let mut bytes = whole.clone();
        places.iter().for_each(|at| bytes[*at] ^= 0x55);
        bytes
    };
    finds(damaged(&[end]), &[("Warning VHD footer", "cookie")]);
    finds(damaged(&[end + 100]), &[("Warning VHD footer", "wrong checksum")]);
    finds(damaged(&[0]), &[("Warning VHD footer copy", "cookie")]);
    finds(damaged(&[100]), &[("Warning VHD footer copy", "wrong checksum")]);
    finds(
        damaged(&[100, end + 100]),
        &[("Warning VHD footer", "wrong checksum"), ("Warning VHD footer copy", "wrong checksum")],
    );
    finds(damaged(&[0, end]), &[("Error VHD footer", "neither"), NOT_OPENED]);
    finds(damaged(&[512]), &[("Error VHD dynamic disk header", "cookie"), NOT_OPENED]);
    finds(damaged(&[512 + 1000]), &[("Warning VHD dynamic disk header", "wrong checksum")]);

    // An older copy, whole in itself.
    let mut bytes = whole.clone();
    bytes[70] ^= 1;
    seal(&mut bytes[..512], 64);
    finds(bytes, &[("Warning VHD footer copy", "differs")]);
    let mut saved = whole;
    for at in [0, end] {
        saved[at + 84] = 1;
        seal(&mut saved[at..at + 512], 64);
    }
    finds(saved, &[("Warning VHD footer", "saved state")]);
}

#[test]
fn each_fault_of_a_block_table_entry_is_named() {
    let whole = writer().build();
    let sectors = u32::try_from(whole.len() / 512).unwrap();
    let with = |block: usize, sector: u32| {
        let mut bytes = whole.clone();
        set_entry(&mut bytes, block, sector);
        bytes
    };
    finds(with(5, 1), &[("Error VHD block allocation table entry 5", "its own structures")]);
    finds(
        with(5, sectors + 9),
        &[("Error VHD block allocation table entry 5", "beyond the end of the file")],
    );
    finds(
        with(5, entry(&whole, 3)),
        &[("Error VHD block allocation table entry 5", "which is that of block 3 (bytes 0x50000 to 0x60000")],
    );
    finds(
        with(5, entry(&whole, 3) + 1),
        &[
            ("Error VHD block allocation table entry 5", "which is that of block 3"),
            ("Error VHD block allocation table entry 15", "which is that of block 5"),
        ],
    );
    finds(with(3, u32::MAX), &[("Note VHD file", "room for 1 blocks of 66048 bytes belongs to nothing")]);
    let mut cut = whole.clone();
    cut.truncate(whole.len() - 10_000);
    finds(
        cut,
        &[
            ("Error VHD block allocation table entry 15", "the file ends inside"),
            ("Warning VHD footer", "cookie"),
        ],
    );
    let mut behind = whole;
    // The table goes on to the end of its sector.
    behind[512 + 28..][..4].copy_from_slice(&17_u32.to_be_bytes());
    seal(&mut behind[512..1536], 36);
    set_entry(&mut behind, 16, 77);
    finds(behind, &[("Note VHD block allocation table", "1 entries behind")]);
}

#[test]
fn sizes_that_do_not_fit_are_reported() {
    let mut fixed = VhdWriter::new(2, 1 << 20, BLOCK);
    fixed.fixed = noise(1, 1 << 20);
    let mut cut = fixed.build();
    cut.drain(..4096);
    finds(cut, &[("Note VHD data", "without a partition table")]);
    let mut with_table = VhdWriter::new(2, 1 << 20, BLOCK);
    with_table.fixed = noise(1, 1 << 20);
    with_table.fixed[446..510].fill(0);
    with_table.fixed[450] = 7;
    with_table.fixed[510..512].copy_from_slice(&[0x55, 0xaa]);
    let mut cut = with_table.build();
    cut.drain(8192..12288);
    finds(cut, &[("Error VHD data", "the last 4096 bytes")]);
    let mut long = fixed.build();
    long.splice(..0, [0; 4096]);
    finds(long, &[("Note VHD data", "4096 bytes between")]);
    let mut odd = writer();
    odd.geometry = (100, 2, 4);
    finds(odd.build(), &[("Note VHD footer", "the geometry has 409600 bytes")]);
    odd.geometry = (1000, 2, 4);
    odd.creator = *b"vpc ";
    // Larger than the table can describe: not believed, and not worth a word.
    finds(odd.build(), &[]);
    odd.size -= 1000;
    odd.geometry = (256, 2, 4);
    finds(odd.build(), &[("Warning VHD footer", "the geometry is used")]);
}

#[test]
fn sectors_marked_as_never_written_are_noted_once() {
    let mut writer = writer();
    for number in [3, 15] {
        writer.blocks[number].as_mut().unwrap().present[77] = false;
    }
    finds(writer.build(), &[("Note VHD sector bitmaps", "in 2 of 3 blocks")]);
}

#[test]
fn qemu_and_libvhdi_agree() {
    if !have(&["qemu-img", "vhdiinfo"]) {
        return;
    }
    let folder = scratch();
    let (raw, path) = (folder.path().join("disk.raw"), folder.path().join("disk.vhd"));
    fs::write(&raw, noise(3, 20 << 20)).unwrap();
    let make = |options: &str| {
        run(tool("qemu-img").args(["convert", "-f", "raw", "-O", "vpc", "-o", options]).args([&raw, &path]));
    };
    for options in ["subformat=dynamic,force_size=on", "subformat=fixed,force_size=on", "subformat=dynamic"] {
        make(options);
        run(tool("vhdiinfo").arg(&path));
        expect(&examine_file(&path), "container", &[]);
    }
    // What libvhdi refuses is an error here, too: both footers, the header.
    for places in [&[0, 512][..], &[512 + 3]] {
        make("subformat=dynamic,force_size=on");
        let mut bytes = fs::read(&path).unwrap();
        // The footer counts from the end.
        let end = bytes.len();
        let at = |place: usize| if places.len() == 2 && place == 512 { end - place } else { place };
        places.iter().for_each(|place| bytes[at(*place)] ^= 0x55);
        fs::write(&path, bytes).unwrap();
        let found = lines(&examine_file(&path), "container");
        assert!(found[0].starts_with("Error VHD"), "{found:?}");
        assert!(!tool("vhdiinfo").arg(&path).output().unwrap().status.success(), "{places:?}");
    }
}
