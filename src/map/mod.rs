//! A picture of a disk: where its partitions, files and blocks lie, and the line behind which the host cannot follow.
//!
//! [`Map`] is the model, in [`cells`] whose number depends on the picture alone; from it come text for a terminal and a
//! [`Drawing`] of rectangles and texts, which becomes SVG or PNG.

pub mod cells;
mod drawing;
mod font;
mod layout;
mod model;
mod palette;
mod png;
mod svg;
mod terminal;
mod text;

pub use cells::{Bytes, Cell, Cells, Class};
pub use drawing::Drawing;
pub use layout::PICTURE_COLUMNS;
pub use model::{Map, Span, Strip};
pub use terminal::Style;
