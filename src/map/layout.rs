//! The layout of the picture: title, a bar of the disk's capacity by how it is backed, the map of the disk, strips of the
//! partitions, legend. Two units are one pixel on an ordinary screen.

use super::{
    Cell, Cells, Class, Drawing, Map,
    drawing::Anchor,
    font,
    palette::{EDGE, FAINT_INK, FREE, INK, LINE, PAPER, PARTITIONS, Rgb, UNKNOWN, USED},
    text::shown,
};
use crate::size::human;

/// Cells per row that a [`Map`] needs for a picture.
pub const PICTURE_COLUMNS: usize = 1060;

const CELL: u32 = 2;
const LEFT: u32 = 200;
/// Width of the content in units, for [`PICTURE_COLUMNS`] cells.
const CONTENT: u32 = 2120;
const MARGIN: u32 = 56;
const WIDTH: u32 = LEFT + CONTENT + MARGIN;
/// Least height in units of a share that is not zero.
const TRACE: u32 = 6;

const TITLE: u16 = 50;
const HEADING: u16 = 32;
const BODY: u16 = 27;
const SMALL: u16 = 23;

impl Map {
    /// Draws the picture. `when`: the time of the survey as text; may be empty.
    pub fn draw(&self, when: &str) -> Drawing {
        let title = format!("{}: {}", self.name, self.report.headline());
        let mut page = Page { drawing: Drawing { title, width: WIDTH, ..Drawing::default() }, y: 0 };
        self.draw_title(&mut page, when);
        self.draw_gauge(&mut page);
        self.draw_disk(&mut page);
        self.draw_strips(&mut page);
        self.draw_legend(&mut page);
        page.drawing.height = page.y + MARGIN;
        page.drawing
    }

    fn draw_title(&self, page: &mut Page, when: &str) {
        page.skip(92);
        page.drawing.text_within((MARGIN, page.y), WIDTH - 2 * MARGIN, TITLE, INK, &self.name);
        page.skip(48);
        page.drawing.text_within((MARGIN, page.y), WIDTH - 2 * MARGIN, HEADING, INK, &self.report.headline());
        page.skip(40);
        let mut text = self.host_line();
        if !when.is_empty() {
            text = format!("{text}; {when}");
        }
        page.drawing.text_within((MARGIN, page.y), WIDTH - 2 * MARGIN, BODY, FAINT_INK, &text);
        if !self.report.parents.is_empty() {
            page.skip(36);
            let text = shown(&format!("built on {}", self.report.parents.join(", on ")));
            page.drawing.text_within((MARGIN, page.y), WIDTH - 2 * MARGIN, BODY, FAINT_INK, &text);
        }
    }

    /// Draws the totals as one bar.
    fn draw_gauge(&self, page: &mut Page) {
        const HEIGHT: u32 = 60;
        let report = &self.report;
        page.heading("How much of it there can be");
        let scale = |bytes: u64| scaled(bytes, report.virtual_size);
        let (backed, achievable) = (scale(report.backed), scale(report.achievable_size));
        // A small share stays visible.
        let backed = if report.backed > 0 { backed.max(TRACE) } else { 0 };
        page.drawing.rectangle((LEFT, page.y), (CONTENT, HEIGHT), Class::OutOfReach.rgb());
        page.drawing.rectangle((LEFT, page.y), (achievable, HEIGHT), Class::Absent.rgb());
        page.drawing.rectangle((LEFT, page.y), (backed, HEIGHT), Class::Backed.rgb());
        page.drawing.frame((LEFT, page.y), (CONTENT, HEIGHT), 1, EDGE);
        if report.shortfall > 0 {
            page.drawing.rectangle((LEFT + achievable.min(CONTENT - 4), page.y - 8), (4, HEIGHT + 16), LINE);
        }
        page.skip(HEIGHT);
        page.axis(0..report.virtual_size);
        page.skip(42);
        let mut x = LEFT;
        for (class, bytes, what) in [
            (Class::Backed, report.backed, "backed"),
            (Class::Absent, self.growth(), "the host can add"),
            (Class::OutOfReach, report.shortfall, "out of reach"),
        ] {
            x = page.key(x, class.rgb(), &format!("{what}: {}", human(bytes)));
        }
        page.skip(8);
    }

