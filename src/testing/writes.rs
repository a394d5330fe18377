//! Damaged images opened for writing: they are refused, or written so that exactly what was written changes.

use std::sync::Arc;

use super::{
    Input,
    crash::{Recording, Step, Workload, stamp, steps},
};
use crate::{
    bytes::{
        ByteSink, ByteSource, MemorySource, read_vec,
        testing::{MemoryFile, Sparse},
    },
    container::{
        Disk, Format, Kind, Layer, NewParent, Plan,
        create::Writer,
        detect::{Detected, detect},
        raw, vhd, vhdx,
        write::{Below, WritableDisk, WriteOptions},
    },
    guid::Guid,
};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// Bytes of the input for each damage.
const DAMAGE: usize = 6;
/// Operations on the file for each step, and its bytes beside those of the step: each piece may take a block and move a footer, or
/// empty a log.
const MOST_OPERATIONS: usize = 600;

/// Whether the image could be opened for writing.
pub fn write_vhd(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let kind = input.pick(&[Kind::Dynamic, Kind::Differencing, Kind::Fixed]);
    let block_size = input.pick(&[64 * KIB, 512 * KIB, 128 * KIB]);
    let size = input.pick(&[512, 300 * KIB, MIB, 2 * MIB + 512]);
    written(input, Format::Vhd, kind, size, block_size)
}

/// As [`write_vhd`].
pub fn write_vhdx(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let kind = input.pick(&[Kind::Dynamic, Kind::Differencing, Kind::Fixed]);
    let block_size = input.pick(&[MIB, 2 * MIB]);
    let size = input.pick(&[512, 3 * MIB, 5 * MIB + 512]);
    written(input, Format::Vhdx, kind, size, block_size)
}

fn written(mut input: Input<'_>, format: Format, kind: Kind, size: u64, block_size: u64) -> bool {
    let parent = (kind == Kind::Differencing).then(|| NewParent {
        identity: Guid([7; 16]),
        relative_path: Some(r".\base.img".into()),
        absolute_path: None,
        time: 0,
    });
    let plan = Plan {
        kind,
        block_size,
        parent,
        disk_id: Guid([1; 16]),
        data_id: Guid([2; 16]),
        ..Plan::new(format, size, 0)
    };
    let seed = input.word().into();
    let damages = input.below(8);
    let damages = input.split_end(damages * DAMAGE);
    let below: Vec<u8> = (0..size / 512).flat_map(|sector| stamp(9, sector)).collect();
    let below: Option<Arc<dyn ByteSource>> =
        (kind == Kind::Differencing).then(|| Arc::new(MemorySource(below)) as Arc<dyn ByteSource>);
    let mut file = image(&plan, seed);
    if format == Format::Vhdx && input.once_in(2) {
        file = unclosed(file, below.clone(), seed);
    }
    damage(&mut file, format, damages);
    if input.below(4) != 3 {
        seal(&mut file, format);
    }
    let recording = Recording::default();
    let (image, redo) = (recording.file(file.clone()), recording.file(Sparse::new(0)));
    let options = WriteOptions { redo: Some(redo), ..WriteOptions::default() };
    let Ok(disk) = WritableDisk::open(image.clone(), below.clone().map(Below::unverified), &options) else {
        assert_eq!(recording.position(), 0, "an image was written that is refused");
        return false;
    };
    // A fixed VHD without its footer is a raw disk like any other.
    if matches!(detect(&file, "image"), Ok(Detected::Raw)) {
        return false;
    }
    let Some(mut plain) = read(&file, format, below.as_ref()) else {
        panic!("an image is opened for writing that cannot be read");
    };
    let shape = Workload::shape(&Plan { virtual_size: disk.size(), ..plan }, 64, true);
    let steps = steps(seed, 12, &shape);
    let structures = structures(&image.content(), format);
    let before = recording.operations();
    let done = steps.iter().try_for_each(|step| apply(&disk, &mut plain, step));
    let done = done.and_then(|()| disk.close());
    assert!(
        recording.operations() - before < steps.len() * MOST_OPERATIONS,
        "{} operations",
        recording.operations()
    );
    assert!(self::structures(&image.content(), format) == structures, "what no writer changes was changed");
    if done.is_ok() {
        let after = read(&image.content(), format, below.as_ref()).expect("what was written is readable");
        if let Some(differs) = (0..plain.len()).find(|index| plain[*index] != after[*index]) {
            panic!("byte {differs:#x} holds {:#x} instead of {:#x}", after[differs], plain[differs]);
        }
    }
    true
}

