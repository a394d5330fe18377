//! The adapter of mounts on Windows: requests in any order, from several threads, on a generated tree.
#![no_main]

#[path = "../../platform/windows/random_calls.rs"]
mod random_calls;
#[path = "../../platform/reporter.rs"]
mod reporter;
#[path = "../../platform/windows/adapter/mod.rs"]
#[allow(dead_code, unused_imports)]
mod windows_adapter;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| random_calls::run(data));
