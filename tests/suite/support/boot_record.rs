//! Boot records written into image files, for states that no partitioning program makes.

use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
    path::Path,
};

pub(crate) fn write_at(path: &Path, offset: u64, bytes: &[u8]) {
    let mut file = File::options().write(true).open(path).expect("the image");
    file.seek(SeekFrom::Start(offset)).and_then(|_| file.write_all(bytes)).expect("it is writable");
}

/// Writes a boot record: entries of boot flag, type, first sector, sectors.
pub(crate) fn put_record(path: &Path, lba: u64, entries: &[(u8, u8, u32, u32)]) {
    for (slot, (flag, kind, first, sectors)) in (0..).zip(entries) {
        let mut entry = [0; 16];
        (entry[0], entry[4]) = (*flag, *kind);
        entry[8..12].copy_from_slice(&first.to_le_bytes());
        entry[12..].copy_from_slice(&sectors.to_le_bytes());
        write_at(path, lba * 512 + 446 + 16 * slot, &entry);
    }
    write_at(path, lba * 512 + 510, &[0x55, 0xaa]);
}
