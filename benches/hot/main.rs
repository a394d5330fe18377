//! The hot paths, one call each: block and run lookup, records, indexes, names, LZNT1, and a directory through the tree.
//!
//! `cargo bench --bench hot [-- FILTER]`; instructions instead of time: `benches/instructions`. Images are made in memory
//! or are the demo disk, and are read through public interfaces, so that the implementation may change. Calls are timed
//! by the hundred or thousand: one call takes little longer than reading the clock.

mod containers;
mod files;
#[path = "../input/mod.rs"]
mod input;
mod records;
#[path = "../../tests/suite/support/vhd_writer.rs"]
#[allow(dead_code, reason = "the suite's")]
mod vhd_writer;
#[path = "../../tests/suite/support/vhdx_writer.rs"]
mod vhdx_writer;

fn main() {
    divan::main();
}

/// Returns its items in turn, endlessly.
struct Ring<T> {
    items: Vec<T>,
    at: usize,
}

impl<T> Ring<T> {
    fn new(items: Vec<T>) -> Self {
        Self { items, at: 0 }
    }

    fn next(&mut self) -> &T {
        self.at = if self.at + 1 < self.items.len() { self.at + 1 } else { 0 };
        &self.items[self.at]
    }
}
