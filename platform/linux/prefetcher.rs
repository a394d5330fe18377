//! A thread that reads ahead the files that a program will read next, so that [`Prefill`](super::prefill::Prefill) finds
//! them in memory while another core works on the current ones. Requests to it never block, and files that it fails to
//! read are skipped.

use std::{
    collections::{HashMap, VecDeque},
    io,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{self, Receiver, SyncSender},
    },
    thread,
};

use vhdmount::{
    Result,
    bytes::{Buffer, BufferPool},
    fs::{DirCursor, NodeId, NodeKind, StatAhead},
    tree::Namespace,
};

use super::walk_detector::{FIRST, File, MAX_FILE, Prepare, first_batch};

/// Memory for content kept until it is stored, in bytes; the constant below limits the number of files.
const BUDGET: usize = 6 << 20;
const MAX_FILES: usize = 1024;

/// A common file size, in bytes: four of five files are no larger.
const COMMON_FILE: usize = 64 << 10;

/// Directory entries examined for files: a directory may hold millions that are not.
const MAX_LOOKED_AT: usize = 1024;

/// Length of the request queue. Further requests would be served too late, so they are dropped.
const MAX_WAITING: usize = 64;

/// The handle of the thread, which ends some time after the handle is dropped.
pub(super) struct Prefetcher {
    requests: SyncSender<Prepare>,
    ready: Arc<Mutex<Ready>>,
}

impl Prefetcher {
    pub(super) fn start(reader: Reader) -> io::Result<Self> {
        let (requests, receiver) = mpsc::sync_channel(MAX_WAITING);
        let ready = Arc::default();
        let thread = Thread { reader, ready: Arc::clone(&ready) };
        thread::Builder::new().name("prefetcher".into()).spawn(move || thread.run(&receiver))?;
        Ok(Self { requests, ready })
    }

    /// Queues files and directories to be read.
    pub(super) fn prepare(&self, prepare: Prepare) {
        let _ = self.requests.try_send(prepare);
    }

    /// Takes a file that was read ahead; each is returned once.
    pub(super) fn take(&self, node: u64) -> Option<Buffer> {
        lock(&self.ready).take(node)
    }
}

/// Reads whole files.
#[derive(Clone)]
pub(super) struct Reader {
    fs: Arc<dyn Namespace>,
    common: Arc<BufferPool>,
    others: Arc<BufferPool>,
}

impl Reader {
    pub(super) fn new(fs: Arc<dyn Namespace>) -> Self {
        let largest = usize::try_from(MAX_FILE).expect("a constant");
        Self { fs, common: BufferPool::new(COMMON_FILE), others: BufferPool::new(largest) }
    }

    /// Reads a file up to its listed size. `None` for one that cannot be read: the program's own read reports the error.
    pub(super) fn read(&self, file: File) -> Option<Buffer> {
        let read = || -> Result<Buffer> {
            let source = self.fs.open(NodeId(file.node))?;
            let len = usize::try_from(source.size().min(file.size).min(MAX_FILE)).unwrap_or(0);
            let pool = if len > COMMON_FILE { &self.others } else { &self.common };
            let mut content = pool.take(len);
            source.read_exact_at(0, &mut content)?;
            Ok(content)
        };
        // A panic is a bug in a parser; the program's own read meets it again and reports it.
        catch_unwind(AssertUnwindSafe(read)).ok()?.ok()
    }
}

fn lock(ready: &Mutex<Ready>) -> MutexGuard<'_, Ready> {
    ready.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The state that runs in the thread.
struct Thread {
    reader: Reader,
    ready: Arc<Mutex<Ready>>,
}

impl Thread {
    fn run(&self, requests: &Receiver<Prepare>) {
        for Prepare { files, directories } in requests {
            files.into_iter().for_each(|file| self.keep(file));
            for node in directories {
                // A panic is handled as for files.
                let files = catch_unwind(AssertUnwindSafe(|| self.files_of(NodeId(node))));
                files.into_iter().flatten().for_each(|file| self.keep(file));
            }
        }
    }

    /// The first files of a directory that will be stored; those before the damage in a damaged one.
    fn files_of(&self, directory: NodeId) -> Vec<File> {
        let (fs, mut files, mut looked_at) = (&self.reader.fs, Vec::new(), 0);
        fs.stat_ahead().expect_stats(directory, DirCursor(0));
        let _ = fs.read_dir(directory, DirCursor(0), &mut |entry| {
            if entry.kind == NodeKind::File && !fs.is_volatile(entry.node) {
                let size = fs.stat(entry.node).map_or(0, |stat| stat.size);
                files.extend((size > 0).then_some(File { node: entry.node.0, size }));
            }
            looked_at += 1;
            if files.len() < FIRST && looked_at < MAX_LOOKED_AT {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        first_batch(files)
    }

    fn keep(&self, file: File) {
        if let Some(content) = self.reader.read(file) {
            lock(&self.ready).put(file.node, content);
        }
    }
}

/// Files that were read and not yet stored.
#[derive(Default)]
struct Ready {
    content: HashMap<u64, Buffer>,
    /// Node numbers, oldest first; some may have been taken.
    order: VecDeque<u64>,
    memory: usize,
}

impl Ready {
    /// Keeps a file, and drops the oldest ones over the budget.
    fn put(&mut self, node: u64, content: Buffer) {
        self.take(node);
        self.memory += content.memory();
        self.content.insert(node, content);
        self.order.push_back(node);
        while self.memory > BUDGET || self.order.len() > MAX_FILES {
            let Some(oldest) = self.order.pop_front() else { return };
            self.take(oldest);
        }
    }

    fn take(&mut self, node: u64) -> Option<Buffer> {
        let content = self.content.remove(&node)?;
        self.memory -= content.memory();
        Some(content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ready_is_taken_once_and_bounded() {
        let mut ready = Ready::default();
        let bytes = |byte, len| Buffer::from(vec![byte; len]);
        ready.put(1, bytes(1, 10));
        ready.put(1, bytes(2, 20));
        assert_eq!(ready.memory, 20);
        assert!(ready.take(1).is_some_and(|content| *content == [2; 20]) && ready.take(1).is_none());
        for node in 2..100 {
            ready.put(node, bytes(0, 256 << 10));
            assert!(ready.memory <= BUDGET);
        }
        assert!(ready.take(60).is_none() && ready.take(99).is_some());
        for node in 0..3000 {
            ready.put(node, bytes(0, 1));
        }
        assert!(ready.content.len() <= MAX_FILES && ready.order.len() <= MAX_FILES);
    }
}
