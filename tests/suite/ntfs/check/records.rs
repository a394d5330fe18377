//! Tests of MFT records, their bitmap, and the directories that repeat what they state.

use super::*;

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
