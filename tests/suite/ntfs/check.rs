//! The examination: volumes that mkntfs and ntfs-3g made are sound, and each kind of damage is found as what it is, by us and
//! where they look for it by ntfsprogs and The Sleuth Kit.

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

/// Severity, structure and problem of everything that is found.
fn examine(volume: &Ntfs) -> Vec<(Severity, String, String)> {
    let mut collector = Collector::default();
    vhdmount::fs::check(volume, &mut collector).unwrap();
    let (findings, _) = collector.into_parts();
    findings.into_iter().map(|found| (found.severity, found.structure, found.problem)).collect()
}

/// A volume that other programs made and that nobody damaged.
pub(super) fn is_clean(image: &Path) {
    assert_eq!(examine(&super::open(image)), []);
    if have(&["ntfsfix"]) {
        run(tool("ntfsfix").arg("-n").arg(image));
    }
}

/// A volume whose records and clusters are changed by name.
struct Patient {
    image: Vec<u8>,
    mft: usize,
    sound: Ntfs,
}

impl Patient {
    fn new() -> Option<Self> {
        // Made once for all tests here.
        static VOLUME: LazyLock<Option<Vec<u8>>> = LazyLock::new(volume);
        let image = VOLUME.clone()?;
        let sound = open(image.clone()).unwrap();
        assert_eq!(examine(&sound), []);
        let mft = usize::try_from(ntfs::BootSector::parse(&image).unwrap().mft).unwrap();
        Some(Self { image, mft, sound })
    }

    /// The record of `many/file NNN`.
    fn file(&self, number: usize) -> u64 {
        assert!(number < FILES);
        lookup(&self.sound, &["many", &format!("file {number:03}")]).unwrap().unwrap().0
    }

    fn record_of(&self, path: &[&str]) -> u64 {
        lookup(&self.sound, path).unwrap().unwrap().0
    }

    /// The table is in one piece.
    fn record(&mut self, number: u64) -> &mut [u8] {
        let at = self.mft + usize::try_from(number).unwrap() * RECORD;
        assert!(self.image[at..].starts_with(b"FILE"));
        &mut self.image[at..at + RECORD]
    }

    /// An attribute in a record, from its header on.
    fn attribute(&mut self, number: u64, type_code: u32) -> &mut [u8] {
        let record = self.record(number);
        let mut at = usize::from(u16::from_le_bytes([record[0x14], record[0x15]]));
        loop {
            let word = |at: usize| u32::from_le_bytes(record[at..at + 4].try_into().unwrap());
            assert_ne!(word(at), u32::MAX, "no attribute {type_code:#x}");
            if word(at) == type_code {
                return &mut record[at..];
            }
            at += word(at + 4) as usize;
        }
    }

    /// The first run of the unnamed data: its place in the attribute, length and first cluster.
    fn first_run(&mut self, number: u64) -> (usize, u64, u64) {
        let data = self.attribute(number, 0x80);
        let at = usize::from(data[0x20]);
        let (count, distance) = (usize::from(data[at] & 15), usize::from(data[at] >> 4));
        let value = |bytes: &[u8]| bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        (at, value(&data[at + 1..][..count]), value(&data[at + 1 + count..][..distance]))
    }

    /// Byte position of what a file without name in the system keeps in its first cluster.
    fn data(&mut self, number: u64) -> usize {
        usize::try_from(self.first_run(number).2).unwrap() * 4096
    }

    fn findings(&self) -> Vec<(Severity, String, String)> {
        examine(&open(self.image.clone()).unwrap())
    }

    /// Exactly these, the worst first: severity, structure, a part of the problem.
    fn expect(&self, expected: &[(Severity, &str, &str)]) {
        let found = self.findings();
        let same = found.len() == expected.len()
            && found.iter().zip(expected).all(|((severity, structure, problem), expected)| {
                *severity == expected.0 && structure == expected.1 && problem.contains(expected.2)
            });
        assert!(same, "{found:#?}\nexpected {expected:#?}");
    }