    fn draw_disk(&self, page: &mut Page) {
        const BAR: u32 = 50;
        page.heading("Where it lies on the disk");
        if let Some(line) = self.line {
            page.skip(26);
            let x = LEFT + scaled(line, self.report.virtual_size).min(CONTENT - 4);
            let text =
                format!("filled from its beginning, the disk finds the host full here ({})", human(line));
            let (x, anchor) = if x > WIDTH / 2 { (x - 10, Anchor::End) } else { (x + 14, Anchor::Start) };
            page.drawing.text((x, page.y), BODY, anchor, LINE, &text);
            page.skip(12);
        }
        let top = page.y;
        if !self.partitions.is_empty() {
            page.caption("partitions", BAR);
            page.drawing.rectangle((LEFT, page.y), (CONTENT, BAR), PAPER);
            let mut spans: Vec<_> = self.partitions.iter().zip(PARTITIONS.iter().cycle()).collect();
            // Larger partitions first, so that a small one in the same column is drawn over its neighbour.
            spans.sort_by_key(|(span, _)| std::cmp::Reverse(span.range.end - span.range.start));
            for (span, fill) in spans {
                let x = scaled(span.range.start, self.report.virtual_size);
                let w = (scaled(span.range.end, self.report.virtual_size) - x).max(TRACE);
                page.drawing.rectangle((LEFT + x, page.y), (w, BAR), *fill);
                let text = format!("{} {}", span.name, span.label);
                if let Some(room) = w.checked_sub(20) {
                    // Where a label would be cut to its first letters, only the name is drawn.
                    let narrow = font::width(&text, BODY) > room && room < 160;
                    let text = if narrow { &span.name } else { &text };
                    page.drawing.text_within((LEFT + x + 10, page.y + 34), room, BODY, INK, text);
                }
            }
            page.drawing.frame((LEFT, page.y), (CONTENT, BAR), 1, EDGE);
            page.skip(BAR + 6);
        }
        page.rows(&self.disk, 50, 90);
        page.line(&self.disk, self.line, top);
        page.axis(self.disk.range().clone());
    }

    fn draw_strips(&self, page: &mut Page) {
        if self.strips.is_empty() {
            return;
        }
        let omitted = self.partitions.len() - self.strips.len().min(self.partitions.len());
        page.heading(&match omitted {
            0 => "Each partition at its own scale".to_owned(),
            _ => {
                format!("The {} largest partitions, each at its own scale; {omitted} more", self.strips.len())
            }
        });
        page.y -= 16;
        for strip in &self.strips {
            page.skip(50);
            let title = format!("{}  {}", strip.name, strip.title);
            page.drawing.text_within((LEFT, page.y), CONTENT, BODY, INK, &title);
            page.skip(12);
            let top = page.y;
            page.rows(&strip.cells, 30, 46);
            page.line(&strip.cells, self.line, top);
        }
    }

    fn draw_legend(&self, page: &mut Page) {
        page.heading("Key");
        page.caption("files", 20);
        let mut x = LEFT;
        page.skip(20);
        for (fill, text) in [(USED, "in use"), (FREE, "free"), (UNKNOWN, "no filesystem that can be read")] {
            x = page.key(x, fill, text);
        }
        page.skip(24);
        page.caption("blocks", 20);
        page.skip(20);
        x = LEFT;
        for class in Class::ALL {
            let bytes: u64 = self.disk.cells().iter().map(|cell| cell.stored(class)).sum();
            if bytes == 0 {
                continue;
            }
            let text = format!("{}, {}", class.text(), human(bytes));
            if x + font::width(&text, SMALL) + 60 > LEFT + CONTENT {
                page.skip(40);
                x = LEFT;
            }
            x = page.key(x, class.rgb(), &text);
        }
        page.skip(48);
        let cell = human(self.disk.range().end / self.disk.cells().len() as u64);
        let text = format!(
            "A column of the disk is {cell} wide and divided by share, whatever the order inside; the least of what is in \
             use, backed or damaged is drawn visibly."
        );
        page.drawing.text_within((LEFT, page.y), CONTENT, SMALL, FAINT_INK, &text);
    }
}

