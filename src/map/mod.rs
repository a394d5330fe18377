//! A map of a disk: where its partitions, files and blocks lie, and the line past which the host cannot back blocks.
//!
//! [`Map`] is the model, with [`cells`] whose number depends only on the picture's width. It is rendered as text for a
//! terminal and as a [`Drawing`] of rectangles and texts, which becomes SVG or PNG (both need the feature `cli`; the
//! model does not).

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
