//! Many entries that lead to one directory: what commands say of those through which it is not entered.

use std::path::Path;

use super::mtools;
use crate::support::{
    demo::{outcome, vhdmount},
    have, run, scratch, tool,
};

/// A FAT16 volume whose root has `count` directories, all with the first one's clusters.
fn of_one_directory(image: &Path, count: usize) {
    std::fs::File::create(image).unwrap().set_len(16 << 20).unwrap();
    run(tool("mkfs.fat").args(["-F", "16"]).arg(image));
    for number in 0..count {
        run(mtools("mmd", image).arg(format!("::/D{number}")));
    }
    run(mtools("mcopy", image).arg(image.with_file_name("file")).arg("::/D0/FILE"));
    let mut bytes = std::fs::read(image).unwrap();
    let word = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let root = (word(14) + usize::from(bytes[16]) * word(22)) * word(11);
    let first = [bytes[root + 26], bytes[root + 27]];
    for entry in bytes[root..root + 32 * count].chunks_mut(32) {
        assert_eq!((entry[0], entry[11]), (b'D', 0x10));
        entry[26..28].copy_from_slice(&first);
    }
    std::fs::write(image, bytes).unwrap();
}

#[test]
fn entries_that_do_not_lead_into_their_directory_are_counted() {
    if !have(&["mkfs.fat", "mmd", "mcopy"]) {
        return;
    }
    let folder = scratch();
    let (image, dest) = (folder.path().join("image"), folder.path().join("dest"));
    std::fs::write(folder.path().join("file"), "content").unwrap();
    of_one_directory(&image, 60);
    let (code, out, err) = outcome(&vhdmount().args(["ls", "-R"]).arg(&image).output().unwrap());
    assert_eq!(code, Some(4), "{err}");
    let headings: Vec<_> = out.lines().filter(|line| line.ends_with(':')).collect();
    assert_eq!(headings, ["/:", "/p1:", "/p1/D0:"], "{out}");
    let counted: Vec<_> = err.lines().filter(|line| line.contains("59 entries")).collect();
    assert!(counted.len() == 1 && counted[0].contains("/p1/D1, /p1/D10, /p1/D11, …"), "{err}");
    assert!(err.lines().count() <= 3, "{err}");

    std::fs::create_dir(&dest).unwrap();
    let (code, _, err) =
        outcome(&vhdmount().args(["cp", "-r"]).arg(&image).arg("p1").arg(&dest).output().unwrap());
    assert_eq!(code, Some(4), "{err}");
    assert!(err.contains("59 entries not copied") && err.lines().count() <= 4, "{err}");
    let made: Vec<_> = std::fs::read_dir(dest.join("p1")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(made, ["D0"]);
    assert_eq!(std::fs::read(dest.join("p1/D0/FILE")).unwrap(), b"content");
}
