//! Sources for tests, with the feature `testing`: one that fails at chosen places, and one that counts what is read.

mod counted;
mod faulty;

pub use counted::Counted;
pub use faulty::Faulty;
