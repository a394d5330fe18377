//! Renders a drawing as SVG 1.1: shapes and texts only, no scripts and no external resources.

use std::fmt::Write;

use super::{
    Drawing,
    drawing::{Anchor, Shape},
    palette::{PAPER, Rgb},
};

impl Drawing {
    /// Renders the drawing as an SVG file.
    pub fn to_svg(&self) -> String {
        let (width, height) = (self.width, self.height);
        let mut out = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" \
             height=\"{}\" viewBox=\"0 0 {width} {height}\" font-family=\"Roboto, Helvetica, Arial, sans-serif\" \
             shape-rendering=\"crispEdges\">\n<title>{}</title>\n",
            width / 2,
            height / 2,
            escaped(&self.title)
        );
        push_rectangle(&mut out, (0, 0), (width, height), PAPER);
        for shape in &self.shapes {
            match shape {
                Shape::Rectangle { at, size, fill } => push_rectangle(&mut out, *at, *size, *fill),
                Shape::Text { at: (x, y), size, anchor, fill, text } => {
                    let anchor = match anchor {
                        Anchor::Start => "start",
                        Anchor::Middle => "middle",
                        Anchor::End => "end",
                    };
                    let _ = writeln!(
                        out,
                        "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" text-anchor=\"{anchor}\" fill=\"{}\">{}</text>",
                        hex(*fill),
                        escaped(text)
                    );
                }
            }
        }
        out + "</svg>\n"
    }
}

fn push_rectangle(out: &mut String, (x, y): (u32, u32), (w, h): (u32, u32), fill: Rgb) {
    let _ = writeln!(out, "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" fill=\"{}\"/>", hex(fill));
}

fn hex([r, g, b]: Rgb) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// Escapes XML character data; characters that XML forbids were replaced before.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in super::text::shown(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_leave_its_text() {
        let mut drawing = Drawing { width: 10, height: 10, ..Drawing::default() };
        let label = "</text><script>alert(\"1\" & '2')</script>\u{0}\u{1b}";
        drawing.text((1, 2), 3, Anchor::Middle, [0, 1, 255], label);
        let svg = drawing.to_svg();
        assert!(!svg.contains("<script") && !svg.contains('\u{1b}') && !svg.contains('\0'), "{svg}");
        assert!(
            svg.contains(
                "fill=\"#0001ff\">&lt;/text&gt;&lt;script&gt;alert(&quot;1&quot; &amp; &#39;2&#39;)"
            ),
            "{svg}"
        );
    }
}