/// An image with content in some of its blocks.
fn image(plan: &Plan, seed: u64) -> Sparse {
    let file = MemoryFile::default();
    let mut writer = Writer::new(&file, plan).expect("a plan within the format's limits");
    let sectors = plan.virtual_size / 512;
    for part in 0..4 {
        let sector = sectors * part / 4 + seed % 7;
        if sector < sectors && !(seed >> part).is_multiple_of(3) {
            writer.write(sector * 512, &stamp(3, sector)).expect("inside the disk");
        }
    }
    writer.finish().expect("memory takes it");
    file.content()
}

/// The image as a power cut leaves it: with a log that a replay needs.
fn unclosed(file: Sparse, below: Option<Arc<dyn ByteSource>>, seed: u64) -> Sparse {
    let file = Arc::new(MemoryFile::new(file));
    let disk = WritableDisk::open(file.clone(), below.map(Below::unverified), &WriteOptions::default())
        .expect("a new image");
    let sectors = disk.size() / 512;
    for part in 0..3 {
        let sector = (seed + sectors * part / 3) % sectors;
        disk.write_all_at(sector * 512, &stamp(4, sector)).expect("memory takes it");
        disk.flush().expect("memory takes it");
    }
    file.content()
}

/// What no writer of a VHDX changes: the identifier, the region tables, the metadata.
fn structures(file: &Sparse, format: Format) -> Vec<Vec<u8>> {
    let places: &[(u64, usize)] = match format {
        Format::Vhdx => &[(0, 64 << 10), (192 * KIB, 832 << 10), (2 * MIB, 1 << 20)],
        _ => &[],
    };
    places.iter().map(|(at, len)| read_vec(file, *at, *len).expect("inside the file")).collect()
}

/// Each damage: where, with 512 bytes before the table's end weighted most, and what.
fn damage(file: &mut Sparse, format: Format, damages: &[u8]) {
    // Footer, header and table of a small VHD; headers, regions, log, metadata and table of a VHDX.
    let areas: &[(u64, u64)] = match format {
        Format::Vhdx => &[(MIB, 4096), (2 * MIB, 68 * KIB), (64 * KIB, 256 * KIB), (3 * MIB, 64)],
        _ => &[(1536, 64), (512, 1024), (0, 512), (1536, 8192)],
    };
    for bytes in damages.as_chunks::<DAMAGE>().0 {
        let (start, len) = areas[usize::from(bytes[0]) % areas.len()];
        let at = start + u64::from(u16::from_le_bytes([bytes[1], bytes[2]])) % len;
        let value = if bytes[0] >= 128 { &bytes[3..4] } else { &bytes[3..6] };
        if at + 4 <= file.size() {
            file.write(at, value);
        }
    }
}

