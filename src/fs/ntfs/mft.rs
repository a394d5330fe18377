//! The master file table: found from the boot sector, read in pieces, cached. Guards: a record that fails its fixup is
//! damaged for itself alone; the first records are replaced by `$MFTMirr`'s when they are.

mod briefs;

use std::sync::Arc;

use super::{
    attribute::{Form, code},
    boot::BootSector,
    brief::Brief,
    file, fixup,
    index::FileName,
    node,
    record::{Header, Record},
};
use crate::{
    Error, Place, Result,
    bytes::{Buffer, BufferPool, ByteSource, Extent, ExtentKind, read_vec},
    cache::Cache,
    fs::{
        Options,
        runs::{RunList, RunSource},
    },
};

/// Records are read in pieces of this size: neighbours in a directory are mostly neighbours in the table.
const PIECE: u64 = 64 << 10;
/// Cached pieces: 8,000 records of 1 KiB.
const CACHE_BUDGET: usize = 8 << 20;
/// What `stat` says of the records of pieces that were read: 230,000 of them.
const BRIEF_BUDGET: usize = 16 << 20;
/// Remembers 8192 pieces of which one record was wanted.
const TOUCHED_BUDGET: usize = 64 << 10;
/// Records that `$MFTMirr` repeats.
const MIRRORED: u64 = 4;
/// Node numbers have no room for more; NTFS itself stops at 2^32.
const MAX_RECORDS: u64 = 1 << node::RECORD_BITS;

/// A piece of the table with all fixups applied.
#[derive(Clone)]
struct Piece {
    bytes: Arc<Buffer>,
    /// Bit i: record i of the piece failed its fixup. There are at most 128: a record has at least 512 bytes.
    damaged: u128,
}

/// `$MFT`.
pub(super) struct Mft {
    pub(super) boot: BootSector,
    pub(super) volume: Arc<dyn ByteSource>,
    data: RunSource,
    records: u64,
    /// Bytes of the table that its run list does not lead to.
    pub(super) missing: u64,
    record_size: usize,
    /// This is the table of the records that are not in use any more.
    pub(super) freed: bool,
    pieces: Cache<u64, Piece>,
    /// Of each piece that was read lately; none of freed records.
    briefs: Cache<u64, Arc<[Brief]>>,
    /// The record that was wanted of a piece, which is read whole when it is another one's turn: of files that are far
    /// from each other only the records are read.
    touched: Cache<u64, u64>,
    buffers: Arc<BufferPool>,
    /// For several pieces at once.
    run_buffers: Arc<BufferPool>,
}

impl Mft {
    /// Finds the table. The second value is true when `$MFTMirr` had to stand in for its first record.
    pub(super) fn open(volume: &Arc<dyn ByteSource>, boot: BootSector) -> Result<(Self, bool)> {
        match Self::bootstrap(volume, boot, boot.mft) {
            Ok(mft) => Ok((mft, false)),
            Err(error) => {
                Self::bootstrap(volume, boot, boot.mft_mirror).map(|mft| (mft, true)).map_err(|_| error)
            }
        }
    }

