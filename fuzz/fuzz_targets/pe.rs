//! Executables and who signed them.
#![no_main]
use libfuzzer_sys::fuzz_target;
use vhdmount::pe::Executable;

fuzz_target!(|data: &[u8]| {
    let Ok(executable) = Executable::parse(data) else { return };
    for section in &executable.sections {
        assert!(data.get(section.place.clone()).is_some());
    }
    assert!(executable.signatures(data).len() <= 16);
});
