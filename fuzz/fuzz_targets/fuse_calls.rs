//! The adapter of Linux' mounts: requests in any order, from several threads, on a generated tree.
#![no_main]

#[path = "../linux_adapter.rs"]
mod linux_adapter;
#[path = "../../platform/reporter.rs"]
mod reporter;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| linux_adapter::random_calls::run(data));
