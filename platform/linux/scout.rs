//! A thread that reads what a program will read next, so that [`Stores`](super::stores::Stores) finds it in memory while
//! another core is busy with what comes before. It is asked without waiting, and what it fails to read is left out.

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
    fs::{DirCursor, FileSystem, NodeId, NodeKind},
};

use super::walks::{FIRST, File, Prepare, first_batch};

/// Content that is kept until it is stored, in bytes, and the number of files.
const BUDGET: usize = 4 << 20;
const MAX_FILES: usize = 1024;

/// Requests that may wait. What comes on top would come too late.
const MAX_WAITING: usize = 64;

/// The thread. It ends some time after this is dropped.
pub(super) struct Scout {
    requests: SyncSender<Prepare>,
    ready: Arc<Mutex<Ready>>,
}

impl Scout {
    pub(super) fn start(fs: Arc<dyn FileSystem>) -> io::Result<Self> {
        let (requests, receiver) = mpsc::sync_channel(MAX_WAITING);
        let ready = Arc::default();
        let thread = Thread { fs, ready: Arc::clone(&ready) };
        thread::Builder::new().name("scout".into()).spawn(move || thread.run(&receiver))?;
        Ok(Self { requests, ready })
    }

    /// Asks for something to be read.
    pub(super) fn prepare(&self, prepare: Prepare) {
        let _ = self.requests.try_send(prepare);
    }

    /// A file that was read, once.
    pub(super) fn take(&self, node: u64) -> Option<Vec<u8>> {
        lock(&self.ready).take(node)
    }
}

/// A whole file, as much of it as was listed.
pub(super) fn content(fs: &dyn FileSystem, file: File) -> Result<Vec<u8>> {
    let source = fs.open(NodeId(file.node))?;
    let mut content = vec![0; usize::try_from(source.size().min(file.size)).unwrap_or(0)];
    source.read_exact_at(0, &mut content)?;
    Ok(content)
}

fn lock(ready: &Mutex<Ready>) -> MutexGuard<'_, Ready> {
    ready.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What runs in the thread.
struct Thread {
    fs: Arc<dyn FileSystem>,
    ready: Arc<Mutex<Ready>>,
}

impl Thread {
    fn run(&self, requests: &Receiver<Prepare>) {
        for Prepare { files, directories } in requests {
            files.into_iter().for_each(|file| self.keep(file));
            for node in directories {
                // A panic is a bug in a parser: whoever asks for that directory or file is told.
                let files = catch_unwind(AssertUnwindSafe(|| self.files_of(NodeId(node))));
                files.into_iter().flatten().for_each(|file| self.keep(file));
            }
        }
    }

    /// What will be stored of a directory; what precedes the damage in a damaged one.
    fn files_of(&self, directory: NodeId) -> Vec<File> {
        let mut files = Vec::new();
        self.fs.expect_stats(directory, DirCursor(0));
        let _ = self.fs.read_dir(directory, DirCursor(0), &mut |entry| {
            if entry.kind == NodeKind::File && !self.fs.is_volatile(entry.node) {
                let size = self.fs.stat(entry.node).map_or(0, |stat| stat.size);
                files.extend((size > 0).then_some(File { node: entry.node.0, size }));
            }
            if files.len() < FIRST { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        first_batch(files)
    }

    fn keep(&self, file: File) {
        if let Ok(Ok(content)) = catch_unwind(AssertUnwindSafe(|| content(&*self.fs, file))) {
            lock(&self.ready).put(file.node, content);
        }
    }
}

/// Files read and not yet stored.
#[derive(Default)]
struct Ready {
    content: HashMap<u64, Vec<u8>>,
    /// Oldest first; some may be gone.
    order: VecDeque<u64>,
    bytes: usize,
}

impl Ready {
    /// Keeps a file, and gives up those that were not asked for in time.
    fn put(&mut self, node: u64, content: Vec<u8>) {
        self.take(node);
        self.bytes += content.len();
        self.content.insert(node, content);
        self.order.push_back(node);
        while self.bytes > BUDGET || self.order.len() > MAX_FILES {
            let Some(oldest) = self.order.pop_front() else { return };
            self.take(oldest);
        }
    }

    fn take(&mut self, node: u64) -> Option<Vec<u8>> {
        let content = self.content.remove(&node)?;
        self.bytes -= content.len();
        Some(content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ready_is_taken_once_and_bounded() {
        let mut ready = Ready::default();
        ready.put(1, vec![1; 10]);
        ready.put(1, vec![2; 20]);
        assert_eq!((ready.bytes, ready.take(1), ready.take(1)), (20, Some(vec![2; 20]), None));
        for node in 2..100 {
            ready.put(node, vec![0; 256 << 10]);
            assert!(ready.bytes <= BUDGET);
        }
        assert!(ready.take(60).is_none() && ready.take(99).is_some());
        for node in 0..3000 {
            ready.put(node, vec![0]);
        }
        assert!(ready.content.len() <= MAX_FILES && ready.order.len() <= MAX_FILES);
    }
}
