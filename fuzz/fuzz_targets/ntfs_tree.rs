//! A generated NTFS volume with damage: everything that users run on an image.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vhdmount::testing::bodies;

fuzz_target!(|data: &[u8]| {
    bodies::ntfs_tree(data);
});
