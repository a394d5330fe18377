//! The input is the beginning of the log of a dirty disk; whatever claims to be an entry there gets a sound checksum.
#![no_main]
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use vhdmount::{
    Result,
    bytes::{ByteSource, check_range},
    container::{
        Layer,
        vhdx::{self, OpenOptions},
    },
};

#[path = "../../tests/suite/support/vhdx_writer.rs"]
mod writer;
use writer::{Block, Image, LOG_GUID, LOG_OFFSET, MIB, Recipe, seal};

impl ByteSource for Image {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(self.size, offset, buf.len())?;
        self.read_into(offset, buf);
        Ok(())
    }
}

static BASE: LazyLock<Image> = LazyLock::new(|| {
    let mut image = Recipe::dynamic(4 * MIB, MIB).block(0, Block::State(2)).build();
    image.write_log(&[]);
    image
});

fuzz_target!(|data: &[u8]| {
    let mut image = BASE.clone();
    // More than 64 sectors find nothing new.
    let mut log = vec![0; 64 * 4096];
    // Blank sectors are left out of the input: each 512 bytes of it begin a sector.
    for (sector, bytes) in log.chunks_mut(4096).zip(data.chunks(512)) {
        sector[..bytes.len()].copy_from_slice(bytes);
        if bytes.len() > 48 && bytes.starts_with(b"loge") {
            sector[32..48].copy_from_slice(&LOG_GUID);
        } else if bytes.starts_with(b"data") {
            sector.copy_within(4..8, 4092);
        }
    }
    for at in (0..log.len()).step_by(4096) {
        let length = u32::from_le_bytes(log[at + 8..at + 12].try_into().unwrap()) as usize;
        if log[at..].starts_with(b"loge") && length >= 4096 && at + length <= log.len() {
            seal(&mut log[at..at + length]);
        }
    }
    image.write(LOG_OFFSET, &log);
    let Ok(disk) = vhdx::open(Arc::new(image), "", &OpenOptions::default()) else { return };
    let source = disk.source();
    let mut buf = [0; 4096];
    for step in 0..64 {
        let at = (source.size() - 4096) / 64 * step;
        source.read_exact_at(at, &mut buf).expect("inside the source");
    }
    let _ = disk.resolve(0);
});
