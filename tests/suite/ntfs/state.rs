//! In which state Windows left a volume, judged as ntfs-3g judges it before it mounts one for writing.

use std::{fs, os::unix::fs::FileExt, path::Path};

use vhdmount::fs::{FileSystem, Journal};

use super::{Ntfs3g, make, open};
use crate::support::{have, have_fuse, scratch, tool};

/// What ntfs-3g.probe says: it would mount the volume, it finds a hibernated Windows, or an unclean volume.
fn judged(image: &Path) -> &'static str {
    let status = tool("ntfs-3g.probe").arg("--readwrite").arg(image).output().unwrap().status;
    match status.code() {
        Some(0) => "clean",
        Some(14) => "hibernated or cached",
        Some(15) => "unclean",
        other => panic!("{other:?}"),
    }
}

const NO_CLIENT: u16 = 0xffff;

/// A restart page as Windows writes it; the log of the volume has `size` bytes.
fn restart_page(lsn: u64, major: u8, in_use: u16, flags: u8, size: u64) -> Vec<u8> {
    let mut page = vec![0; 4096];
    let mut put = |at: usize, bytes: &[u8]| page[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"RSTR\x1e\0\x09\0");
    put(0x10, &[0, 0x10, 0, 0, 0, 0x10, 0, 0, 0x30, 0]);
    put(0x1a, &[u8::from(major == 1), 0, major, 0, 9, 0]);
    put(0x30, &lsn.to_le_bytes());
    let free = if in_use == NO_CLIENT { 0_u16 } else { NO_CLIENT };
    put(0x38, &[[1, 0], free.to_le_bytes(), in_use.to_le_bytes(), [flags, 0]].concat());
    // As many bits for the sequence number as the file's size leaves of an LSN.
    let bits = 67 - (64 - size.leading_zeros());
    put(0x40, &bits.to_le_bytes());
    put(0x44, &[0xe0, 0, 0x40, 0]);
    put(0x48, &size.to_le_bytes());
    put(0x54, &[0x30, 0, 0x40, 0]);
    put(0x70, &lsn.to_le_bytes());
    put(0x78, &lsn.to_le_bytes());
    put(0x80, &[0xff; 4]);
    put(0x8c, &[8]);
    put(0x90, b"N\0T\0F\0S\0");
    // The fixup: each stride ends with the update sequence number.
    (0..8).for_each(|stride| put(stride * 512 + 510, &[9, 0]));
    page
}

/// Where the journal lies, and its size.
fn journal(image: &Path) -> (u64, u64) {
    let bytes = fs::read(image).unwrap();
    let boot = vhdmount::fs::ntfs::BootSector::parse(&bytes).unwrap();
    let record = &bytes[usize::try_from(boot.mft).unwrap() + 2048..][..1024];
    let mut at = usize::from(record[0x14]);
    while record[at] != 0x80 {
        at += usize::from(record[at + 4]);
    }
    let word = |at: usize| u64::from_le_bytes(record[at..at + 8].try_into().unwrap());
    let run = at + usize::from(record[at + 0x20]);
    let (len, distance) = (usize::from(record[run] & 15), usize::from(record[run] >> 4));
    let lcn = word(run + 1 + len) & ((1 << (8 * distance)) - 1);
    (lcn * boot.cluster_size, word(at + 0x30))
}

