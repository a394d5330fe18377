//! The examination: volumes that mkntfs and ntfs-3g made are sound, and each kind of damage is found as what it is, by us and
//! where they look for it by ntfsprogs and The Sleuth Kit.

mod patient;
mod records;

pub(super) use self::patient::is_clean;
use self::patient::{Patient, examine};

use std::{fs, path::Path, sync::LazyLock};

use vhdmount::{
    check::{Collector, Severity},
    fs::{
        FileSystem, NodeId,
        ntfs::{self, Ntfs},
    },
};

use super::damage::{FILES, RECORD, lookup, open, volume};
use crate::support::{have, run, scratch, tool};
use Severity::{Error, Note, Warning};

#[test]
fn torn_record_is_named_with_what_follows_from_it() {
    let Some(mut patient) = Patient::new() else { return };
    let number = patient.file(100);
    patient.record(number)[1022] ^= 0xff;
    let record = format!("MFT record {number}");
    patient.expect(&[(Error, &record, "stride 1"), (Note, "$Bitmap", "1 clusters marked as used")]);
    if let Some((success, text)) = patient.ask("ntfsinfo", &["-f", "-i", &number.to_string(), "IMAGE"]) {
        assert!(!success || text.contains("Incomplete multi-sector transfer"), "{text}");
    }
}

#[test]
fn bitmap_and_run_lists_are_compared_both_ways() {
    let Some(mut patient) = Patient::new() else { return };
    let file = patient.file(200);
    let (_, clusters, lcn) = patient.first_run(file);
    assert_eq!(clusters, 1);
    let bitmap = patient.data(6);
    let bit = |lcn: u64| (bitmap + usize::try_from(lcn / 8).unwrap(), 1 << (lcn % 8));
    let (byte, mask) = bit(lcn);
    patient.image[byte] &= !mask;
    let problem = format!(
        "1 clusters of MFT record {file} (file /many/file 200), from {lcn:#x} on, are marked as free"
    );
    patient.expect(&[(Error, "$Bitmap", &problem)]);
    patient.image[byte] |= mask;

    let is_free = |lcn: &u64| patient.image[bit(*lcn).0] & bit(*lcn).1 == 0;
    let free = (0..2046).rev().find(is_free).unwrap();
    let (byte, mask) = bit(free);
    patient.image[byte] |= mask;
    let problem = format!(
        "1 clusters marked as used belong to no file or directory (4096 bytes), the first: {free:#x}"
    );
    patient.expect(&[(Warning, "$Bitmap", &problem)]);
}

#[test]
fn cross_linked_files_are_both_named() {
    let Some(mut patient) = Patient::new() else { return };
    let (one, other) = (patient.file(150), patient.file(151));
    let (at, _, lcn) = patient.first_run(one);
    let (other_at, ..) = patient.first_run(other);
    let run: Vec<u8> = patient.attribute(one, 0x80)[at..at + 8].to_vec();
    patient.attribute(other, 0x80)[other_at..other_at + 8].copy_from_slice(&run);
    let problem = format!(
        "1 clusters from {lcn:#x} on belong to MFT record {one} (file /many/file 150) and MFT record {other} (file /many/file 151)"
    );
    patient.expect(&[
        (Error, "cross-linked clusters", &problem),
        (Warning, "$Bitmap", "1 clusters marked as used"),
    ]);
    // The Sleuth Kit finds the same owners.
    if let Some((_, text)) = patient.ask("ifind", &["-a", "-d", &lcn.to_string(), "IMAGE"]) {
        let owners: Vec<_> = text.lines().map(|line| line.split('-').next().unwrap().to_owned()).collect();
        assert_eq!(owners, [one.to_string(), other.to_string()]);
    }
}

