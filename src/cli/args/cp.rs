//! The arguments of `vhdmount cp`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Open, View};
use crate::cli::capacity::Threshold;

/// `vhdmount cp`
#[derive(Debug, Args)]
#[command(
    override_usage = "vhdmount cp [OPTIONS] IMAGE PATH… DEST",
    after_help = "\
As cp(1): into DEST if it is a directory, else DEST is the new name; PATH/. stands for what is in PATH. Without mounting, as any \
user who can read the image. Links are copied as links (a PATH that is one is followed), hard links within a PATH as hard \
links; devices, pipes and sockets are not made. Holes stay holes. Times of last change and access are restored (on Windows \
that of creation as well).

Existing files are not replaced unless -f is given. Files appear under their names when they are complete: after Ctrl-C or on a full \
disk no file is incomplete, and -n continues with the rest. Names that the destination does not accept are changed, and reported. \
Files that cannot be read are listed at the end; the rest is copied.

Exit codes: 0 everything was copied, 1 usage, 2 the image, 3 DEST (no directory, not writable, full), 4 something was not copied, \
130 interrupted."
)]
pub(crate) struct Cp {
    /// VHD, VHDX, raw image or disk
    pub(crate) image: PathBuf,

    /// What to copy, as in a mount: p3/Users, p3/Windows/win.ini, FILE:STREAM, pN/.deleted/NUMBER, pN/.orphans, …; or a
    /// pattern, 'p3/Users/*'
    #[arg(required = true)]
    pub(crate) path: Vec<String>,

    /// An existing directory, or the new name
    #[arg(required = true)]
    pub(crate) dest: PathBuf,

    /// Copy directories with everything in them
    #[arg(short = 'r', short_alias = 'R', long)]
    pub(crate) recursive: bool,

    /// The same as -r --streams --attributes
    #[arg(short = 'a', long)]
    pub(crate) archive: bool,

    /// Replace existing files (directories never)
    #[arg(short = 'f', long, conflicts_with = "no_clobber")]
    pub(crate) force: bool,

    /// Skip existing files silently
    #[arg(short = 'n', long, visible_alias = "skip-existing")]
    pub(crate) no_clobber: bool,

    /// Copy named streams as well: as extended attributes user.NAME (on Windows as streams), or as files FILE:STREAM, also
    /// those too long for an attribute
    #[arg(
        long,
        value_name = "HOW",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "xattr"
    )]
    pub(crate) streams: Option<Streams>,

    /// Keep the attributes of Windows (hidden, system, …); not on Windows: as the extended attributes user.ntfs_attrib
    /// and, for the time of creation, user.ntfs_crtime, with the values of ntfs-3g's system.ntfs_attrib and ntfs_crtime
    #[arg(long)]
    pub(crate) attributes: bool,

    /// Leave out files and streams that are larger, as in 500MiB or 2TiB: a damaged or hostile image may claim to hold far
    /// more than is stored in it. What is left out is listed at the end. Without it files of any size are copied, until DEST
    /// is full
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) max_size: Option<u64>,

    /// Number of files that are read and written at once; by default 2 for each processor
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) threads: Option<u16>,

    #[command(flatten)]
    pub(crate) open: Open,
    #[command(flatten)]
    pub(crate) view: View,
}

/// A size in bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(Threshold::Size(size)) => Ok(size),
        _ => Err(format!("\"{text}\" is not a size; sizes are 4096, 500MiB, 1.5TiB")),
    }
}

/// How named streams are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Streams {
    /// Do not copy them
    None,
    /// With the file: as extended attributes, on Windows as streams
    Xattr,
    /// As files beside it, FILE:STREAM (on Windows with U+F03A for the colon, which WSL and Cygwin show as one)
    Files,
}
