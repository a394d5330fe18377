//! What fuzz targets and ordinary tests run on a byte string.

use std::sync::Arc;

use super::{
    CHANGE, Input, Made, container, exercise,
    exercise::{Step, Work},
    fat, faults, ntfs,
};
use crate::{bytes::testing::Sparse, image::Image, tree::Tree};

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
    // One step at a time: more inputs in the same time.
    let step = input.pick(&[Step::Walk, Step::Check, Step::Survey, Step::All, Step::Walk, Step::Check]);
    let made = make(&mut input);
    let sound = changes.len() < CHANGE && made.sound;
    exercise::image(made.pieces.finish(changes), step, sound)
}

/// A volume of either format in image files: VHD, VHDX and chains of them, with damage in their structures. The disk must
/// be the volume as long as nothing is damaged.
///
/// # Panics
/// When something is wrong with the library.
pub fn container_chain(data: &[u8]) -> Work {
    let mut input = Input::new(data);
    let changes = input.below(MAX_CHANGES + 1);
    let changes = input.split_end(changes * CHANGE);
    let step = input.pick(&[Step::Walk, Step::Check, Step::Survey, Step::All, Step::Walk, Step::Check]);
    // The choices of the container come first, so that a short input has them, too.
    let mut front = Input::new(input.split_start(container::CHOICES));
    let made = match input.below(2) {
        0 => ntfs::volume(&mut input),
        _ => fat::volume(&mut input),
    };
    let disk = made.pieces.finish(&[]);
    let layers = container::chain(&disk, &mut front);
    let sound = changes.len() < CHANGE;
    let changes = |index: usize| -> Vec<u8> {
        let own = changes.chunks(CHANGE).skip(index).step_by(layers.len());
        own.flatten().copied().collect()
    };
    let changes: Vec<_> = (0..layers.len()).map(changes).collect();
    let layers = layers.into_iter().zip(&changes).map(|(layer, changes)| layer.finish(changes));
    let layers: Vec<Sparse> = layers.collect();
    if sound {
        exercise::same_disk(&disk, layers.clone());
    }
    exercise::chain(layers, step, sound && made.sound)
}

/// A sound volume of either format of which some reads fail.
pub fn read_faults(data: &[u8]) {
    let mut input = Input::new(data);
    let (cases, seed) = (input.pick(&[40, 10, 200]), input.word());
    let made = match input.below(2) {
        0 => ntfs::volume(&mut input),
        _ => fat::volume(&mut input),
    };
    if made.sound {
        faults::image(made.pieces.finish(&[]), cases, seed.into());
    }
}

/// The tree of an image with a volume of either format, and whether it is sound: for the adapters of mounts.
pub fn opened(input: &mut Input<'_>) -> Option<(Tree, bool)> {
    let (image, sound) = opened_image(input)?;
    Some((image.tree(None).ok()?, sound))
}

/// An image with a volume of either format, and whether it is sound.
pub fn opened_image(input: &mut Input<'_>) -> Option<(Image, bool)> {
    let changes = input.below(5);
    let changes = input.split_end(changes * CHANGE);
    let made = match input.below(3) {
        0 | 1 => ntfs::volume(input),
        _ => fat::volume(input),
    };
    let sound = changes.len() < CHANGE && made.sound;
    let image = Image::open_source(Arc::new(made.pieces.finish(changes)), &exercise::options());
    Some((image.ok()?, sound))
}
