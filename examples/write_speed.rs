//! Writes into an image, and says how fast: the counterpart of `qemu-io`, as long as no command of the program writes into one. What the
//! image held is lost.
//!
//! ```text
//! vhdmount create disk.vhdx --size 8G
//! cargo run --release --example write_speed -- disk.vhdx random 2000 [PARENT]
//! ```
//!
//! `random N`: N writes of 4 KiB, each followed by a flush. `sequential N`: N MiB in pieces of 1 MiB, and a flush at the end. `mixed N`: N
//! writes, discards and commits of all sizes, without an end: the image is left as after a power cut. `mirror N`: the same into
//! `IMAGE.raw` as well, both closed. `replay`: opens and closes it.

use std::{
    error::Error,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use vhdmount::{
    bytes::{BackingFile, ByteSink, ByteSource},
    container::{
        self, OpenOptions,
        write::{Below, WritableDisk, WriteOptions},
    },
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let usage = "usage: write_speed IMAGE random|sequential|mixed|mirror|replay [NUMBER] [PARENT]";
    let (Some(image), Some(mode)) = (arguments.first(), arguments.get(1)) else { return Err(usage.into()) };
    let count: u64 = arguments.get(2).map_or(Ok(0), |number| number.parse())?;
    let parent = match arguments.get(3) {
        Some(path) => Some(Below::of(&container::open(Path::new(path), &OpenOptions::default())?)),
        None => None,
    };
    let file = Arc::new(BackingFile::open(Path::new(image))?);
    let disk = WritableDisk::open(file, parent, &WriteOptions::default())?;
    let begun = Instant::now();
    match &**mode {
        "random" => random(&disk, count)?,
        "sequential" => sequential(&disk, count)?,
        "mixed" => {
            mixed(&disk, count, None)?;
            disk.flush()?;
            return Ok(());
        }
        "mirror" => {
            let raw = BackingFile::open(&PathBuf::from(format!("{image}.raw")))?;
            raw.set_len(disk.size())?;
            mixed(&disk, count, Some(&raw))?;
        }
        "replay" => {}
        _ => return Err(usage.into()),
    }
    let written = begun.elapsed();
    disk.close()?;
    println!(
        "{mode} {count}: {:.3} s, closed after {:.3} s",
        written.as_secs_f64(),
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

/// A number that looks random, the same in each run (splitmix64).
fn number(index: u64) -> u64 {
    let mut z = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn random(disk: &WritableDisk, count: u64) -> vhdmount::Result<()> {
    let bytes = [0x5a; 4096];
    let pages = disk.size() / 4096;
    for index in 0..count {
        disk.write_all_at(number(index) % pages * 4096, &bytes)?;
        disk.flush()?;
    }
    Ok(())
}

fn sequential(disk: &WritableDisk, mib: u64) -> vhdmount::Result<()> {
    let bytes = vec![0x5a; 1 << 20];
    for index in 0..mib {
        disk.write_all_at(index << 20, &bytes)?;
    }
    disk.flush()
}

fn mixed(disk: &WritableDisk, count: u64, mirror: Option<&BackingFile>) -> vhdmount::Result<()> {
    let write = |offset: u64, bytes: &[u8]| mirror.map_or(Ok(()), |raw| raw.write_all_at(offset, bytes));
    for index in 0..count {
        let most = [512, 65_536, 3 << 20][usize::try_from(number(index * 4) % 3).expect("below 3")];
        let offset = number(index * 4 + 1) % disk.size() / 512 * 512;
        let len = (number(index * 4 + 2) % most / 512 * 512 + 512).min(disk.size() - offset);
        let fill = number(index).to_le_bytes()[0] | 1;
        let mut bytes = vec![fill; usize::try_from(len).expect("3 MiB at most")];
        match number(index * 4 + 3) % 8 {
            0 => {
                bytes.fill(0);
                disk.discard(offset, len)?;
            }
            1 | 2 => {
                let mut transaction = disk.begin();
                transaction.write(offset, &bytes)?;
                transaction.commit()?;
            }
            3 => {
                disk.write_all_at(offset, &bytes)?;
                disk.flush()?;
            }
            _ => disk.write_all_at(offset, &bytes)?,
        }
        write(offset, &bytes)?;
    }
    Ok(())
}
