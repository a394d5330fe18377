//! Hands small files to the kernel before it asks for them (FUSE_NOTIFY_STORE): a program that reads a whole tree, as
//! [`WalkDetector`] recognizes it, then finds them in the page cache and waits for none. Large ones it reads as ever.
//!
//! A store waits, and cannot be interrupted, for pages that a READ has locked, until a worker has answered that. So only
//! one worker stores at a time, never the only one, and never a file whose READ it holds itself.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use fuser::{INodeNo, Notifier};
use vhdmount::{bytes::Buffer, tree::Namespace};

use super::{
    prefetcher::{Prefetcher, Reader},
    walk_detector::{Entries, File, Plan, Prepare, WalkDetector},
};

/// Where files are stored.
pub(super) struct Prefill {
    reader: Reader,
    /// None as long as nothing is to be stored.
    kernel: OnceLock<Notifier>,
    /// The kernel refused.
    has_ended: AtomicBool,
    walk_detector: Mutex<WalkDetector>,
    /// Held by who stores.
    storing: Mutex<()>,
    /// Started by the first program that reads a tree; none where a thread cannot be had.
    prefetcher: OnceLock<Option<Prefetcher>>,
}

impl Prefill {
    /// Nothing is stored before [`Prefill::start`].
    pub(super) fn new(fs: Arc<dyn Namespace>) -> Self {
        Self {
            reader: Reader::new(fs),
            kernel: OnceLock::new(),
            has_ended: AtomicBool::new(false),
            walk_detector: Mutex::default(),
            storing: Mutex::default(),
            prefetcher: OnceLock::new(),
        }
    }

    /// Begins to store. There must be two workers at least.
    pub(super) fn start(&self, kernel: Notifier) {
        let _ = self.kernel.set(kernel);
    }

    /// None when nothing is stored.
    fn watch<T>(&self, look: impl FnOnce(&mut WalkDetector) -> T) -> Option<T> {
        if self.kernel.get().is_none() || self.has_ended.load(Ordering::Relaxed) {
            return None;
        }
        let mut walks = self.walk_detector.lock().unwrap_or_else(PoisonError::into_inner);
        // A worker must outlive a bug in this.
        catch_unwind(AssertUnwindSafe(|| look(&mut walks))).ok()
    }

    /// A listing is answered with these entries: its first, or further ones.
    pub(super) fn listed(&self, node: u64, from_start: bool, entries: &Entries) {
        if let Some(prepare) = self.watch(|walks| walks.listed(node, from_start, entries)) {
            self.prepare(prepare);
        }
    }

    /// A listing is about to be answered with its end. The kernel knows all of its files by now.
    pub(super) fn ended(&self, node: u64) {
        if let Some(plan) = self.watch(|walks| walks.ended(node)) {
            self.carry_out(plan);
        }
    }

    /// A READ of the start of a file was answered.
    pub(super) fn read(&self, node: u64) {
        if let Some(plan) = self.watch(|walks| walks.read(node)) {
            self.carry_out(plan);
        }
    }

    fn carry_out(&self, plan: Plan) {
        self.prepare(plan.prepare);
        if plan.store.is_empty() {
            return;
        }
        let (Some(kernel), Ok(_alone)) = (self.kernel.get(), self.storing.try_lock()) else { return };
        for file in plan.store {
            let Some(content) = self.content(file) else { continue };
            if let Err(error) = kernel.store(INodeNo(file.node), 0, &content) {
                log::debug!("the kernel takes no file before it asks for it: {error}");
                let is_for_now = error.kind() == io::ErrorKind::OutOfMemory;
                return self.has_ended.store(!is_for_now, Ordering::Relaxed);
            }
        }
    }

    fn content(&self, file: File) -> Option<Buffer> {
        let prepared = self.prefetcher.get().and_then(|prefetcher| prefetcher.as_ref()?.take(file.node));
        // The kernel would take more for a longer file, and less for nothing.
        prepared.or_else(|| self.reader.read(file)).filter(|content| content.len() as u64 == file.size)
    }

    fn prepare(&self, prepare: Prepare) {
        if prepare != Prepare::default() {
            let prefetcher = self.prefetcher.get_or_init(|| Prefetcher::start(self.reader.clone()).ok());
            if let Some(prefetcher) = prefetcher {
                prefetcher.prepare(prepare);
            }
        }
    }
}