#[test]
fn journal_is_judged_as_ntfs_3g_judges_it() {
    if !have(&["mkntfs", "ntfs-3g.probe"]) {
        return;
    }
    let folder = scratch();
    let image = make(folder.path(), 8 << 20, 512, 4096);
    let state = || {
        let info = open(&image).volume();
        assert_eq!(info.dirty, info.state().is_some());
        assert_eq!(info.problems.iter().any(|problem| Some(problem) == info.state().as_ref()), info.dirty);
        info.journal
    };
    assert_eq!((state(), judged(&image)), (Some(Journal::Empty), "clean"));
    let (at, size) = journal(&image);
    let file = fs::File::options().write(true).open(&image).unwrap();
    // Major version, client in use, flags, of the older and of the newer page.
    for (older, newer, ours, theirs) in [
        ((1, NO_CLIENT, 0), (1, NO_CLIENT, 0), Journal::Clean, "clean"),
        ((1, 0, 0), (1, NO_CLIENT, 0), Journal::Clean, "clean"),
        ((1, NO_CLIENT, 0), (1, 0, 0), Journal::Unclean, "unclean"),
        ((1, NO_CLIENT, 0), (1, 0, 2), Journal::Clean, "clean"),
        ((1, NO_CLIENT, 0), (2, NO_CLIENT, 0), Journal::InUse, "hibernated or cached"),
        ((2, NO_CLIENT, 0), (1, NO_CLIENT, 0), Journal::Clean, "clean"),
    ] {
        for swapped in [false, true] {
            let page = |lsn, (major, in_use, flags)| restart_page(lsn, major, in_use, flags, size);
            let (first, second) = (page(0x1000, older), page(0x2000, newer));
            let (first, second) = if swapped { (second, first) } else { (first, second) };
            file.write_all_at(&first, at).unwrap();
            file.write_all_at(&second, at + 4096).unwrap();
            assert_eq!((state(), judged(&image)), (Some(ours), theirs), "{older:?} {newer:?} {swapped}");
        }
    }
    // Nothing that can be read: ntfs-3g does not mount it either.
    file.write_all_at(&[0x55; 8192], at).unwrap();
    let info = open(&image).volume();
    assert_eq!((info.journal, info.problems.len(), judged(&image)), (Some(Journal::Damaged), 1, "unclean"));
}

#[test]
fn hibernation_is_recognized_by_its_file() {
    if !have(&["mkntfs", "ntfs-3g", "ntfs-3g.probe"]) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let image = make(folder.path(), 8 << 20, 512, 4096);
    for (signature, hibernated) in
        [(&b"hibr"[..], true), (b"HIBR", true), (b"\0\0\0\0", false), (b"wake", false), (b"RSTR", true)]
    {
        let mut content = vec![0; 8192];
        content[..4].copy_from_slice(signature);
        fs::write(Ntfs3g::mount(&image, "remove_hiberfile").folder.join("hiberfil.sys"), &content).unwrap();
        let info = open(&image).volume();
        assert_eq!((info.hibernated, info.state().is_some()), (hibernated, hibernated), "{signature:?}");
        // A resume that was begun and not ended is no obstacle to ntfs-3g.
        let expected = if signature.eq_ignore_ascii_case(b"hibr") { "hibernated or cached" } else { "clean" };
        assert_eq!(judged(&image), expected, "{signature:?}");
    }
}

#[test]
fn dirty_flag_is_reported() {
    if !have(&["mkntfs", "ntfsinfo"]) {
        return;
    }
    let folder = scratch();
    let image = make(folder.path(), 8 << 20, 512, 4096);
    let mut bytes = fs::read(&image).unwrap();
    let boot = vhdmount::fs::ntfs::BootSector::parse(&bytes).unwrap();
    let record = usize::try_from(boot.mft).unwrap() + 3 * 1024;
    let mut at = record + usize::from(bytes[record + 0x14]);
    while bytes[at] != 0x70 {
        at += usize::from(bytes[at + 4]);
    }
    bytes[at + 0x18 + 10] |= 1;
    // The mirror's copy, or ntfsinfo refuses the volume.
    let mirror = usize::try_from(boot.mft_mirror).unwrap() + 3 * 1024;
    bytes.copy_within(record..record + 1024, mirror);
    fs::write(&image, &bytes).unwrap();
    let info = open(&image).volume();
    assert_eq!((info.dirty, info.journal), (true, Some(Journal::Empty)));
    assert!(info.state().unwrap().starts_with("marked as dirty"), "{:?}", info.problems);
    let text = tool("ntfsinfo").args(["-m", "-f"]).arg(&image).output().unwrap().stdout;
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains("Volume Flags: 0x0001"), "{text}");
}
