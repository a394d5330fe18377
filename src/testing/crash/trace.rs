//! What other programs write through a mount, recorded where the session takes it, and done again as a workload: with the same
//! places, lengths, zeros and flushes, while the content is that of a [`super::Model`].
//!
//! Programs built for tests record a written mount when [`VARIABLE`] names a file; others know nothing of it.

use std::{
    fs::File,
    io::{Read, Write},
    ops::Range,
    path::Path,
    sync::Mutex,
};

use super::Step;
use crate::container::write::Observer;

/// Names the file of a [`Recorder`] to a program that mounts.
pub const VARIABLE: &str = "VHDMOUNT_TEST_TRACE";

const SECTOR: u64 = 512;
const HEAD: usize = 17;

/// Notes what is done to a disk in a file: a letter, offset, length, and the bytes of a write.
pub struct Recorder(Mutex<File>);

impl Recorder {
    /// Makes the file.
    ///
    /// # Errors
    /// Of the host.
    pub fn create(path: &Path) -> std::io::Result<Self> {
        Ok(Self(Mutex::new(File::create(path)?)))
    }

    fn note(&self, kind: u8, offset: u64, len: u64, bytes: &[u8]) {
        let mut record = Vec::with_capacity(HEAD + bytes.len());
        record.push(kind);
        record.extend(offset.to_le_bytes());
        record.extend(len.to_le_bytes());
        record.extend(bytes);
        let mut file = self.0.lock().expect("no holder of the lock panics");
        file.write_all(&record).expect("a trace can be written");
    }
}

impl Observer for Recorder {
    fn wrote(&self, offset: u64, bytes: &[u8]) {
        self.note(b'w', offset, bytes.len() as u64, bytes);
    }

    fn discarded(&self, offset: u64, len: u64) {
        self.note(b'd', offset, len, &[]);
    }

    fn flushed(&self) {
        self.note(b'f', 0, 0, &[]);
    }
}

/// Something that was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Traced {
    /// Bytes were written at an offset.
    Write(u64, Vec<u8>),
    /// From an offset on, so many bytes were discarded.
    Discard(u64, u64),
    /// A flush returned.
    Flush,
}

/// Reads a recording.
///
/// # Errors
/// Of the host, and for one that ends in the middle.
pub fn read_trace(path: &Path) -> std::io::Result<Vec<Traced>> {
    let mut file = std::io::BufReader::new(File::open(path)?);
    let mut traced = Vec::new();
    loop {
        let mut head = [0; HEAD];
        match file.read(&mut head[..1])? {
            0 => return Ok(traced),
            _ => file.read_exact(&mut head[1..])?,
        }
        let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("8 bytes"));
        let (offset, len) = (number(1), number(9));
        traced.push(match head[0] {
            b'w' => {
                let mut bytes = Vec::new();
                (&mut file).take(len).read_to_end(&mut bytes)?;
                Traced::Write(offset, bytes)
            }
            b'd' => Traced::Discard(offset, len),
            _ => Traced::Flush,
        });
    }
}

/// The steps that do the same to a disk. Each `every`-th flush is kept: mounts that publish every five seconds have few.
pub fn steps_of(trace: &[Traced], every: usize) -> Vec<Step> {
    let mut flushes = 0;
    let step = |traced: &Traced| match traced {
        Traced::Write(offset, bytes) => Some(Step::Pieces(pieces(*offset, bytes))),
        Traced::Discard(offset, len) => {
            // Whole sectors: of others a discard writes zeros into a part.
            let sectors = offset.div_ceil(SECTOR)..(offset + len) / SECTOR;
            (!sectors.is_empty()).then_some(Step::Discard(sectors))
        }
        Traced::Flush => {
            flushes += 1;
            (flushes % every == 0).then_some(Step::Flush)
        }
    };
    trace.iter().filter_map(step).collect()
}

/// The sectors of a write, in runs of zeros and of others.
fn pieces(offset: u64, bytes: &[u8]) -> Vec<(Range<u64>, bool)> {
    let (start, end) = (offset / SECTOR, (offset + bytes.len() as u64).div_ceil(SECTOR));
    let within =
        |at: u64| usize::try_from(at.saturating_sub(offset)).map_or(bytes.len(), |at| at.min(bytes.len()));
    let mut pieces: Vec<(Range<u64>, bool)> = Vec::new();
    for sector in start..end {
        let part = &bytes[within(sector * SECTOR)..within((sector + 1) * SECTOR)];
        let zeros = part.iter().all(|byte| *byte == 0);
        match pieces.last_mut() {
            Some((last, same)) if *same == zeros => last.end = sector + 1,
            _ => pieces.push((sector..sector + 1, zeros)),
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_recorded_is_done_again() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let recorder = Recorder::create(file.path()).unwrap();
        recorder.wrote(1024, &[[0; 512], [1; 512], [2; 512]].concat());
        recorder.flushed();
        recorder.discarded(4096, 1024);
        recorder.flushed();
        let trace = read_trace(file.path()).unwrap();
        assert_eq!(trace.len(), 4);
        let steps = steps_of(&trace, 2);
        let pieces = Step::Pieces(vec![(2..3, true), (3..5, false)]);
        assert_eq!(steps, [pieces, Step::Discard(8..10), Step::Flush]);
    }
}
