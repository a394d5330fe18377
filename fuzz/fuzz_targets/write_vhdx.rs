//! A damaged VHDX that is opened for writing: it is refused, or exactly what is written changes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vhdmount::testing::writes;

fuzz_target!(|data: &[u8]| {
    let _ = writes::write_vhdx(data);
});
