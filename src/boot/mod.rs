//! What starts a computer from a disk: boot sectors, the configuration of GRUB and of systemd-boot. Pure parsers; what they
//! lead to on a disk is followed in [`crate::image`].

pub mod entries;
pub mod grub;
pub mod sector;
