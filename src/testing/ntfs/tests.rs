//! The generator, and the body of its fuzz target, on seeds.

use crate::testing::{bodies, seeded, verify};

#[test]
fn undamaged_volumes_read_as_made_and_pass_the_check() {
    verify::volumes(super::volume, 100);
}

#[test]
fn damaged_volumes_cost_no_more_than_they_store() {
    let opened = (0..400).filter(|seed| bodies::ntfs_tree(&seeded(*seed, 600)).opened).count();
    assert!(opened > 200, "only {opened} could be opened");
}
