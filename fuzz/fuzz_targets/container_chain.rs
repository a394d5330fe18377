//! A generated volume in VHD and VHDX files and chains of them, with damage in their structures.
#![no_main]

#[path = "../../tests/suite/support/mutate/meter.rs"]
mod meter;

use libfuzzer_sys::fuzz_target;
use vhdmount::testing::bodies;

fuzz_target!(|data: &[u8]| {
    let (work, peak) = meter::peak_of(|| bodies::container_chain(data));
    work.allows_memory(peak);
});