/// Puts checksums right.
fn seal(file: &mut Sparse, format: Format) {
    let structures: Vec<(u64, usize, usize)> = match format {
        Format::Vhdx => {
            vec![
                (64 * KIB, 4096, 4),
                (128 * KIB, 4096, 4),
                (192 * KIB, 64 << 10, 4),
                (256 * KIB, 64 << 10, 4),
            ]
        }
        _ => vec![(0, 512, 64), (512, 1024, 36), (file.size() - 512, 512, 64)],
    };
    for (at, len, field) in structures {
        let Ok(mut bytes) = read_vec(file, at, len) else { continue };
        bytes[field..field + 4].fill(0);
        let sum = match format {
            Format::Vhdx => crc32c::crc32c(&bytes).to_le_bytes(),
            _ => (!bytes.iter().fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte)))).to_be_bytes(),
        };
        // A fixed VHD has guest data where others have a copy of the footer.
        if format == Format::Vhdx || bytes.starts_with(b"conectix") || bytes.starts_with(b"cxsparse") {
            file.write(at + field as u64, &sum);
        }
    }
}

/// The disk as a reader sees it; `None` where it cannot be read as a whole.
fn read(file: &Sparse, format: Format, below: Option<&Arc<dyn ByteSource>>) -> Option<Vec<u8>> {
    let source: Arc<dyn ByteSource> = Arc::new(file.clone());
    let top: Arc<dyn Layer> = match format {
        Format::Vhdx => Arc::new(vhdx::open(source, "", &vhdx::OpenOptions { replay: true }).ok()?),
        _ => Arc::new(vhd::open(source, "").ok()?),
    };
    let below = below.filter(|_| top.info().kind == Kind::Differencing);
    let below = below.map(|below| Arc::new(raw::open(below.clone(), "", None)) as Arc<dyn Layer>);
    let disk = Disk::new([Some(top), below].into_iter().flatten().collect());
    // A damaged size may be terabytes: its beginning has to do.
    let len = usize::try_from(disk.size().min(8 * MIB)).expect("8 MiB at most");
    read_vec(&disk, 0, len).ok()
}

fn apply(disk: &WritableDisk, plain: &mut [u8], step: &Step) -> crate::Result<()> {
    let mut change = |sectors: &std::ops::Range<u64>, bytes: Option<&[u8]>| {
        let held = plain.len();
        let index = |sector: u64| usize::try_from(sector * 512).map_or(held, |at| at.min(held));
        let target = &mut plain[index(sectors.start)..index(sectors.end)];
        match bytes {
            Some(bytes) => target.copy_from_slice(&bytes[..target.len()]),
            None => target.fill(0),
        }
    };
    let content = |sectors: &std::ops::Range<u64>| -> Vec<u8> {
        sectors.clone().flat_map(|sector| stamp(5, sector)).collect()
    };
    let place = |sectors: &std::ops::Range<u64>| (sectors.start * 512, (sectors.end - sectors.start) * 512);
    match step {
        Step::Write(sectors) => {
            let bytes = content(sectors);
            disk.write_all_at(place(sectors).0, &bytes)?;
            change(sectors, Some(&bytes));
        }
        Step::Discard(sectors) => {
            disk.discard(place(sectors).0, place(sectors).1)?;
            change(sectors, None);
        }
        Step::Commit(changes) => {
            let mut transaction = disk.begin();
            for (sectors, discard) in changes {
                match discard {
                    true => transaction.discard(place(sectors).0, place(sectors).1)?,
                    false => transaction.write(place(sectors).0, &content(sectors))?,
                }
            }
            transaction.commit()?;
            for (sectors, discard) in changes {
                let bytes = content(sectors);
                change(sectors, (!discard).then_some(&bytes));
            }
        }
        Step::Flush | Step::Reopen => disk.flush()?,
        Step::Pieces(_) => unreachable!("only recorded workloads have them"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::seeded;

    #[test]
    fn damaged_vhds_are_refused_or_written_right() {
        let opened = (0..300).filter(|seed| write_vhd(&seeded(*seed, 100))).count();
        assert!((60..300).contains(&opened), "{opened} were opened");
    }

    #[test]
    fn damaged_vhdx_are_refused_or_written_right() {
        let opened = (0..120).filter(|seed| write_vhdx(&seeded(*seed, 100))).count();
        assert!((20..120).contains(&opened), "{opened} were opened");
    }
}
