//! The map as text, one character per cell. Every state has its own character, so that the map is complete without
//! colour.

use std::fmt::Write;

use super::{
    Map,
    cells::{Cell, Cells, Class},
    model::Span,
    palette,
    text::cut,
};
use crate::size::human;

/// Width of the margin before each row, in columns.
const GUTTER: usize = 8;
/// Fewest columns of a row.
const MIN_COLUMNS: usize = 16;
const SHARES: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The style of the text map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// The terminal's width in columns.
    pub width: usize,
    /// With colours (of the set of 256).
    pub colour: bool,
}

impl Style {
    /// The number of cells that a [`Map`] should have for this style.
    pub fn columns(&self) -> usize {
        self.width.saturating_sub(GUTTER).max(MIN_COLUMNS)
    }
}

impl Map {
    /// The map as lines of text, none wider than the style's width (except on a very narrow terminal).
    pub fn to_text(&self, style: Style) -> String {
        let mut page = Page { out: String::new(), style };
        page.line(&format!("{}: {}", self.name, self.report.headline()));
        page.line(&self.host_line());
        page.line("");
        self.push_gauge(&mut page);
        page.line("");
        self.push_disk(&mut page);
        for strip in &self.strips {
            page.line("");
            page.line(&format!("{:GUTTER$}{}", strip.name, strip.title));
            page.rows(&strip.cells);
            page.marker(&strip.cells, self.line);
        }
        if self.strips.len() < self.partitions.len() {
            page.line(&format!("(the {} largest partitions)", self.strips.len()));
        }
        page.line("");
        self.push_legend(&mut page);
        page.out
    }

    /// The image's path and the free space of its host volume.
    pub(super) fn host_line(&self) -> String {
        let report = &self.report;
        let mut text = format!(
            "{} occupied on the host, {} free",
            human(report.allocated_on_host),
            human(report.host_free)
        );
        if !report.host.is_empty() {
            let _ = write!(text, " on {}", report.host);
        }
        if !report.host_note.is_empty() {
            let _ = write!(text, "; {}", report.host_note);
        }
        super::text::shown(&text)
    }

    fn push_gauge(&self, page: &mut Page) {
        let report = &self.report;
        let mut gauge = Cells::new(0..report.virtual_size.max(1), page.style.columns());
        let parts = [
            (report.backed, Class::Backed),
            (self.growth(), Class::Absent),
            (report.shortfall, Class::OutOfReach),
        ];
        let mut at = 0;
        for (bytes, class) in parts {
            gauge.add(&(at..at.saturating_add(bytes)), super::Bytes::Stored(class));
            at = at.saturating_add(bytes);
        }
        page.row("space", gauge.cells().iter().map(block_glyph));
        page.line(&format!(
            "{:GUTTER$}{} backed, the host can add {}, out of reach {}",
            "",
            human(report.backed),
            human(self.growth()),
            human(report.shortfall)
        ));
    }

    fn push_disk(&self, page: &mut Page) {
        let columns = self.disk.cells().len();
        let end = human(self.disk.range().end);
        let gap = columns.saturating_sub(end.len()).max(4);
        page.line(&format!("{:GUTTER$}{:gap$}{end}", "disk", "0 B"));
        if !self.partitions.is_empty() {
            let names = names(&self.partitions, self.disk.range().end, columns);
            page.row("", names.chars().map(|c| (c, None)));
        }
        page.rows(&self.disk);
        page.marker(&self.disk, self.line);
    }

    fn push_legend(&self, page: &mut Page) {
        page.line("files   ▁▄█ share in use, blank: all free, ? no filesystem that can be read");
        page.line("blocks  ░▒▓█ share that is backed: in the image file");
        for class in Class::ALL.into_iter().skip(1) {
            let bytes: u64 = self.disk.cells().iter().map(|cell| cell.stored(class)).sum();
            if bytes > 0 {
                let text = format!("{:GUTTER$}{} {}, {}", "", glyph(class), class.text(), human(bytes));
                page.line_with(&text, GUTTER, class.terminal());
            }
        }
        let cell = human(self.disk.range().end / self.disk.cells().len() as u64);
        page.line(&format!(
            "{:GUTTER$}one character of the disk is {cell}; each line above has its own scale",
            ""
        ));
    }
}

struct Page {
    out: String,
    style: Style,
}

impl Page {
    fn line(&mut self, text: &str) {
        self.out.push_str(&cut(text, self.style.width.max(GUTTER + MIN_COLUMNS)));
        self.out.push('\n');
    }

    /// Adds a line whose character at `at` is coloured.
    fn line_with(&mut self, text: &str, at: usize, colour: u8) {
        let text = cut(text, self.style.width.max(GUTTER + MIN_COLUMNS));
        let cells = text
            .chars()
            .enumerate()
            .map(|(index, c)| paint(c, Some(colour), self.style.colour && index == at));
        self.out.extend(cells);
        self.out.push('\n');
    }

    fn row(&mut self, name: &str, cells: impl Iterator<Item = (char, Option<u8>)>) {
        let _ = write!(self.out, "{name:GUTTER$}");
        for (glyph, colour) in cells {
            self.out.push_str(&paint(glyph, colour, self.style.colour));
        }
        self.out.push('\n');
    }

    fn rows(&mut self, cells: &Cells) {
        self.row("files", cells.cells().iter().map(file_glyph));
        self.row("blocks", cells.cells().iter().map(block_glyph));
    }

