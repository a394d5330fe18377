//! A VHDX that was not closed, with changes to its structures, is opened for writing and written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vhdmount::testing::bodies;

fuzz_target!(|data: &[u8]| bodies::crafted_writes(data));
