//! A sound generated volume of which some reads fail: what is read is right, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vhdmount::testing::bodies;

fuzz_target!(|data: &[u8]| bodies::read_faults(data));