struct Page {
    drawing: Drawing,
    /// The height used so far, in units.
    y: u32,
}

impl Page {
    fn skip(&mut self, units: u32) {
        self.y += units;
    }

    fn heading(&mut self, text: &str) {
        self.skip(78);
        self.drawing.text((MARGIN, self.y), HEADING, Anchor::Start, INK, text);
        self.skip(22);
    }

    /// Draws the caption of a bar of this height, to the left of it.
    fn caption(&mut self, text: &str, height: u32) {
        let at = (LEFT - 16, self.y + height / 2 + 9);
        self.drawing.text(at, BODY, Anchor::End, FAINT_INK, text);
    }

    /// Draws a swatch and its label; returns the x position for the next one.
    fn key(&mut self, x: u32, fill: Rgb, text: &str) -> u32 {
        self.drawing.rectangle((x, self.y - 22), (26, 26), fill);
        self.drawing.frame((x, self.y - 22), (26, 26), 1, EDGE);
        self.drawing.text((x + 38, self.y), SMALL, Anchor::Start, INK, text);
        x + 38 + font::width(text, SMALL) + 44
    }

    /// Draws the rows of files and of blocks for a range.
    fn rows(&mut self, cells: &Cells, files: u32, blocks: u32) {
        self.caption("files", files);
        self.stacks(cells, files, |cell| {
            let rest = cell.size().saturating_sub(cell.used.saturating_add(cell.free));
            vec![(cell.used, USED, TRACE), (cell.free, FREE, 0), (rest, UNKNOWN, 0)]
        });
        self.skip(files + 6);
        self.caption("blocks", blocks);
        self.stacks(cells, blocks, |cell| {
            let trace = |class| if matches!(class, Class::Backed | Class::Damaged) { TRACE } else { 0 };
            Class::ALL.iter().map(|class| (cell.stored(*class), class.rgb(), trace(*class))).collect()
        });
        self.skip(blocks);
    }

    /// Draws one bar: a column for each cell, divided by share from the bottom up; equal neighbours are merged.
    fn stacks(&mut self, cells: &Cells, height: u32, parts: impl Fn(&Cell) -> Vec<(u64, Rgb, u32)>) {
        let columns = cells.cells().len() as u64;
        let x = |index: usize| scaled(index as u64, columns);
        let mut open: Option<(usize, Vec<(u32, Rgb)>)> = None;
        for (index, cell) in cells.cells().iter().enumerate() {
            let stack = heights(&parts(cell), height);
            match &open {
                Some((_, same)) if *same == stack => {}
                _ => {
                    if let Some((start, stack)) = open.replace((index, stack)) {
                        self.stack(x(start), x(index), height, &stack);
                    }
                }
            }
        }
        if let Some((start, stack)) = open {
            self.stack(x(start), CONTENT, height, &stack);
        }
        self.drawing.frame((LEFT, self.y), (CONTENT, height), 1, EDGE);
    }

    fn stack(&mut self, start: u32, end: u32, height: u32, stack: &[(u32, Rgb)]) {
        let mut bottom = self.y + height;
        for (part, fill) in stack {
            bottom -= part;
            self.drawing.rectangle((LEFT + start, bottom), (end - start, *part), *fill);
        }
    }

    /// Draws the line past which the host cannot back blocks, from `top` to the current height.
    fn line(&mut self, cells: &Cells, line: Option<u64>, top: u32) {
        let range = cells.range();
        if let Some(line) = line.filter(|line| range.contains(line)) {
            let x = scaled(line - range.start, range.end - range.start).min(CONTENT - 4);
            self.drawing.rectangle((LEFT + x, top - 8), (4, self.y - top + 16), LINE);
        }
    }