#[test]
fn runs_that_leave_the_volume_or_contradict_the_size() {
    let Some(patient) = Patient::new() else { return };
    let changed = |patch: &dyn Fn(&mut [u8], usize)| {
        let mut patient = Patient {
            image: patient.image.clone(),
            mft: patient.mft,
            sound: open(patient.image.clone()).unwrap(),
        };
        let file = patient.file(250);
        let (at, ..) = patient.first_run(file);
        patch(patient.attribute(file, 0x80), at);
        (patient, format!("MFT record {file}"))
    };
    let leaked = (Note, "$Bitmap", "clusters marked as used");
    // Two bytes of length and of distance: the volume has less than 0x800 clusters.
    let (outside, record) = changed(&|data, at| data[at + 3] = 0x0f);
    outside.expect(&[(Error, &record, "$DATA: VCN 0x0 lies at cluster 0xf"), leaked]);
    let (cut, record) = changed(&|data, at| data[at] = 0x99);
    cut.expect(&[(Error, &record, "/many/file 250: $DATA: run"), leaked]);
    let (short, record) = changed(&|data, _| data[0x32] = 1);
    let many = format!("MFT record {}", short.record_of(&["many"]));
    let entry = "the entry states 5000 bytes";
    short.expect(&[(Error, &record, "70536 bytes, run list of 8192"), (Note, &many, entry)]);
    let (allocated, record) = changed(&|data, _| data[0x29] += 0x10);
    allocated.expect(&[(Warning, &record, "12288 bytes allocated, runs of 8192"), (Note, &many, entry)]);
}

#[test]
fn mirror_boot_sector_and_upcase_are_compared() {
    let Some(mut patient) = Patient::new() else { return };
    let (mirror, upcase) = (patient.data(1), patient.data(10));
    patient.image[mirror + 3 * RECORD + 0x40] ^= 1;
    patient.expect(&[(Warning, "$MFTMirr", "record 3 is not the one of $MFT")]);
    if let Some((_, text)) = patient.ask("ntfsfix", &["-n", "IMAGE"]) {
        assert!(text.contains("FAILED") || text.contains("differ"), "{text}");
    }
    patient.image[mirror + 3 * RECORD + 0x40] ^= 1;

    let backup = patient.image.len() - 512;
    patient.image[backup + 0x48] ^= 1;
    patient.expect(&[(Warning, "backup of the boot sector", "serial number")]);
    patient.image[backup..].fill(0);
    patient.expect(&[(Warning, "backup of the boot sector", "no boot sector at byte 0x7ffe00")]);
    patient.image.copy_within(..512, backup);
    patient.image[..512].fill(0);
    patient.expect(&[(Warning, "boot sector", "OEM ID")]);
    patient.image.copy_within(backup.., 0);

    patient.image[upcase + 2 * usize::from(b'~')] = b'!';
    patient.expect(&[(Warning, "$UpCase", "that of 0x7e would be 0x21")]);
}

#[test]
fn descriptors_have_two_copies() {
    let Some(mut patient) = Patient::new() else { return };
    // The first entry of $SDS: hash, id, offset, length.
    let first = (0..patient.image.len())
        .step_by(4096)
        .find(|at| patient.image[at + 4..at + 16] == [0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let first = first.expect("$SDS");
    patient.image[first + 0x18] ^= 1;
    patient.expect(&[(Warning, "security id 0x100", "hash")]);
    let copy = (first + 4096..patient.image.len())
        .step_by(4096)
        .find(|at| patient.image[at + 4..at + 16] == [0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    patient.image[copy.expect("the copy of $SDS") + 0x18] ^= 1;
    patient.expect(&[(Warning, "security id 0x100", "hash")]);
}

#[test]
fn damaged_volumes_are_examined_to_the_end() {
    let Some(patient) = Patient::new() else { return };
    let random = super::noise(60_000, 5);
    let mut random =
        random.chunks_exact(4).map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap()) as usize);
    let used: Vec<usize> = (0..patient.image.len())
        .step_by(512)
        .filter(|at| patient.image[*at..*at + 512].iter().any(|byte| *byte != 0))
        .collect();
    let mut found = 0;
    for _ in 0..150 {
        let mut image = patient.image.clone();
        for _ in 0..20 {
            let at = used[random.next().unwrap() % used.len()] + random.next().unwrap() % 510;
            image[at] = random.next().unwrap().to_le_bytes()[0];
        }
        if let Ok(volume) = open(image) {
            found += usize::from(!examine(&volume).is_empty());
        }
    }
    assert!(found > 30, "{found}");
    for node in [NodeId(0), NodeId(6)] {
        assert!(patient.sound.stat(node).is_ok());
    }
}