    /// Adds the marker of the line, if it lies in these cells.
    fn marker(&mut self, cells: &Cells, line: Option<u64>) {
        let Some(at) = line.and_then(|line| cells.position(line)) else { return };
        let (columns, text) =
            (cells.cells().len(), format!("host full here ({})", human(line.unwrap_or_default())));
        let length = text.chars().count() + 1;
        let text = match () {
            () if at + length < columns => format!("{:at$}▲ {text}", ""),
            () if at >= length => format!("{:>at$} ▲", text, at = at - 1),
            () => format!("{:at$}▲", ""),
        };
        let colour = |c| Some(palette::TERMINAL_LINE).filter(|_| c != ' ');
        self.row("", text.chars().map(|c| (c, colour(c))));
    }
}

fn paint(glyph: char, colour: Option<u8>, wanted: bool) -> String {
    match colour {
        Some(colour) if wanted => format!("\u{1b}[38;5;{colour}m{glyph}\u{1b}[0m"),
        _ => glyph.to_string(),
    }
}

/// The character for the share in use, in eighths; a share above zero is always visible.
fn file_glyph(cell: &Cell) -> (char, Option<u8>) {
    let known = u128::from(cell.used) + u128::from(cell.free);
    match (known, cell.used) {
        (0, _) if cell.size() > 0 => ('?', None),
        (0, _) | (_, 0) => (' ', None),
        (known, used) => {
            let eighths = (u128::from(used) * 8).div_ceil(known).clamp(1, 8);
            let index = usize::try_from(eighths - 1).expect("below 8");
            (SHARES[index], Some(palette::TERMINAL_USED))
        }
    }
}

/// The character for the backed share; without one, for the class with most bytes. Damage always shows.
fn block_glyph(cell: &Cell) -> (char, Option<u8>) {
    if cell.size() == 0 {
        return (' ', None);
    }
    let class = match (cell.stored(Class::Damaged), cell.stored(Class::Backed)) {
        (0, 0) => *Class::ALL.iter().max_by_key(|class| cell.stored(**class)).expect("there are classes"),
        (0, backed) => {
            let quarters = (u128::from(backed) * 4 / u128::from(cell.size())).min(3);
            let index = usize::try_from(quarters).expect("at most 3");
            return (['░', '▒', '▓', '█'][index], Some(Class::Backed.terminal()));
        }
        _ => Class::Damaged,
    };
    (glyph(class), Some(class.terminal()))
}

fn glyph(class: Class) -> char {
    match class {
        Class::Backed => '█',
        Class::Hole => 'o',
        Class::Parent => '≡',
        Class::Zero => '0',
        Class::Absent => '·',
        Class::OutOfReach => '×',
        Class::Damaged => '!',
    }
}

/// The row of partitions from start to end, each with its name and, where it fits, its label.
fn names(partitions: &[Span], disk: u64, columns: usize) -> String {
    let column = |offset: u64| {
        let at = u128::from(offset) * columns as u128 / u128::from(disk.max(1));
        usize::try_from(at).unwrap_or(columns).min(columns)
    };
    let mut row = vec![' '; columns];
    for span in partitions {
        let (start, end) =
            (column(span.range.start), column(span.range.end).max(column(span.range.start) + 1));
        // Wide and combining characters would shift the text after them.
        let narrow = span.label.chars().all(|c| u32::from(c) < 0x300);
        let text = format!("|{} {}", span.name, if narrow { span.label.as_str() } else { "" });
        let text = if end - start > span.name.len() { cut(text.trim_end(), end - start) } else { "|".into() };
        let line = text.chars().chain(std::iter::repeat('-'));
        row.iter_mut().take(end).skip(start).zip(line).for_each(|(to, c)| *to = c);
    }
    row.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::Bytes;

    fn cell(parts: &[(Bytes, u64)]) -> Cell {
        let mut cells = Cells::new(0..1000, 1);
        parts.iter().for_each(|(bytes, len)| cells.add(&(0..*len), *bytes));
        cells.cells()[0]
    }

    #[test]
    fn the_least_that_is_used_or_backed_is_seen() {
        let one = cell(&[
            (Bytes::Used, 1),
            (Bytes::Free, 999),
            (Bytes::Stored(Class::Backed), 1),
            (Bytes::Stored(Class::Absent), 999),
        ]);
        assert_eq!((file_glyph(&one).0, block_glyph(&one).0), ('▁', '░'));
        let all = cell(&[(Bytes::Used, 1000), (Bytes::Stored(Class::Backed), 1000)]);
        assert_eq!((file_glyph(&all).0, block_glyph(&all).0), ('█', '█'));
        let none = cell(&[(Bytes::Free, 1000), (Bytes::Stored(Class::OutOfReach), 1000)]);
        assert_eq!((file_glyph(&none).0, block_glyph(&none).0), (' ', '×'));
        let bad = cell(&[(Bytes::Stored(Class::Damaged), 1), (Bytes::Stored(Class::Backed), 999)]);
        assert_eq!((file_glyph(&bad).0, block_glyph(&bad).0), ('?', '!'));
        assert_eq!(block_glyph(&cell(&[])).0, ' ');
    }

    #[test]
    fn partitions_lie_where_they_are() {
        let span = |name: &str, label: &str, range| Span { name: name.into(), label: label.into(), range };
        let spans = [span("p1", "A", 0..10), span("p2", "データ", 10..60), span("p3", "Windows", 60..100)];
        assert_eq!(names(&spans, 100, 20), "|-|p2-------|p3 Win…");
    }
}
