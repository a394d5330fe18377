//! The font: a part of Roboto Regular (Copyright 2015 Google Inc., Apache License 2.0), with Latin, Greek, Cyrillic and
//! punctuation. A PNG shows a box for a missing character; an SVG leaves the font to its viewer. Made by: `pyftsubset
//! Roboto-Regular.ttf --unicodes=U+0020-007E,U+00A0-017F,U+0370-03FF,U+0400-045F,U+2010-2026,U+2030,U+20AC,
//! U+2190-2193,U+2212,U+2248,U+2260,U+2264,U+2265,U+FFFD --layout-features= --no-hinting --notdef-outline
//! --drop-tables+=GSUB,GPOS,GDEF`

use ab_glyph::{Font, FontRef, PxScale, ScaleFont};

const ROBOTO: &[u8] = include_bytes!("Roboto-Regular.ttf");

/// The font at a size in units per em, as in CSS.
pub(super) fn scaled(size: u16) -> ab_glyph::PxScaleFont<FontRef<'static>> {
    let font = FontRef::try_from_slice(ROBOTO).expect("the font that is built in is whole");
    // The crate's scale is the height of a line, which is more than the em.
    let em = font.units_per_em().expect("the font that is built in has units");
    let scale = PxScale::from(f32::from(size) * font.height_unscaled() / em);
    font.into_scaled(scale)
}

/// The width of a text in units, rounded up.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast from a float saturates")]
pub(super) fn width(text: &str, size: u16) -> u32 {
    let font = scaled(size);
    let advance = |c| font.h_advance(font.glyph_id(c));
    text.chars().map(advance).sum::<f32>().ceil() as u32
}

#[cfg(test)]
mod tests {
    use ab_glyph::GlyphId;

    use super::*;

    #[test]
    fn the_font_has_what_is_written_with_it() {
        let font = scaled(20);
        for c in "0123456789.,:;()%\"'·–…äöüßÄÖÜéèñαΩЖя".chars() {
            assert!(font.glyph_id(c).0 != 0, "{c}");
        }
        assert!(font.glyph_id('漢').0 == 0 && font.font.outline(GlyphId(0)).is_some(), "a box");
    }

    #[test]
    fn widths_grow_with_text_and_size() {
        assert_eq!(width("", 20), 0);
        assert!(width("ii", 20) < width("WW", 20) && width("WW", 20) < width("WW", 40));
        // An em is about two figures wide.
        assert!((20..25).contains(&width("00", 20)), "{}", width("00", 20));
    }
}
