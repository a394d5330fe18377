//! Crafted VHDX images that are opened for writing.

use std::sync::Arc;

use super::Input;
use crate::{
    bytes::{
        ByteSink, ByteSource, MemorySource, read_vec,
        testing::{MemoryFile, Sparse},
    },
    container::{
        Format, Kind, NewParent, Plan, create,
        write::{WritableDisk, WriteOptions},
    },
    guid::Guid,
};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const SIZE: u64 = 6 * MIB;
/// Structures: both headers, log, region tables, metadata table and items, block table.
const PLACES: [(u64, u64); 8] = [
    (64 * KIB, 128),
    (128 * KIB, 128),
    (MIB, 16 * KIB),
    (192 * KIB, 256),
    (256 * KIB, 256),
    (2 * MIB, 256),
    (2 * MIB + 64 * KIB, 512),
    (3 * MIB, 64),
];
/// What covers itself with a checksum.
const SEALED: [(u64, usize); 4] =
    [(64 * KIB, 4096), (128 * KIB, 4096), (192 * KIB, 64 << 10), (256 * KIB, 64 << 10)];

/// An image that was not closed, with changes to its structures, is opened for writing: it is refused and stays as it is, or holds what is
/// written then, in its own blocks alone.
pub(super) fn written(data: &[u8]) {
    let mut input = Input::new(data);
    let (is_child, sealed, seed) = (input.below(2) == 1, input.below(4) > 0, input.word());
    let parent = is_child.then(|| Arc::new(MemorySource(vec![0xaa; 4 << 20])) as Arc<dyn ByteSource>);
    let mut content = unclosed(parent.clone());
    while input.left() > 0 {
        let (start, len) = input.pick(&PLACES);
        let at = start + u64::from(input.word()) % len;
        let bytes = u64::from(input.word()).to_le_bytes();
        content.write(at, &bytes[..1 + input.below(4)]);
    }
    if sealed {
        for (at, len) in SEALED {
            let mut bytes = read_vec(&content, at, len).expect("inside the file");
            bytes[4..8].fill(0);
            let sum = crc32c::crc32c(&bytes);
            content.write(at + 4, &sum.to_le_bytes());
        }
    }
    let file = Arc::new(MemoryFile::new(content.clone()));
    let Ok(disk) = WritableDisk::open(file.clone(), parent, &WriteOptions::default()) else {
        assert!(file.content().pieces().eq(content.pieces()), "a refused image was changed");
        return;
    };
    let fixed = |file: &MemoryFile| {
        // A log may change region tables; nothing changes what comes before the headers.
        read_vec(file, 0, 64 << 10).expect("inside the file")
    };
    let before = fixed(&file);
    let size = disk.size().min(64 * MIB);
    let Ok(mut plain) = read_vec(&disk, 0, usize::try_from(size).expect("64 MiB")) else { return };
    for step in 0..6_u64 {
        let at = (u64::from(seed) + step * 1_000_001) % size;
        let len = (70_000 * step).min(size - at);
        let (from, to) = (usize::try_from(at).expect("64 MiB"), usize::try_from(at + len).expect("64 MiB"));
        if step == 4 {
            disk.discard(at, len).expect("memory takes all");
            plain[from..to].fill(0);
        } else {
            plain[from..to].fill(0x11 + u8::try_from(step).expect("below 6"));
            disk.write_all_at(at, &plain[from..to]).expect("memory takes all");
        }
    }
    disk.flush().expect("memory takes all");
    let now = read_vec(&disk, 0, plain.len()).expect("it was read before");
    assert!(now == plain, "what was written is not what is read");
    disk.close().expect("memory takes all");
    assert!(fixed(&file) == before, "what no writer may change was changed");
}

fn unclosed(parent: Option<Arc<dyn ByteSource>>) -> Sparse {
    let named = NewParent {
        identity: Guid([7; 16]),
        relative_path: Some(r".\base.vhdx".into()),
        absolute_path: None,
        time: 0,
    };
    let kind = if parent.is_some() { Kind::Differencing } else { Kind::Dynamic };
    let plan = Plan {
        kind,
        parent: parent.is_some().then_some(named),
        block_size: MIB,
        ..Plan::new(Format::Vhdx, SIZE, 0)
    };
    let file = Arc::new(MemoryFile::default());
    let made = create::Writer::new(&*file, &plan).and_then(create::Writer::finish);
    made.expect("memory takes all");
    let disk = WritableDisk::open(file.clone(), parent, &WriteOptions::default()).expect("a new image");
    for number in 0..3 {
        disk.write_all_at(number * 2 * MIB + 512, &[5; 4096]).expect("memory takes all");
        disk.flush().expect("memory takes all");
    }
    file.content()
}