    /// Draws ticks at round sizes and at both ends.
    fn axis(&mut self, range: std::ops::Range<u64>) {
        let size = range.end - range.start;
        let end = human(size);
        let limit = CONTENT - font::width(&end, SMALL) - 40;
        let mut ticks = vec![(0, "0".to_owned())];
        let step = step(size);
        ticks.extend((1..=size / step).map(|n| (scaled(n * step, size), human(n * step))));
        ticks.retain(|(x, text)| x + font::width(text, SMALL) / 2 < limit);
        ticks.push((CONTENT, end));
        for (x, text) in ticks {
            self.drawing.rectangle((LEFT + x.min(CONTENT - 2), self.y), (2, 10), EDGE);
            let anchor = match x {
                0 => Anchor::Start,
                CONTENT => Anchor::End,
                _ => Anchor::Middle,
            };
            self.drawing.text((LEFT + x, self.y + 34), SMALL, anchor, FAINT_INK, &text);
        }
        self.skip(36);
    }
}

/// Converts `part` of `whole` to units of the content's width.
fn scaled(part: u64, whole: u64) -> u32 {
    let x = u128::from(part) * u128::from(CONTENT) / u128::from(whole.max(1));
    u32::try_from(x).unwrap_or(CONTENT).min(CONTENT)
}

/// The distance of ticks in bytes: a power of two that gives between four and eight ticks.
fn step(size: u64) -> u64 {
    (size / 4).max(1).checked_next_power_of_two().map_or(1 << 62, |step| (step / 2).max(1))
}

/// Divides `height` by shares without a remainder; a share that is not zero gets at least its minimum.
fn heights(parts: &[(u64, Rgb, u32)], height: u32) -> Vec<(u32, Rgb)> {
    let total: u128 = parts.iter().map(|(bytes, ..)| u128::from(*bytes)).sum();
    if total == 0 {
        return Vec::new();
    }
    let (mut sum, mut drawn) = (0, 0);
    let mut heights: Vec<(u32, Rgb)> = Vec::with_capacity(parts.len());
    for (bytes, fill, least) in parts.iter().filter(|(bytes, ..)| *bytes > 0) {
        sum += u128::from(*bytes);
        let end = u32::try_from(sum * u128::from(height) / total).unwrap_or(height);
        let part = end.saturating_sub(drawn).max(*least).min(height - drawn);
        drawn += part;
        heights.push((part, *fill));
    }
    // The highest part gives up what the minimums added.
    if let Some(highest) = heights.iter_mut().max_by_key(|(part, _)| *part) {
        highest.0 += height - drawn;
    }
    heights
}

const _: () = assert!(CONTENT == CELL * 1060 && PICTURE_COLUMNS == 1060);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_filled_whatever_is_in_it() {
        let parts = |bytes: [u64; 3]| [(bytes[0], USED, 2), (bytes[1], FREE, 0), (bytes[2], UNKNOWN, 0)];
        for bytes in [[1, 1_000_000, 0], [0, 5, 5], [7, 7, 7], [u64::MAX, u64::MAX, u64::MAX], [1, 0, 0]] {
            let heights = heights(&parts(bytes), 50);
            assert_eq!(heights.iter().map(|(part, _)| part).sum::<u32>(), 50, "{bytes:?}");
        }
        assert_eq!(heights(&parts([1, 1 << 40, 0]), 50)[0], (2, USED));
        assert_eq!(heights(&parts([0, 0, 0]), 50), []);
    }

    #[test]
    fn ticks_are_round_and_few() {
        for size in [1, 512, 100 << 20, 64 << 30, (12 << 30) + 12345, 64 << 40, u64::MAX] {
            let ticks = size / step(size);
            assert!(step(size).is_power_of_two() && (1..=16).contains(&ticks), "{size}: {ticks}");
        }
    }
}
