//! Sources for tests, with the feature `testing`: one fails at chosen ranges, one now and then, two count their reads, one
//! is sparse.

mod counted;
mod faulty;
mod flaky;
mod metered;
mod sparse;

pub use counted::Counted;
pub use faulty::Faulty;
pub use flaky::Flaky;
pub use metered::Metered;
pub use sparse::Sparse;
