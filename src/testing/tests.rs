//! The bodies of fuzz targets on seeds, beside those of the two formats.

use super::{bodies, seeded};

#[test]
fn failing_reads_give_right_bytes_or_an_error() {
    (0..600).for_each(|seed| bodies::read_faults(&seeded(seed, 500)));
}
