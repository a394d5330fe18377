//! Sources for tests, with the feature `testing`: one fails at chosen ranges, one counts its reads.

mod counted;
mod faulty;

pub use counted::Counted;
pub use faulty::Faulty;
