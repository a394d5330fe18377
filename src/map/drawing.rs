//! A drawing: rectangles and texts at integer coordinates, which [`super::svg`] and [`super::png`] render alike.

use super::{font, palette::Rgb};

/// Rectangles and texts, drawn in this order over white paper.
#[derive(Debug, Clone, Default)]
pub struct Drawing {
    /// The accessible title, for screen readers.
    pub(super) title: String,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) shapes: Vec<Shape>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    Rectangle { at: (u32, u32), size: (u32, u32), fill: Rgb },
    Text { at: (u32, u32), size: u16, anchor: Anchor, fill: Rgb, text: String },
}

/// The horizontal anchor of a text; vertically it is always placed by its baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Drawing {
    pub(super) fn rectangle(&mut self, at: (u32, u32), size: (u32, u32), fill: Rgb) {
        if size.0 > 0 && size.1 > 0 {
            self.shapes.push(Shape::Rectangle { at, size, fill });
        }
    }

    /// Draws an outline, `thick` units wide, inside the rectangle.
    pub(super) fn frame(&mut self, at: (u32, u32), size: (u32, u32), thick: u32, fill: Rgb) {
        let (x, y) = at;
        let (w, h) = size;
        self.rectangle(at, (w, thick), fill);
        self.rectangle((x, y + h.saturating_sub(thick)), (w, thick), fill);
        self.rectangle(at, (thick, h), fill);
        self.rectangle((x + w.saturating_sub(thick), y), (thick, h), fill);
    }

    pub(super) fn text(&mut self, at: (u32, u32), size: u16, anchor: Anchor, fill: Rgb, text: &str) {
        if !text.is_empty() {
            self.shapes.push(Shape::Text { at, size, anchor, fill, text: text.to_owned() });
        }
    }

    /// Draws `text` from `at` on, cut to a width of `room` units.
    pub(super) fn text_within(&mut self, at: (u32, u32), room: u32, size: u16, fill: Rgb, text: &str) {
        let mut length = text.chars().count();
        let mut fitting = text.to_owned();
        while length > 0 && font::width(&fitting, size) > room {
            length -= 1;
            fitting = super::text::cut(text, length);
        }
        if length > 1 {
            self.text(at, size, Anchor::Start, fill, &fitting);
        }
    }
}
