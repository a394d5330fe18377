//! The arguments of `vhdmount find`.

use std::path::PathBuf;

use clap::Args;

use super::{Open, View};

/// `vhdmount find`
#[derive(Debug, Args)]
#[command(
    override_usage = "vhdmount find [OPTIONS] IMAGE [PATH…] [EXPRESSION]",
    after_help = "\
EXPRESSION is written as for find(1), before or behind the options; each word with one dash or two (-name, --name):

  -name PATTERN, -iname PATTERN  the last part of the path; -i: in any case
  -path PATTERN, -ipath PATTERN  the whole path as printed; * matches / as well
  -type LETTERS                  f file, d directory, l link; also p, s, c, b
  -size [+-]N[cwbkMGT]           in units rounded up; b (512 bytes) by itself
  -empty                         no content, or no entries
  -newer PATH                    modified later than that file in the image
  -newermt DATE                  modified later; -newerat, -newerct, -newerBt:
                                 accessed, changed, created
  -mtime [+-]N, -mmin [+-]N      modified N days or minutes ago; -atime, -amin,
                                 -ctime, -cmin
  ! TEST, -not TEST              not; TEST TEST, -a: both; -o: either; ( ) group
  -maxdepth N, -mindepth N       levels below PATH
  -print0                        a NUL behind each path, for xargs -0

DATE is 2026-11-21, '2026-11-21 08:03', 2026-11-21T08:03:00+01:00 or @SECONDS; in UTC where it has no offset. PATTERN has *, ? and \
[…], and stands between quotes in a shell. PATH may be a pattern as well; one that is a link is followed, links below it are not. \
`vhdmount cat IMAGE` takes each path that is printed.

Exit codes: 0 fine, whether something was found or not; 1 usage, 2 the image, 4 there is no such PATH, some of it could not be \
read, or standard output."
)]
pub(crate) struct Find {
    /// VHD, VHDX, raw image or disk
    pub(crate) image: PathBuf,
    /// Where to search, as in a mount: p3, p3/Users, 'p3/Users/*'; everywhere by itself
    #[arg(default_value = "/")]
    pub(crate) path: Vec<String>,
    /// What to search for
    #[arg(last = true, hide = true, allow_hyphen_values = true)]
    pub(crate) expression: Vec<String>,
    /// Search the deleted files of volumes (NTFS, FAT) instead: -name is the name that the file had, and -path also its path
    #[arg(long)]
    pub(crate) deleted: bool,
    /// Search the files in use that no directory lists (NTFS, FAT) instead; as --deleted
    #[arg(long)]
    pub(crate) orphans: bool,
    /// Search named streams as well, as files FILE:STREAM
    #[arg(long)]
    pub(crate) streams: bool,
    /// Print JSON, one object a line, with size, times (UTC) and attributes
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) open: Open,
    #[command(flatten)]
    pub(crate) view: View,
}