    /// Opens the table by its first record, at byte `position` of the volume.
    fn bootstrap(volume: &Arc<dyn ByteSource>, boot: BootSector, position: u64) -> Result<Self> {
        let record_size = usize::try_from(boot.record_size).expect("the boot sector bounds it");
        let base = read_record(&**volume, position, record_size, 0, false)?;
        let base = base.ok_or_else(|| Error::corrupt("MFT record 0", Place::Byte(position), "not in use"))?;
        let mut first = None;
        let (mut list, mut is_mft) = (None, false);
        for attribute in base.attributes() {
            let attribute = attribute?;
            match (attribute.type_code, &attribute.form) {
                // Without it the table is cut short.
                (code::ATTRIBUTE_LIST, _) => list = file::read_list(volume, &boot, &attribute).ok(),
                (code::FILE_NAME, Form::Resident(value)) => {
                    is_mft |= FileName::parse(value)?.units().eq("$MFT".encode_utf16());
                }
                (code::DATA, Form::NonResident(extent)) if attribute.name.is_empty() => first = Some(*extent),
                _ => {}
            }
        }
        // A damaged boot sector may lead to some other file's record.
        if !is_mft {
            return Err(base.corrupt("is not $MFT's"));
        }
        let extent = first.filter(|extent| extent.lowest_vcn == 0);
        let extent = extent.ok_or_else(|| base.corrupt("$MFT begins elsewhere"))?;
        let mut runs = RunList::new();
        file::append_runs(&base, &extent, &boot, &mut runs)?;
        // The records with further extents lie in the table itself, in what the extents before them map.
        for (vcn, segment) in file::later_extents(list.as_deref().unwrap_or_default(), code::DATA, &[]) {
            let (len, known) = (runs.len(), Arc::new(runs));
            let record = (vcn == len / boot.cluster_size).then(|| {
                let data = RunSource::new(volume.clone(), known.clone(), len, len);
                let start = segment.record().saturating_mul(boot.record_size);
                read_record(&data, start, record_size, segment.record(), false)
            });
            runs = Arc::try_unwrap(known).expect("its only other owner is dropped");
            // A gap or a damaged record costs the records after it, not the volume.
            let Some(Ok(Some(record))) = record else { break };
            let extent = file::check_segment(&base, &record, segment)
                .and_then(|()| file::append_extent(&record, code::DATA, &[], vcn, &boot, &mut runs));
            if let Err(error) = extent {
                log::warn!("$MFT is cut short: {error}");
                break;
            }
        }
        let size = extent.file_size.min(runs.len());
        let missing = extent.file_size - size;
        let data = RunSource::new(volume.clone(), Arc::new(runs), size, extent.valid_data_length);
        let records = (size / boot.record_size).min(MAX_RECORDS);
        let (pieces, briefs) = (Cache::new(CACHE_BUDGET), Cache::new(BRIEF_BUDGET));
        let buffers = BufferPool::new(usize::try_from(PIECE).expect("a constant"));
        let run_buffers = BufferPool::new(briefs::RUN);
        let volume = volume.clone();
        Ok(Self {
            boot,
            volume,
            data,
            records,
            missing,
            record_size,
            freed: false,
            pieces,
            briefs,
            touched: Cache::new(TOUCHED_BUDGET),
            buffers,
            run_buffers,
        })
    }

    /// The same table with the records that are not in use any more instead of the others; their content is read from
    /// `volume`.
    pub(super) fn freed(&self, volume: Arc<dyn ByteSource>, options: &Options) -> Self {
        Self {
            boot: self.boot,
            volume,
            data: self.data.clone(),
            // No sound table is larger than its volume.
            records: self.records.min(self.volume.size() / self.boot.record_size),
            missing: 0,
            record_size: self.record_size,
            freed: true,
            pieces: Cache::new(options.share(CACHE_BUDGET)),
            briefs: Cache::new(0),
            touched: Cache::new(0),
            buffers: self.buffers.clone(),
            run_buffers: self.run_buffers.clone(),
        }
    }

    /// Takes this much memory for caches instead of the usual budget.
    pub(super) fn limit(&mut self, options: &Options) {
        self.pieces = Cache::new(options.share(CACHE_BUDGET));
        self.briefs = Cache::new(options.share(BRIEF_BUDGET));
    }

    /// The table's content, for whoever reads all of it.
    pub(super) fn data(&self) -> &RunSource {
        &self.data
    }

    /// How many records the table has room for.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// A record in use.
    pub(super) fn record(&self, number: u64) -> Result<Record> {
        let absent = || Error::not_found(format!("MFT record {number} is not in use"));
        if number >= self.records {
            return Err(match number - self.records < self.missing / self.boot.record_size {
                true => Error::corrupt("FILE record", Place::Record(number), "lies where $MFT is cut short"),
                false => absent(),
            });
        }
        match self.table_record(number) {
            Ok(Some(record)) => Ok(record),
            other if number < MIRRORED && !self.freed => match self.mirrored(number) {
                Ok(Some(record)) => Ok(record),
                _ => other?.ok_or_else(absent),
            },
            other => other?.ok_or_else(absent),
        }
    }

    /// The piece that a record is in, and which one in it.
    fn split(&self, number: u64) -> (u64, usize) {
        let per_piece = PIECE / self.boot.record_size;
        (number / per_piece, usize::try_from(number % per_piece).expect("at most 128"))
    }

    /// True when no other record of its piece was wanted lately.
    fn is_alone(&self, index: u64, number: u64) -> bool {
        self.touched.get(&index).is_none_or(|touched| touched == number)
    }

