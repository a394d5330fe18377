//! A picture of a disk: where its partitions, files and blocks lie, and the line behind which the host cannot follow.
//!
//! [`Map`] is the model, in [`cells`] whose number depends on the picture alone; from it come text for a terminal and a
//! [`Drawing`] of rectangles and texts, which becomes SVG or PNG (both with the feature `cli`; the model alone without it).

pub mod cells;
#[cfg(feature = "cli")]
mod drawing;
#[cfg(feature = "cli")]
mod font;
#[cfg(feature = "cli")]
mod layout;
mod model;
#[cfg(feature = "cli")]
mod palette;
#[cfg(feature = "cli")]
mod png;
#[cfg(feature = "cli")]
mod svg;
#[cfg(feature = "cli")]
mod terminal;
mod text;

pub use cells::{Bytes, Cell, Cells, Class};
#[cfg(feature = "cli")]
pub use drawing::Drawing;
#[cfg(feature = "cli")]
pub use layout::PICTURE_COLUMNS;
pub use model::{Map, Span, Strip};
#[cfg(feature = "cli")]
pub use terminal::Style;
