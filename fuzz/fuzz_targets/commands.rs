//! The code of `ls`, `cp`, `info` and `map` on a generated image; what it prints and copies stays in memory.
#![no_main]
#![allow(dead_code, unused_imports)]

#[path = "../../src/cli/mod.rs"]
mod cli;
#[path = "../../platform/linux/mod.rs"]
mod platform;
#[path = "../../platform/reporter.rs"]
mod reporter;
#[path = "../../platform/rights.rs"]
mod rights;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| cli::generated::run(data));
