//! The arguments of `vhdmount map`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Open;

/// `vhdmount map`
#[derive(Debug, Args)]
#[command(after_help = "\
Files are drawn by the filesystem's allocation map, blocks by the image's block table. What is backed lies in the image file; \
what is absent reads as zeros, or is in a parent, and needs growth of the image when it is written. The line is where the host \
is full if the disk is filled from its beginning: behind it only what is backed can be written.

Without --svg and --png the map is printed as text. NO_COLOR is respected.")]
pub(crate) struct Map {
    /// VHD, VHDX, raw image or disk
    pub(crate) image: PathBuf,

    /// Write a picture as SVG; - for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,

    /// Write a picture as PNG; - for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) png: Option<PathBuf>,

    /// Colour the text
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,

    /// Number of columns of the text; by default the width of the terminal
    #[arg(long, value_name = "COLUMNS", value_parser = clap::value_parser!(u16).range(24..=4096))]
    pub(crate) width: Option<u16>,

    #[command(flatten)]
    pub(crate) open: Open,
}

/// When text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    Always,
    Never,
}
