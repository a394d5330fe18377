//! The bodies on chains of images, on seeds.

use crate::testing::{bodies, seeded};

#[test]
fn chains_hold_the_disk_that_was_put_into_them() {
    // No changes: the first choice is 0.
    for seed in 0..150 {
        let mut input = seeded(seed, 300);
        input[0] = 0;
        assert!(bodies::container_chain(&input).opened, "seed {seed}");
    }
}

#[test]
fn damaged_chains_cost_no_more_than_they_store() {
    let opened = (0..250).filter(|seed| bodies::container_chain(&seeded(*seed, 300)).opened).count();
    assert!(opened > 100, "only {opened} could be opened");
}