    /// What another program says of the image.
    fn ask(&self, program: &str, options: &[&str]) -> Option<(bool, String)> {
        if !have(&[program]) {
            return None;
        }
        let folder = scratch();
        let path = folder.path().join("image");
        fs::write(&path, &self.image).unwrap();
        let words: Vec<_> =
            options.iter().map(|word| word.replace("IMAGE", &path.to_string_lossy())).collect();
        let output = tool(program).args(words).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        Some((output.status.success(), text.into_owned()))
    }
}

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
fn records_and_their_bitmap_are_compared() {
    let Some(mut patient) = Patient::new() else { return };
    let file = patient.file(3);
    let record = format!("MFT record {file}");
    let bitmap = {
        let attribute = patient.attribute(0, 0xb0);
        let at = usize::from(attribute[0x20]);
        // One run, with one byte of length.
        usize::try_from(u32::from_le_bytes([attribute[at + 2], attribute[at + 3], 0, 0])).unwrap() & 0xff
    } * 4096;
    let byte = bitmap + usize::try_from(file / 8).unwrap();
    patient.image[byte] &= !(1 << (file % 8));
    patient.expect(&[(Error, &record, "/many/file 003: in use, but marked as free")]);
    patient.image[byte] |= 1 << (file % 8);

    // Deleted in its record alone.
    let many = format!("MFT record {}", patient.record_of(&["many"]));
    patient.record(file)[0x16] &= !1;
    let dangling = format!("\"file 003\" leads to MFT record {file}, which is not in use");
    patient.expect(&[
        (Error, &many, &dangling),
        (Warning, "$MFT's bitmap", &format!("1 records marked as used are not in use, the first: {file}")),
    ]);
    patient.record(file)[0x16] |= 1;

    // Given to another file.
    patient.record(file)[0x10] += 1;
    let stale = format!("\"file 003\" led to MFT record {file}");
    patient.expect(&[(Error, &many, &stale), (Error, &record, "no directory has an entry of it")]);
    patient.record(file)[0x10] -= 1;

    patient.record(file)[0x12] += 1;
    patient.expect(&[(Warning, &record, "1 names, its header counts 2")]);
    patient.record(file)[0x12] -= 1;

    patient.record(file)[0x2c] ^= 0x40;
    patient.expect(&[(Warning, &record, "its header states number")]);
    patient.record(file)[0x2c] ^= 0x40;

    // What is in use, one attribute longer than it is.
    patient.record(file)[0x18] += 8;
    patient.expect(&[(Warning, &record, "bytes in use, its attributes end at")]);
    patient.record(file)[0x18] -= 8;

    // The number of the next attribute, which several have already.
    let next = std::mem::replace(&mut patient.record(file)[0x28], 1);
    patient.expect(&[(Warning, &record, "the number of its next attribute would be 1, but one has")]);
    patient.record(file)[0x28] = next;
    assert_eq!(patient.findings(), []);
}

/// Where the entry of a name lies in the index blocks: its key's first unit. Behind a block's end old entries may lie.
fn entry(image: &[u8], name: &str) -> usize {
    let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let blocks = (0..image.len()).step_by(4096).filter(|at| image[*at..].starts_with(b"INDX"));
    let mut found = blocks.filter_map(|at| {
        let end = 0x18 + usize::from(u16::from_le_bytes([image[at + 0x1c], image[at + 0x1d]]));
        Some(at + image[at..at + end].windows(name.len()).position(|window| window == name)?)
    });
    found.next().unwrap()
}

