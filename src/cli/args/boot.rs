//! The arguments of what looks at how a disk is started.

use std::path::PathBuf;

use clap::Args;

use super::Open;

/// `vhdmount boot`
#[derive(Debug, Args)]
#[command(after_help = "\
Nothing is executed: firmware's own entries for a disk, and what only a loader decides, are not seen. Who signed a loader is \
what its certificate table says; whether Secure Boot accepts it depends on the firmware.

Exit codes: 0 boots as far as can be seen, with one kind of firmware at least, 5 cannot tell, 6 would not boot; 1 usage, 2 the \
image, 4 standard output.")]
pub(crate) struct Boot {
    /// VHD, VHDX, raw image or disk
    pub(crate) image: PathBuf,
    /// With this kind alone: bios (generation 1), uefi (generation 2), native (from a host's boot menu)
    #[arg(long, value_name = "KIND")]
    pub(crate) firmware: Option<Firmware>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) open: Open,
}

/// What starts a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Firmware {
    /// A BIOS: virtual machines of generation 1
    #[value(alias = "gen1")]
    Bios,
    /// UEFI: virtual machines of generation 2
    #[value(alias = "gen2")]
    Uefi,
    /// The boot manager of a host, with the image as its file
    Native,
}

/// `vhdmount bcd`
#[derive(Debug, Args)]
#[command(after_help = "\
Lines that begin with # are not bcdedit's: where a store is, and what an entry would start on this disk. A partition has the \
name that it has everywhere here (p3); one that is not on this disk has its identity. With -v identifiers are printed in \
full, as bcdedit's /v does, and partitions with their identity.

Exit codes: 0 all stores could be read, 2 the image, or one of its stores, or there is none; 1 usage, 4 standard output.")]
pub(crate) struct Bcd {
    /// VHD, VHDX, raw image or disk; or a store itself (a file called BCD)
    pub(crate) image: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) open: Open,
}
