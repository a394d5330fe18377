//! Sources for tests, with the feature `testing`: one fails at chosen ranges, two count their reads, one
//! is sparse.

mod counted;
mod faulty;
mod metered;
mod sparse;

pub use counted::Counted;
pub use faulty::Faulty;
pub use metered::Metered;
pub use sparse::Sparse;
