//! A GUID partition table for a new disk.

use std::io::{self, Read, Seek, SeekFrom, Write};

use gpt::{GptConfig, disk::LogicalBlockSize, mbr::ProtectiveMBR, partition_types};
use vhdmount::{Error, Result, container::Plan};

use crate::cli::config::Partitions;

const MIB: u64 = 1 << 20;
/// Partitions begin at multiples of this, as those of Windows.
const ALIGNMENT: u64 = MIB;
/// What is written of a disk lies in its first and last so many bytes.
const EDGE: u64 = MIB;

/// The bytes of the table, with their offsets on the disk.
///
/// # Errors
/// When the disk is too small for it.
pub(super) fn of(plan: &Plan, partitions: &Partitions) -> Result<Vec<(u64, Vec<u8>)>> {
    let size = plan.virtual_size;
    let sector = u64::from(plan.logical_sector_size);
    let esp = match (partitions.esp, sector) {
        (false, _) => 0,
        (true, 4096) => 300 * MIB,
        (true, _) => 100 * MIB,
    };
    let msr = if partitions.msr { 16 * MIB } else { 0 };
    let needed = 2 * EDGE + esp + msr + MIB;
    if size < needed {
        return Err(Error::invalid(format!(
            "{size} bytes are too small for a partition table and its partitions: at least {needed}"
        )));
    }
    let fail = |error: String| Error::invalid(format!("the partition table: {error}"));
    let mut disk = Edges::new(size, sector);
    let block = if sector == 4096 { LogicalBlockSize::Lb4096 } else { LogicalBlockSize::Lb512 };
    let sectors = u32::try_from(size / sector - 1).unwrap_or(u32::MAX);
    ProtectiveMBR::with_lb_size(sectors)
        .overwrite_lba0(&mut disk)
        .map_err(|error| fail(error.to_string()))?;
    let config = GptConfig::new().writable(true).logical_block_size(block);
    let mut table = config.create_from_device(&mut disk, None).map_err(|error| fail(error.to_string()))?;
    let mut at = ALIGNMENT;
    let end = (size - EDGE) / ALIGNMENT * ALIGNMENT;
    let wanted = [
        ("EFI system partition", esp, partition_types::EFI),
        ("Microsoft reserved partition", msr, partition_types::MICROSOFT_RESERVED),
        ("Basic data partition", end - ALIGNMENT - esp - msr, partition_types::BASIC),
    ];
    for (name, len, kind) in wanted.into_iter().filter(|(_, len, _)| *len > 0) {
        table
            .add_partition_at(name, next_id(&table), at / sector, len / sector, kind, 0)
            .map_err(|error| fail(error.to_string()))?;
        at += len;
    }
    table.write().map_err(|error| fail(error.to_string()))?;
    Ok(disk.parts())
}

fn next_id<D>(table: &gpt::GptDisk<D>) -> u32 {
    u32::try_from(table.partitions().len()).map_or(u32::MAX, |count| count + 1)
}

/// A disk of zeros whose two ends can be written.
#[derive(Debug)]
struct Edges {
    size: u64,
    sector: u64,
    at: u64,
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Edges {
    fn new(size: u64, sector: u64) -> Self {
        let edge = vec![0; usize::try_from(EDGE).expect("1 MiB")];
        Self { size, sector, at: 0, head: edge.clone(), tail: edge }
    }

    /// The sectors of both ends that are not zeros, each end as one piece.
    fn parts(self) -> Vec<(u64, Vec<u8>)> {
        let tail_at = self.size - EDGE;
        let sector = usize::try_from(self.sector).expect("4096 at most");
        [(0, self.head), (tail_at, self.tail)]
            .into_iter()
            .filter_map(|(at, bytes)| {
                let first = bytes.iter().position(|byte| *byte != 0)? / sector * sector;
                let last = bytes.iter().rposition(|byte| *byte != 0)? / sector * sector + sector;
                Some((at + first as u64, bytes[first..last.min(bytes.len())].to_vec()))
            })
            .collect()
    }

    /// The bytes from the current position on, if they can be written.
    fn here(&mut self) -> Option<&mut [u8]> {
        let tail_at = self.size - EDGE;
        let (bytes, start) = match self.at {
            at if at < EDGE => (&mut self.head, 0),
            at if at >= tail_at => (&mut self.tail, tail_at),
            _ => return None,
        };
        bytes.get_mut(usize::try_from(self.at - start).ok()?..)
    }
}

impl Read for Edges {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(self.size.saturating_sub(self.at)).unwrap_or(usize::MAX).min(buf.len());
        let len = match self.here() {
            Some(bytes) => {
                let len = bytes.len().min(rest);
                buf[..len].copy_from_slice(&bytes[..len]);
                len
            }
            None => {
                buf[..rest].fill(0);
                rest
            }
        };
        self.at += len as u64;
        Ok(len)
    }
}

impl Write for Edges {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let bytes = self.here().ok_or(io::ErrorKind::InvalidInput)?;
        let len = bytes.len().min(buf.len());
        bytes[..len].copy_from_slice(&buf[..len]);
        self.at += len as u64;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Edges {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