    fn table_record(&self, number: u64) -> Result<Option<Record>> {
        let (index, within) = self.split(number);
        let piece = match self.pieces.get(&index) {
            Some(piece) => Some(piece),
            // Read before, and dropped since: whoever comes back after so long wants this one record.
            None if self.briefs.get(&index).is_some() => None,
            None if !self.freed && self.is_alone(index, number) => {
                self.touched.put(index, number, size_of::<u64>());
                None
            }
            None => self.pieces.get_or_load(index, || self.load(index)).ok(),
        };
        match piece {
            Some(piece) if piece.damaged >> within & 1 == 0 => {
                let start = within * self.record_size;
                Record::new(piece.bytes, start, self.record_size, number, self.freed)
            }
            // A bad sector in a neighbour must not cost this record; and alone it tells what is wrong with it.
            _ => {
                let start = number * self.boot.record_size;
                read_record(&self.data, start, self.record_size, number, self.freed)
            }
        }
    }

    /// The first record from `number` on that is not in use any more, by its flags: it may be damaged. Holes, in the
    /// table or in the disk below, are passed over.
    pub(super) fn next_freed(&self, mut number: u64) -> Option<u64> {
        let per_piece = PIECE / self.boot.record_size;
        while number < self.records {
            let start = number * self.boot.record_size;
            let hole = self.hole_at(start) / self.boot.record_size;
            if hole > 0 {
                number += hole;
                continue;
            }
            let (index, within) = (number / per_piece, number % per_piece);
            let within = usize::try_from(within).expect("at most 128") * self.record_size;
            match self.pieces.get_or_load(index, || self.load(index)) {
                Ok(piece) => {
                    let mut records = piece.bytes[within..].chunks_exact(self.record_size);
                    if let Some(at) = records.position(Header::is_freed) {
                        return Some(number + at as u64);
                    }
                }
                // Record by record: what cannot be read is told to whoever asks for it.
                Err(_) => return Some(number),
            }
            number = (index + 1) * per_piece;
        }
        None
    }

    /// How many bytes from `start` on are surely nowhere stored.
    fn hole_at(&self, start: u64) -> u64 {
        let Some((position, len)) = self.data.runs().find(start) else { return 0 };
        let Some(position) = position else { return len };
        match self.data.volume().extent_at(position) {
            Ok(Extent { kind: ExtentKind::Hole, len: below }) => below.min(len),
            _ => 0,
        }
    }

    fn load(&self, index: u64) -> Result<(Piece, usize)> {
        let start = index * PIECE;
        let len = PIECE.min(self.records * self.boot.record_size - start);
        let size = usize::try_from(len).expect("at most a piece");
        let mut bytes = self.buffers.take(size);
        self.data.read_exact_at(start, &mut bytes)?;
        let damaged = self.fix(&mut bytes);
        let memory = bytes.memory();
        Ok((Piece { bytes: Arc::new(bytes), damaged }, memory))
    }

    /// Applies the fixups of a piece; which records failed theirs, as in [`Piece`].
    fn fix(&self, piece: &mut [u8]) -> u128 {
        let mut damaged = 0;
        for (within, record) in piece.chunks_exact_mut(self.record_size).enumerate() {
            if record.starts_with(b"FILE") && fixup::apply(record, "FILE record", None).is_err() {
                damaged |= 1 << within;
            }
        }
        damaged
    }

    fn mirrored(&self, number: u64) -> Result<Option<Record>> {
        let start = self.boot.mft_mirror.saturating_add(number * self.boot.record_size);
        read_record(&*self.volume, start, self.record_size, number, false)
    }

    /// The first records that only `$MFTMirr` has.
    pub(super) fn damaged_first_records(&self) -> Vec<u64> {
        (0..MIRRORED.min(self.records)).filter(|n| !matches!(self.table_record(*n), Ok(Some(_)))).collect()
    }
}

/// Reads one record alone.
fn read_record(
    source: &dyn ByteSource,
    start: u64,
    size: usize,
    number: u64,
    freed: bool,
) -> Result<Option<Record>> {
    let mut bytes = read_vec(source, start, size)?;
    if bytes.starts_with(b"FILE") {
        fixup::apply(&mut bytes, "FILE record", Place::Record(number))?;
    }
    Record::new(Arc::new(bytes.into()), 0, size, number, freed)
}
