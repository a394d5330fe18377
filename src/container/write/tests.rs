//! Disks of every kind, written in every way and compared with plain bytes in memory.

mod model;
mod refused;
mod vhd;
mod vhdx;
mod whole;

use std::sync::Arc;

use super::*;
use crate::{
    bytes::{
        read_vec,
        testing::{MemoryFile, Sparse},
    },
    container::{
        self, Container, Format, Kind, NewParent, OpenOptions, Plan, create, image::Image, open_source,
    },
    guid::Guid,
};

const MIB: u64 = 1 << 20;

/// A new image.
fn made(plan: &Plan, stretches: &[(u64, Vec<u8>)]) -> Sparse {
    let file = MemoryFile::default();
    let mut writer = create::Writer::new(&file, plan).unwrap();
    for (offset, bytes) in stretches {
        writer.write(*offset, bytes).unwrap();
    }
    writer.finish().unwrap();
    file.content()
}

/// A dynamic VHDX.
fn dynamic(size: u64, block_size: u64) -> Plan {
    Plan { block_size, ..Plan::new(Format::Vhdx, size, 0) }
}

/// A child of a VHDX.
fn child(size: u64, block_size: u64) -> Plan {
    let parent = NewParent {
        identity: Guid([7; 16]),
        relative_path: Some(r".\base.vhdx".into()),
        absolute_path: None,
        time: 0,
    };
    Plan { kind: Kind::Differencing, parent: Some(parent), ..dynamic(size, block_size) }
}

fn pattern(len: u64, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(usize::try_from(len).unwrap());
    bytes
}

/// Reads a file as others do: with its log replayed in memory, and the parent below.
fn read_only(file: Sparse, parent: Option<&Arc<dyn ByteSource>>) -> Arc<dyn ByteSource> {
    read_source(Arc::new(file), parent)
}

fn read_source(file: Arc<dyn ByteSource>, parent: Option<&Arc<dyn ByteSource>>) -> Arc<dyn ByteSource> {
    let options = OpenOptions { force_parent: true, ..OpenOptions::default() };
    let top = Image::from_source(file, "", &options).unwrap();
    let mut images = vec![top];
    if let Some(parent) = parent {
        images.push(Image::from_source(parent.clone(), "", &options).unwrap());
    }
    Container::new(images, Vec::new()).disk
}

/// What `check` finds, but for notes and a log to replay.
fn problems_of(file: &Arc<dyn ByteSource>) -> Vec<String> {
    crate::testing::crash::problems(file).unwrap()
}

/// A file whose syncs last until somebody has written to the disk.
struct Slow {
    file: MemoryFile,
    /// Says that a sync has begun, and hears that there was a write; for one sync.
    during: Mutex<Option<(std::sync::mpsc::Sender<()>, std::sync::mpsc::Receiver<()>)>>,
}

impl ByteSource for Slow {
    fn size(&self) -> u64 {
        self.file.size()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.file.read_exact_at(offset, buf)
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.file.extent_at(offset)
    }
}

impl ByteSink for Slow {
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(offset, bytes)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.file.set_len(len)
    }

    fn reserve(&self, range: std::ops::Range<u64>) -> Result<()> {
        self.file.reserve(range)
    }

    fn flush(&self) -> Result<()> {
        // Not locked below: a write that makes the file longer syncs it, too.
        let during = self.during.lock().unwrap().take();
        if let Some((begun, written)) = during {
            begun.send(()).unwrap();
            let patience = std::time::Duration::from_secs(60);
            written.recv_timeout(patience).expect("a write while the host syncs");
        }
        self.file.flush()
    }
}

impl Backing for Slow {}

#[test]
fn writes_go_on_while_the_host_syncs() {
    for plan in
        [dynamic(64 * MIB, 2 * MIB), Plan::new(Format::Vhd, 64 * MIB, 0), Plan::new(Format::Raw, 64 * MIB, 0)]
    {
        let slow = Arc::new(Slow { file: MemoryFile::new(made(&plan, &[])), during: Mutex::new(None) });
        let disk = WritableDisk::open(slow.clone(), None, &WriteOptions::default()).unwrap();
        disk.write_all_at(0, &pattern(4 * MIB, 1)).unwrap();
        let ((begun, has_begun), (wrote, written)) = (std::sync::mpsc::channel(), std::sync::mpsc::channel());
        *slow.during.lock().unwrap() = Some((begun, written));
        std::thread::scope(|scope| {
            let flushed = scope.spawn(|| disk.flush());
            has_begun.recv().unwrap();
            disk.write_all_at(8 * MIB, &pattern(MIB, 2)).unwrap();
            assert_eq!(read_vec(&disk, 0, 512).unwrap(), pattern(512, 1));
            wrote.send(()).unwrap();
            flushed.join().unwrap().unwrap();
        });
        disk.close().unwrap();
        let read = read_only(slow.file.content(), None);
        assert!(read_vec(&*read, 8 * MIB, 1 << 20).unwrap() == pattern(MIB, 2));
    }
}
