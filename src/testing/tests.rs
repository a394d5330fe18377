//! The bodies of fuzz targets on seeds, beside those of the two formats.

use super::{bodies, seeded};

#[test]
fn crafted_images_are_refused_or_written_in_their_own_blocks() {
    (0..400).for_each(|seed| bodies::crafted_writes(&seeded(seed, 8 + usize::try_from(seed % 40).unwrap())));
}

#[test]
fn failing_reads_give_right_bytes_or_an_error() {
    (0..600).for_each(|seed| bodies::read_faults(&seeded(seed, 500)));
}
