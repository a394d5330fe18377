//! A generated NTFS volume with damage: everything that users run on an image.
#![no_main]

#[path = "../../tests/suite/support/mutate/meter.rs"]
mod meter;

use libfuzzer_sys::fuzz_target;
use vhdmount::testing::bodies;

fuzz_target!(|data: &[u8]| {
    let (work, peak) = meter::peak_of(|| bodies::ntfs_tree(data));
    work.allows_memory(peak);
});
