//! Sources for tests, with the feature `testing`: one fails at chosen ranges, one now and then, two count their reads, one
//! is sparse; and a sparse file that is written.

mod counted;
mod faulty;
mod flaky;
mod memory_file;
mod metered;
mod sparse;

pub use counted::Counted;
pub use faulty::Faulty;
pub use flaky::Flaky;
pub use memory_file::MemoryFile;
pub use metered::Metered;
pub use sparse::Sparse;
