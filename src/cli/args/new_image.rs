//! The arguments of `vhdmount create` and `vhdmount convert`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use vhdmount::container;

use super::{Open, cp::size};

/// `vhdmount create`
#[derive(Debug, Args)]
#[command(after_help = "\
The format follows from the name (.vhdx, .vhd; any other is raw) unless --format names it. A dynamic image takes the space of what \
is written to it; a fixed one reserves all of it at once. FILE is called FILE.partial until it is complete, and nothing that \
exists is replaced.

A child (--parent) stores what differs from its parent, which must not change any more: make it read-only.")]
pub(crate) struct Create {
    /// The new image
    pub(crate) file: PathBuf,

    /// The size that the guest sees, as in 64G or 127GiB (both mean 1024³ bytes a unit); that of the parent with --parent
    #[arg(long, value_name = "SIZE", value_parser = size, required_unless_present = "parent", conflicts_with = "parent")]
    pub(crate) size: Option<u64>,

    /// VHDX, VHD or raw
    #[arg(long)]
    pub(crate) format: Option<Format>,

    #[command(flatten)]
    pub(crate) layout: Layout,

    /// Bytes per logical sector: 512 or 4096 (VHDX)
    #[arg(long, value_name = "BYTES", conflicts_with = "parent")]
    pub(crate) sector_size: Option<u32>,

    /// Make a differencing image of this parent
    #[arg(long, value_name = "BASE", conflicts_with_all = ["type", "gpt"])]
    pub(crate) parent: Option<PathBuf>,

    /// Write a GUID partition table with one partition for data over all of the disk
    #[arg(long)]
    pub(crate) gpt: bool,

    /// An EFI system partition before it (100 MiB; 300 MiB with sectors of 4096 bytes); unformatted
    #[arg(long, requires = "gpt")]
    pub(crate) esp: bool,

    /// A Microsoft reserved partition before it (16 MiB)
    #[arg(long, requires = "gpt")]
    pub(crate) msr: bool,
}

/// `vhdmount convert`
#[derive(Debug, Args)]
#[command(after_help = "\
The new image has the content of the disk, that of a differencing disk's parents included, and no parent. Holes are not read, and \
zeros are not written. DEST is called DEST.partial until it is complete and on the disk; nothing that exists is replaced.")]
pub(crate) struct Convert {
    /// VHD, VHDX, raw image or disk
    pub(crate) image: PathBuf,

    /// The new image
    pub(crate) dest: PathBuf,

    /// VHDX, VHD or raw; without it as the name of DEST says (.vhdx, .vhd; any other is raw)
    #[arg(long, value_name = "FORMAT")]
    pub(crate) to: Option<Format>,

    #[command(flatten)]
    pub(crate) layout: Layout,

    /// For Azure: a fixed VHD whose size is made whole MiB
    #[arg(long, conflicts_with_all = ["type", "block_size"])]
    pub(crate) azure: bool,

    /// Leave out what the filesystems call free: deleted files are not recoverable from DEST
    #[arg(long)]
    pub(crate) skip_free: bool,

    /// Keep the disk's identity: for a copy that takes the place of the original; not for one that is attached beside it
    #[arg(long)]
    pub(crate) keep_identity: bool,

    /// Read both afterwards and compare them
    #[arg(long)]
    pub(crate) verify: bool,

    #[command(flatten)]
    pub(crate) open: Open,
}

/// How a new image stores the disk.
#[derive(Debug, Args)]
pub(crate) struct Layout {
    /// How space is taken: as it is written (dynamic), or all at once (fixed); without it dynamic
    #[arg(long = "type", value_name = "TYPE", id = "type")]
    pub(crate) kind: Option<Kind>,

    /// Bytes of a block, a power of two: 1 MiB to 256 MiB (VHDX), 64 KiB to 256 MiB (VHD); 2 MiB without it
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) block_size: Option<u64>,
}

/// File formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Vhdx,
    Vhd,
    Raw,
}

/// How space is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Dynamic,
    Fixed,
}

impl Format {
    /// The library's value, or what the name of a file says.
    pub(crate) fn of(given: Option<Self>, name: &std::path::Path) -> container::Format {
        let extension = name.extension().unwrap_or_default();
        match given {
            Some(Self::Vhdx) => container::Format::Vhdx,
            Some(Self::Vhd) => container::Format::Vhd,
            Some(Self::Raw) => container::Format::Raw,
            None if extension.eq_ignore_ascii_case("vhdx") => container::Format::Vhdx,
            None if extension.eq_ignore_ascii_case("vhd") => container::Format::Vhd,
            None => container::Format::Raw,
        }
    }
}