#[test]
fn sizes_that_a_directory_repeats_are_those_of_the_file() {
    let Some(mut patient) = Patient::new() else { return };
    let many = format!("MFT record {}", patient.record_of(&["many"]));
    // The length is at byte 0x30 of the key, what is allocated at byte 0x28; the name follows at byte 0x42.
    let key = entry(&patient.image, "file 123") - 0x42;
    for place in [0x30, 0x36] {
        patient.image[key + place] ^= 1;
        patient.expect(&[(Note, &many, "/many/file 123: the entry states")]);
        patient.image[key + place] ^= 1;
    }
    // A file with a second name: Windows updates the entry of that by which it is opened.
    let (file, at) = (patient.file(123), key + 0x30);
    let record = patient.record(file);
    record[0x12] += 1;
    let used = usize::try_from(u32::from_le_bytes(record[0x18..0x1c].try_into().unwrap())).unwrap();
    let first = usize::from(u16::from_le_bytes([record[0x14], record[0x15]]));
    let mut name = first;
    while record[name] != 0x30 {
        name += usize::from(record[name + 4]);
    }
    let len = usize::from(record[name + 4]);
    record.copy_within(name..used, name + len);
    let used = u32::try_from(used + len).unwrap().to_le_bytes();
    record[0x18..0x1c].copy_from_slice(&used);
    let two_names = patient.findings();
    patient.image[at] ^= 1;
    assert_eq!(patient.findings(), two_names, "its other name may be the one that is kept up to date");
    assert!(two_names.iter().all(|(_, _, problem)| !problem.contains("the entry states")), "{two_names:#?}");

    // Each of a hundred outdated ones counts, and not each is listed.
    let Some(mut patient) = Patient::new() else { return };
    for number in 0..100 {
        let key = entry(&patient.image, &format!("file {number:03}")) - 0x42;
        patient.image[key + 0x30] ^= 1;
    }
    let found = patient.findings();
    assert!(found.iter().all(|(severity, ..)| *severity == Note), "{found:#?}");
    assert_eq!(found.len(), 21);
    assert!(found.iter().any(|(.., problem)| problem == "80 more of the same kind"), "{found:#?}");
}

#[test]
fn directories_are_walked_in_order() {
    let Some(mut patient) = Patient::new() else { return };
    let many = format!("MFT record {}", patient.record_of(&["many"]));
    let record = format!("MFT record {}", patient.file(123));
    let at = entry(&patient.image, "file 123");
    // The same place in the order, another name.
    patient.image[at] = b'F';
    patient.expect(&[(Warning, &record, "its names are not those in the directories")]);
    patient.image[at] = b'z';
    patient.expect(&[
        (Error, &many, "comes after \"zile 123\""),
        (Warning, &record, "its names are not those in the directories"),
    ]);
    patient.image[at] = b'f';
    // 0x42 bytes before the name its key begins, with the directory.
    patient.image[at - 0x42] ^= 1;
    patient.expect(&[(Warning, &many, "\"file 123\" says to lie in MFT record")]);
    patient.image[at - 0x42] ^= 1;

    let block = at / 4096 * 4096;
    patient.image[block + 510] ^= 0xff;
    patient.expect(&[
        (Error, &many, "index block"),
        (Note, "directories", "files and directories lack an entry there"),
    ]);
    patient.image[block + 510] ^= 0xff;
    assert_eq!(patient.findings(), []);

    // The index's own bitmap: resident in the directory's record.
    let directory = patient.record_of(&["many"]);
    patient.attribute(directory, 0xb0)[0x20] ^= 2;
    patient.expect(&[(Error, &many, "1 index blocks")]);
}

#[test]
fn files_of_several_records_hold_together() {
    let Some(mut patient) = Patient::new() else { return };
    let file = patient.record_of(&["fragmented"]);
    let record = format!("MFT record {file}");
    let extension = (24..400_u64).find(|number| {
        let at = patient.mft + usize::try_from(*number).unwrap() * RECORD;
        patient.image[at..].starts_with(b"FILE")
            && patient.image[at + 0x20..at + 0x26] == file.to_le_bytes()[..6]
    });
    let extension = extension.expect("an extension record");
    patient.record(extension)[0x20] ^= 1;
    let found = patient.findings();
    let of_list = |(severity, structure, problem): &(Severity, String, String)| {
        *severity == Error && *structure == record && problem.contains("belongs to another file")
    };
    assert!(found.iter().any(of_list), "{found:#?}");
    patient.record(extension)[0x20] ^= 1;
    // Its own sequence number is not the one in the list.
    patient.record(extension)[0x10] += 1;
    patient.expect(&[(Error, &record, "belongs to another file")]);
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
