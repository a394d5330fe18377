//! The arguments of `vhdmount capacity`.

use std::path::PathBuf;

use clap::Args;

use super::Open;
use crate::cli::capacity::Threshold;

/// `vhdmount capacity`
#[derive(Debug, Args)]
#[command(after_help = "\
One IMAGE alone prints its report as TOML. Several, or --recursive, print a table of the host volumes on \
which they lie and of the disks on each; a parent of several disks counts once, and so does an image that is named twice.

  growth_to_full   what the host must still give until every promised byte is backed
  overcommitment   the sum of that / host_free: above 1 the host cannot keep what was promised
  equal growth     how large each disk becomes if all write new blocks at the same rate (in bytes of the host) until the \
host is full; one that reaches its whole size, or a limit of its own, before that leaves its share to the others

With --warn or --crit the exit code is that of a monitoring plugin (0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN: an image or a \
folder could not be examined) and the text one line with performance data. What is compared is the headroom, of each disk \
(achievable_size - backed; needed: virtual_size - backed) and of each host volume (host_free; needed: growth_to_full of all \
its disks). A headroom below a size, or below a percentage of what is needed, counts; one that covers what is needed \
never does. Other exit codes are those of every command: 2 when an image could not be examined.

--self asks Windows which image its own disk is. Windows locks that file, so that its block table can mostly not be read: \
what it occupies and what is free then give an estimate of how far it can grow, and `estimate` says so. boot_needs is what the next boot \
takes from the host where booting expands the disk.

--prometheus writes a file for the textfile collector: vhdmount capacity --prometheus -r /srv/vm > x.prom.tmp && mv x.prom.tmp x.prom")]
pub(crate) struct Capacity {
    /// VHD, VHDX or raw images
    #[arg(required_unless_present_any = ["recursive", "running"])]
    pub(crate) image: Vec<PathBuf>,

    /// Examine every VHD and VHDX below DIR, recognized by content; symbolic links are not followed
    #[arg(short, long, value_name = "DIR")]
    pub(crate) recursive: Vec<PathBuf>,

    /// Examine the VHD or VHDX from which this Windows was booted natively; on Linux, the file below a root on a loop device
    #[arg(
        long = "self", conflicts_with_all = ["image", "recursive", "prometheus", "warn", "crit"]
    )]
    pub(crate) running: bool,

    /// Print JSON
    #[arg(long, conflicts_with = "prometheus")]
    pub(crate) json: bool,

    /// Print Prometheus' text format
    #[arg(long)]
    pub(crate) prometheus: bool,

    /// WARNING below this headroom: 20% of what is needed, or 50GiB
    #[arg(long, value_name = "HEADROOM", value_parser = threshold)]
    pub(crate) warn: Option<Threshold>,

    /// CRITICAL below this headroom: 5%, 10GiB
    #[arg(long, value_name = "HEADROOM", value_parser = threshold)]
    pub(crate) crit: Option<Threshold>,

    /// Repeat every SECONDS until Ctrl-C: redrawn in place on a terminal, else printed one after the other
    #[arg(
        short, long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "2",
        value_parser = clap::value_parser!(u32).range(1..=86_400), conflicts_with_all = ["warn", "crit"]
    )]
    pub(crate) watch: Option<u32>,

    #[command(flatten)]
    pub(crate) open: Open,
}

/// A percentage or a size.
fn threshold(text: &str) -> Result<Threshold, String> {
    text.parse()
}
