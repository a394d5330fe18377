//! What is passed on to Windows of a volume's metadata: security descriptors, which its kernel reads on, and chains of
//! extended attributes; descriptors as text (SDDL).
#![no_main]

#[path = "../../platform/windows/adapter/ea.rs"]
mod ea;
#[path = "../../platform/windows/adapter/security.rs"]
#[allow(dead_code)]
mod security;

use libfuzzer_sys::fuzz_target;
use vhdmount::security::Descriptor;

fuzz_target!(|data: &[u8]| {
    // As text as well, which registry keys are shown with.
    let sddl = Descriptor::parse(data).and_then(|descriptor| descriptor.to_sddl());
    assert!(sddl.is_none() || security::is_sound(data));
    let chain = ea::repack(data);
    assert!(chain.bytes.len() <= 2 * data.len());
    // What was packed is packed already.
    assert_eq!(ea::repack(&chain.bytes), chain);
});
