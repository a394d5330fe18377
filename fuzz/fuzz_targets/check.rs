//! The examination of a whole image: container, partition table, every volume. What cannot be opened is an error.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use vhdmount::{
    Error,
    bytes::MemorySource,
    image::{
        Image, OpenOptions,
        check::{CheckOptions, Verdict, check_source},
    },
};

fuzz_target!(|data: &[u8]| {
    let source = Arc::new(MemorySource(data.to_vec()));
    let mut options = CheckOptions { open: OpenOptions::default(), partition: None, parents: true };
    let opened = Image::open_source(source.clone(), &options.open);
    match (opened, check_source(source.clone(), &options, &mut |_| {})) {
        (Err(error), Ok(found)) if matches!(error.cause(), Error::Corrupt(_)) => {
            assert_eq!(found.verdict, Verdict::Errors);
        }
        (Ok(_), found) => assert!(found.is_ok()),
        _ => {}
    }
    options.open.container.replay = false;
    if let Ok(found) = check_source(source, &options, &mut |_| {}) {
        let kept: usize = found.areas.iter().map(|area| area.findings.len()).sum();
        assert!(kept < 1_000_000 && !vhdmount::json::to_text(&found).is_empty());
    }
});
