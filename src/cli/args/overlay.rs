//! The arguments of `vhdmount recover`, `diff`, `discard` and `reconnect`.

use std::path::PathBuf;

use clap::Args;

use super::Open;

/// `vhdmount recover`
#[derive(Debug, Args)]
#[command(after_help = "\
What was published before a power cut or a killed process may still be in the log of a VHDX, or in the redo file beside a VHD or a raw \
image. vhdmount shows it either way; other programs, and Windows with a redo file, do not. Parents are not needed.")]
pub(crate) struct Recover {
    /// VHDX, VHD or raw image
    pub(crate) image: PathBuf,
}

/// `vhdmount diff`
#[derive(Debug, Args)]
#[command(after_help = "\
The volumes of both are compared directory by directory: content, size, attributes, times of creation and of the last change, named \
streams. Files that lie in the same place of the same parent are not read. A file that was moved is one that was removed and one that was \
added. Volumes whose filesystem is not read are named, with how much of them the overlay holds.")]
pub(crate) struct Diff {
    /// A differencing VHDX or VHD
    pub(crate) overlay: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) open: Open,
}

/// `vhdmount discard`
#[derive(Debug, Args)]
#[command(after_help = "\
The image below stays as it is. To keep what the overlay holds: `vhdmount convert OVERLAY NEW` writes both as one image. Writing it into the \
image below (a merge) is not offered yet; Hyper-V's Merge-VHD does that.")]
pub(crate) struct Discard {
    /// A differencing VHDX or VHD
    pub(crate) overlay: PathBuf,
    /// Remove it without asking
    #[arg(short, long)]
    pub(crate) force: bool,
}

/// `vhdmount reconnect`
#[derive(Debug, Args)]
#[command(after_help = "\
As Set-VHD -ParentPath: for a child and a parent that were moved, or renamed. Only the path changes, unless the parent has another \
identity; then the child is refused, as it was made from another content. --reset-identity makes it name this parent all the same (as \
Set-VHD -IgnoreIdMismatch): right only for a copy whose content is what the child was made from.")]
pub(crate) struct Reconnect {
    /// A differencing VHDX or VHD
    pub(crate) child: PathBuf,
    /// Its parent
    #[arg(long, value_name = "PATH")]
    pub(crate) parent: PathBuf,
    /// Take a parent of another identity
    #[arg(long)]
    pub(crate) reset_identity: bool,
}
