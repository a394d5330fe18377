//! Stores small files in the kernel's page cache before it requests them (FUSE_NOTIFY_STORE), so that a program that
//! reads a whole tree, as [`WalkDetector`] recognizes it, waits for none of them. Large files are read on request as
//! usual.
//!
//! A store waits uninterruptibly for pages that a READ has locked, until a worker has answered that READ. So at most one
//! worker stores at a time, never the only worker, and never a file whose READ it is answering itself.

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

/// Stores files in the kernel's page cache.
pub(super) struct Prefill {
    reader: Reader,
    /// The connection to the kernel; empty until storing has started.
    kernel: OnceLock<Notifier>,
    /// Set when the kernel refused a store.
    has_ended: AtomicBool,
    walk_detector: Mutex<WalkDetector>,
    /// Held by the worker that stores.
    storing: Mutex<()>,
    /// Started by the first program that reads a tree; `None` where no thread can be started.
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

    /// Starts to store. Requires two workers at least.
    pub(super) fn start(&self, kernel: Notifier) {
        let _ = self.kernel.set(kernel);
    }

    /// Runs `look` on the walk detector; `None` when nothing is stored.
    fn watch<T>(&self, look: impl FnOnce(&mut WalkDetector) -> T) -> Option<T> {
        if self.kernel.get().is_none() || self.has_ended.load(Ordering::Relaxed) {
            return None;
        }
        let mut walks = self.walk_detector.lock().unwrap_or_else(PoisonError::into_inner);
        // A bug in the detector must not end the worker.
        catch_unwind(AssertUnwindSafe(|| look(&mut walks))).ok()
    }

    /// Notes the entries that answer a listing: its first, or further ones.
    pub(super) fn listed(&self, node: u64, from_start: bool, entries: &Entries) {
        if let Some(prepare) = self.watch(|walks| walks.listed(node, from_start, entries)) {
            self.prepare(prepare);
        }
    }

    /// Notes that a listing is about to reach its end, when the kernel knows all files of the directory, and stores some
    /// of them.
    pub(super) fn ended(&self, node: u64) {
        if let Some(plan) = self.watch(|walks| walks.ended(node)) {
            self.carry_out(plan);
        }
    }

    /// Notes that a READ of the start of a file was answered.
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
        // The content must have the listed size: the kernel would extend the file by longer content, and shorter content
        // would be stored in vain.
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
