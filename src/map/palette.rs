//! Colours that remain distinguishable with any kind of colour vision (the Okabe-Ito set), and that differ in lightness.

use super::cells::Class;

/// Red, green, blue.
pub(super) type Rgb = [u8; 3];

pub(super) const PAPER: Rgb = [255, 255, 255];
pub(super) const INK: Rgb = [26, 26, 26];
pub(super) const FAINT_INK: Rgb = [96, 96, 96];
pub(super) const EDGE: Rgb = [140, 140, 140];
/// The line past which the host cannot back blocks.
pub(super) const LINE: Rgb = [213, 94, 0];
pub(super) const USED: Rgb = [0, 158, 115];
pub(super) const FREE: Rgb = [226, 240, 234];
/// Belongs to no readable filesystem.
pub(super) const UNKNOWN: Rgb = [214, 214, 214];
/// Partitions, alternating.
pub(super) const PARTITIONS: [Rgb; 2] = [[222, 222, 230], [182, 182, 202]];

impl Class {
    pub(super) fn rgb(self) -> Rgb {
        match self {
            Self::Backed => [0, 114, 178],
            Self::Hole => [240, 228, 66],
            Self::Parent => [204, 121, 167],
            Self::Zero => [150, 150, 150],
            Self::Absent => [232, 241, 248],
            Self::OutOfReach => [248, 211, 184],
            Self::Damaged => [0, 0, 0],
        }
    }

    /// The nearest colour of a terminal's 256.
    pub(super) fn terminal(self) -> u8 {
        match self {
            Self::Backed => 32,
            Self::Hole => 227,
            Self::Parent => 175,
            Self::Zero => 246,
            Self::Absent => 110,
            Self::OutOfReach => 208,
            Self::Damaged => 196,
        }
    }

    /// The text in the legend.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Backed => "backed: in the image file",
            Self::Hole => "hole of the host's file",
            Self::Parent => "in a parent",
            Self::Zero => "zeros over the parent",
            Self::Absent => "absent: needs growth",
            Self::OutOfReach => "absent, out of the host's reach",
            Self::Damaged => "damaged",
        }
    }
}

/// [`USED`] on a terminal.
pub(super) const TERMINAL_USED: u8 = 36;
/// [`LINE`] on a terminal.
pub(super) const TERMINAL_LINE: u8 = 202;
