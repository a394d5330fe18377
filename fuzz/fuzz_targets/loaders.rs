//! Boot sectors, GRUB's configuration, entries of systemd-boot.
#![no_main]
use libfuzzer_sys::fuzz_target;
use vhdmount::boot::{
    entries::{Entry, default_pattern},
    grub::Config,
    sector,
};

fuzz_target!(|data: &[u8]| {
    let _ = (
        sector::of_disk(data),
        sector::of_volume(data),
        sector::kernel_sector(data),
        sector::is_signed(data),
    );
    let text = String::from_utf8_lossy(data);
    let config = Config::parse(&text);
    assert!(config.entries.len() <= 256 && config.files.len() <= 64 && config.searched.len() <= 64);
    let _ = (Entry::parse(&text), default_pattern(&text));
});
