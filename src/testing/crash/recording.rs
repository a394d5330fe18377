//! Files in memory that note what is done to them, in one order for all files of a recording, and that can fail like a host.

use std::{
    io,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard},
};

use crate::{
    Error, Result,
    bytes::{Backing, ByteSink, ByteSource, Extent, testing::Sparse},
};

/// What was done to a file.
#[derive(Debug, Clone)]
pub enum Event {
    /// Bytes were written.
    Write {
        /// Index of the file in the recording.
        file: usize,
        /// Where.
        offset: u64,
        /// What.
        bytes: Arc<[u8]>,
    },
    /// The file got another length.
    SetLen {
        /// Index of the file.
        file: usize,
        /// The new length.
        len: u64,
    },
    /// A flush returned.
    Flush {
        /// Index of the file.
        file: usize,
    },
}

/// How the host fails, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The host has no space left; nothing is written.
    NoSpace,
    /// The device fails; of a write the first half arrives, in whole sectors. After a failed flush the file takes no writes any more.
    Device,
}

/// Several files and what is done to them. A clone is the same recording.
#[derive(Clone, Default)]
pub struct Recording(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    initial: Vec<Sparse>,
    now: Vec<Sparse>,
    lost: Vec<bool>,
    events: Vec<Event>,
    /// Operations until a fault, and which.
    fault: Option<(usize, Fault)>,
    operations: usize,
}

/// A file of a [`Recording`].
pub struct Recorded {
    recording: Recording,
    file: usize,
}

impl Recording {
    /// Adds a file; what it holds now survives every power cut. The files are numbered from 0 on. A file that does not exist
    /// is an empty one.
    pub fn file(&self, content: Sparse) -> Arc<Recorded> {
        let mut inner = self.lock();
        inner.initial.push(content.clone());
        inner.now.push(content);
        inner.lost.push(false);
        Arc::new(Recorded { recording: self.clone(), file: inner.now.len() - 1 })
    }

    /// Number of events so far: a point in time, for a [`super::Model`].
    pub fn position(&self) -> usize {
        self.lock().events.len()
    }

    /// Number of writes, lengths and flushes so far, those that failed included.
    pub fn operations(&self) -> usize {
        self.lock().operations
    }

    /// Lets the operation with this number fail, counted from 0 over all files.
    pub fn fail(&self, operation: usize, fault: Fault) {
        self.lock().fault = Some((operation, fault));
    }

    /// What each file held at first, and everything since.
    pub(super) fn parts(&self) -> (Vec<Sparse>, Vec<Event>) {
        let inner = self.lock();
        (inner.initial.clone(), inner.events.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no holder of the lock panics")
    }
}

impl Inner {
    /// Counts an operation on a file; its fault, if it is to fail.
    fn fault(&mut self, file: usize) -> Option<Fault> {
        let number = self.operations;
        self.operations += 1;
        match self.fault {
            Some((at, fault)) if at == number => Some(fault),
            _ if self.lost[file] => Some(Fault::Device),
            _ => None,
        }
    }

    fn write(&mut self, file: usize, offset: u64, bytes: &[u8]) {
        self.now[file].write(offset, bytes);
        self.events.push(Event::Write { file, offset, bytes: bytes.into() });
    }

    fn set_len(&mut self, file: usize, len: u64) {
        self.now[file].truncate(len);
        self.events.push(Event::SetLen { file, len });
    }
}

fn injected(what: &str, fault: Fault) -> Error {
    let kind = match fault {
        Fault::NoSpace => io::ErrorKind::StorageFull,
        Fault::Device => io::ErrorKind::Other,
    };
    Error::io(format!("{what} (injected)"), kind.into())
}

impl Recorded {
    /// What the file holds now.
    pub fn content(&self) -> Sparse {
        self.recording.lock().now[self.file].clone()
    }
}

impl ByteSource for Recorded {
    fn size(&self) -> u64 {
        self.recording.lock().now[self.file].size()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.recording.lock().now[self.file].read_exact_at(offset, buf)
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.recording.lock().now[self.file].extent_at(offset)
    }
}

impl ByteSink for Recorded {
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut inner = self.recording.lock();
        let fault = inner.fault(self.file);
        let arrives = match fault {
            None => bytes,
            Some(Fault::Device) if !inner.lost[self.file] => &bytes[..bytes.len() / 2 / 512 * 512],
            Some(_) => &[],
        };
        if !arrives.is_empty() {
            inner.write(self.file, offset, arrives);
        }
        fault.map_or(Ok(()), |fault| Err(injected("a write", fault)))
    }

    fn set_len(&self, len: u64) -> Result<()> {
        let mut inner = self.recording.lock();
        if let Some(fault) = inner.fault(self.file) {
            return Err(injected("a new length", fault));
        }
        inner.set_len(self.file, len);
        Ok(())
    }

    fn reserve(&self, range: Range<u64>) -> Result<()> {
        let mut inner = self.recording.lock();
        if let Some(fault) = inner.fault(self.file) {
            return Err(injected("reserving space", fault));
        }
        if range.end > inner.now[self.file].size() {
            inner.set_len(self.file, range.end);
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        let mut inner = self.recording.lock();
        if let Some(fault) = inner.fault(self.file) {
            inner.lost[self.file] = true;
            return Err(injected("a flush", fault));
        }
        inner.events.push(Event::Flush { file: self.file });
        Ok(())
    }
}

impl Backing for Recorded {
    fn release(&self, range: Range<u64>) -> Result<()> {
        self.punch_hole(range)
    }
}
