//! Renders a drawing as PNG: filled rectangles, and the font's outlines, antialiased.

use ab_glyph::{Font, ScaleFont, point};

use super::{
    Drawing,
    drawing::{Anchor, Shape},
    font,
    palette::Rgb,
};
use crate::{Error, Result};

/// A bitmap of three bytes per pixel, in rows.
struct Canvas {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

impl Drawing {
    /// Renders the drawing as a PNG file, one pixel per unit.
    ///
    /// # Errors
    /// When the bitmap does not fit into memory.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        let mut canvas = Canvas::new(self.width, self.height)?;
        for shape in &self.shapes {
            match shape {
                Shape::Rectangle { at, size, fill } => canvas.fill(*at, *size, *fill),
                Shape::Text { at, size, anchor, fill, text } => {
                    canvas.write(*at, *size, *anchor, *fill, text)
                }
            }
        }
        canvas.encode().map_err(|error| Error::invalid(format!("drawing the PNG: {error}")))
    }
}

impl Canvas {
    fn new(width: u32, height: u32) -> Result<Self> {
        let bytes = u64::from(width) * u64::from(height) * 3;
        let len = usize::try_from(bytes).map_err(|_| Error::invalid("the picture is too large"))?;
        Ok(Self { width, height, pixels: vec![0xff; len] })
    }

    /// The three bytes of a pixel, if it lies inside the bitmap.
    fn pixel(&mut self, x: u32, y: u32) -> Option<&mut [u8]> {
        let inside = x < self.width && y < self.height;
        let at = (u64::from(y) * u64::from(self.width) + u64::from(x)) * 3;
        let at = usize::try_from(at).ok().filter(|_| inside)?;
        self.pixels.get_mut(at..at + 3)
    }

    fn fill(&mut self, (x, y): (u32, u32), (w, h): (u32, u32), fill: Rgb) {
        for y in y..y.saturating_add(h).min(self.height) {
            for x in x..x.saturating_add(w).min(self.width) {
                if let Some(pixel) = self.pixel(x, y) {
                    pixel.copy_from_slice(&fill);
                }
            }
        }
    }

    fn write(&mut self, (x, y): (u32, u32), size: u16, anchor: Anchor, fill: Rgb, text: &str) {
        let width = font::width(text, size);
        let x = match anchor {
            Anchor::Start => x,
            Anchor::Middle => x.saturating_sub(width / 2),
            Anchor::End => x.saturating_sub(width),
        };
        let font = font::scaled(size);
        let mut advance = 0.0;
        for c in text.chars() {
            let id = font.glyph_id(c);
            let glyph = id.with_scale_and_position(font.scale(), point(advance, 0.0));
            advance += font.h_advance(id);
            let Some(outline) = font.font.outline_glyph(glyph) else { continue };
            let bounds = outline.px_bounds();
            outline.draw(|column, row, coverage| {
                let (x, y) = (shifted(x, column, bounds.min.x), shifted(y, row, bounds.min.y));
                if let Some(pixel) = x.zip(y).and_then(|(x, y)| self.pixel(x, y)) {
                    pixel
                        .iter_mut()
                        .zip(fill)
                        .for_each(|(below, above)| *below = mixed(*below, above, coverage));
                }
            });
        }
    }

    fn encode(&self) -> std::result::Result<Vec<u8>, png::EncodingError> {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        // No row filter: on flat colours filters only hide the repetitions from the compressor.
        encoder.set_compression(png::Compression::High);
        encoder.set_filter(png::Filter::NoFilter);
        encoder.write_header()?.write_image_data(&self.pixels)?;
        Ok(out)
    }
}

/// The coordinate of a glyph's pixel: its own, the text's, and the glyph's offset, which may be negative.
#[expect(clippy::cast_possible_truncation, reason = "a glyph's offset is a whole, small number")]
fn shifted(origin: u32, within: u32, offset: f32) -> Option<u32> {
    origin.checked_add(within)?.checked_add_signed(offset as i32)
}

/// Blends `above` over `below` by its coverage.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between the two, both of which are bytes"
)]
fn mixed(below: u8, above: u8, coverage: f32) -> u8 {
    let (below, above) = (f32::from(below), f32::from(above));
    (below + (above - below) * coverage.clamp(0.0, 1.0)).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> (u32, u32, Vec<u8>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        (info.width, info.height, pixels)
    }

    #[test]
    fn rectangles_lie_where_they_are_put_and_never_outside() {
        let mut drawing = Drawing { width: 8, height: 4, ..Drawing::default() };
        drawing.rectangle((6, 1), (100, 1), [1, 2, 3]);
        drawing.rectangle((100, 100), (u32::MAX, u32::MAX), [9; 3]);
        let (width, height, pixels) = decoded(&drawing.to_png().unwrap());
        assert_eq!((width, height), (8, 4));
        let marked: Vec<_> =
            pixels.chunks(3).enumerate().filter(|(_, p)| *p == [1, 2, 3]).map(|(at, _)| at).collect();
        assert_eq!(marked, [14, 15]);
        assert_eq!(pixels.chunks(3).filter(|p| *p == [255; 3]).count(), 30);
    }

    #[test]
    fn text_leaves_ink_where_it_stands_and_none_beyond_the_paper() {
        let mut drawing = Drawing { width: 100, height: 40, ..Drawing::default() };
        drawing.text((98, 30), 20, Anchor::End, [0; 3], "Hg漢");
        drawing.text((0, 3), 60, Anchor::Middle, [0; 3], "far out");
        let (.., pixels) = decoded(&drawing.to_png().unwrap());
        let ink = |x: usize, y: usize| pixels[(y * 100 + x) * 3] < 128;
        assert!((40..98).any(|x| (14..36).any(|y| ink(x, y))));
        assert!((14..36).all(|y| !ink(99, y)));
    }
}
