//! What fuzz targets and ordinary tests run on a byte string.

use super::{CHANGE, Input, Made, exercise, exercise::Work, fat, ntfs};

/// Most changes to one volume.
const MAX_CHANGES: usize = 12;

/// A volume of NTFS with damage, as a whole image.
pub fn ntfs_tree(data: &[u8]) -> Work {
    tree(data, ntfs::volume)
}

/// A FAT volume with damage, as a whole image.
pub fn fat_tree(data: &[u8]) -> Work {
    tree(data, fat::volume)
}

fn tree(data: &[u8], make: impl FnOnce(&mut Input<'_>) -> Made) -> Work {
    let mut input = Input::new(data);
    let changes = input.below(MAX_CHANGES + 1);
    let changes = input.split_end(changes * CHANGE);
    let made = make(&mut input);
    let sound = changes.len() < CHANGE && made.sound;
    exercise::image(made.pieces.finish(changes), sound)
}
