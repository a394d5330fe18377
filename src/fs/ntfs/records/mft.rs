//! The master file table: found through the boot sector, read in pieces, cached. Guards: a record that fails its fixup
//! affects no other record; the first records, if damaged, are read from `$MFTMirr`.

use std::{ops::Range, sync::Arc};

use super::{Header, RECORD_BITS, Record, extents};
use crate::{
    Error, Place, Result,
    bytes::{Buffer, BufferPool, ByteSource, Extent, ExtentKind, read_vec},
    cache::Cache,
    fs::{
        Context,
        ntfs::{
            attributes::{Form, code, file_name::FileName},
            fixup,
            volume::boot::BootSector,
        },
        runs::{RunList, RunSource},
    },
};

/// Length of a piece, the unit of reads: neighbours in a directory are mostly neighbours in the table.
pub(in super::super) const PIECE: u64 = 64 << 10;
/// Cache budget for pieces: 8,000 records of 1 KiB.
const CACHE_BUDGET: usize = 8 << 20;
/// Budget for the read history of 8192 pieces.
const TOUCHED_BUDGET: usize = 64 << 10;
/// Number of records in `$MFTMirr`.
const MIRRORED: u64 = 4;
/// Maximum number of records: node numbers have no room for more; the limit of NTFS itself is 2^32.
const MAX_RECORDS: u64 = 1 << RECORD_BITS;

/// A piece of the table with all fixups applied.
#[derive(Clone)]
struct Piece {
    bytes: Arc<Buffer>,
    /// Bit i is set if record i of the piece failed its fixup. A piece has at most 128 records: a record has at least 512
    /// bytes.
    damaged: u128,
}

/// A piece of the table that was read whole, with all fixups applied.
pub(in super::super) struct Whole {
    pub(in super::super) index: u64,
    bytes: Arc<Buffer>,
    /// Byte range of the piece in `bytes`.
    place: Range<usize>,
    damaged: u128,
}

/// The latest reads of a piece.
#[derive(Clone, Copy)]
enum Touched {
    /// Only this record.
    Record(u64),
    /// The whole piece, by [`Mft::whole`] or [`Mft::read_run`].
    Whole,
}

/// `$MFT`.
pub(in super::super) struct Mft {
    pub(in super::super) boot: BootSector,
    pub(in super::super) volume: Arc<dyn ByteSource>,
    data: RunSource,
    records: u64,
    /// Bytes of the table that its run list does not map.
    pub(in super::super) missing: u64,
    record_size: usize,
    /// True for the table of freed records.
    pub(in super::super) freed: bool,
    pieces: Cache<u64, Piece>,
    /// The latest reads of each piece. A piece is read whole when a second record of it is read: for files that are far
    /// apart only their records are read.
    touched: Cache<u64, Touched>,
    buffers: Arc<BufferPool>,
}

impl Mft {
    /// Opens the table. The second value is true if its first record was read from `$MFTMirr`.
    pub(in super::super) fn open(volume: &Arc<dyn ByteSource>, boot: BootSector) -> Result<(Self, bool)> {
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
                // If the list cannot be read, the table is cut short.
                (code::ATTRIBUTE_LIST, _) => list = extents::read_list(volume, &boot, &attribute).ok(),
                (code::FILE_NAME, Form::Resident(value)) => {
                    is_mft |= FileName::parse(value)?.units().eq("$MFT".encode_utf16());
                }
                (code::DATA, Form::NonResident(extent)) if attribute.name.is_empty() => first = Some(*extent),
                _ => {}
            }
        }
        // A damaged boot sector may lead to the record of another file.
        if !is_mft {
            return Err(base.corrupt("is not $MFT's"));
        }
        let extent = first.filter(|extent| extent.lowest_vcn == 0);
        let extent = extent.ok_or_else(|| base.corrupt("$MFT begins elsewhere"))?;
        let mut runs = RunList::new();
        extents::append_runs(&base, &extent, &boot, &mut runs)?;
        // The records with further extents are in the table itself, in the part that the previous extents map.
        for (vcn, segment) in extents::later_extents(list.as_deref().unwrap_or_default(), code::DATA, &[]) {
            let (len, known) = (runs.len(), Arc::new(runs));
            let record = (vcn == len / boot.cluster_size).then(|| {
                let data = RunSource::new(volume.clone(), known.clone(), len, len);
                let start = segment.record().saturating_mul(boot.record_size);
                read_record(&data, start, record_size, segment.record(), false)
            });
            runs = Arc::try_unwrap(known).expect("its only other owner is dropped");
            // A gap or a damaged record loses the records after it, not the volume.
            let Some(Ok(Some(record))) = record else { break };
            let extent = extents::check_segment(&base, &record, segment)
                .and_then(|()| extents::append_extent(&record, code::DATA, &[], vcn, &boot, &mut runs));
            if let Err(error) = extent {
                log::warn!("$MFT is cut short: {error}");
                break;
            }
        }
        let size = extent.file_size.min(runs.len());
        let missing = extent.file_size - size;
        let data = RunSource::new(volume.clone(), Arc::new(runs), size, extent.valid_data_length);
        let records = (size / boot.record_size).min(MAX_RECORDS);
        let buffers = BufferPool::new(usize::try_from(PIECE).expect("a constant"));
        let volume = volume.clone();
        Ok(Self {
            boot,
            volume,
            data,
            records,
            missing,
            record_size,
            freed: false,
            pieces: Cache::new(CACHE_BUDGET),
            touched: Cache::new(TOUCHED_BUDGET),
            buffers,
        })
    }

    /// The same table for freed records: those in use count as absent. Content is read from `volume`.
    pub(in super::super) fn freed(&self, volume: Arc<dyn ByteSource>, context: &Context) -> Self {
        Self {
            boot: self.boot,
            volume,
            data: self.data.clone(),
            // No valid table is larger than its volume.
            records: self.records.min(self.volume.size() / self.boot.record_size),
            missing: 0,
            record_size: self.record_size,
            freed: true,
            pieces: Cache::new(context.share(CACHE_BUDGET)),
            touched: Cache::new(0),
            buffers: self.buffers.clone(),
        }
    }

    /// Sets the cache budget to this volume's share.
    pub(in super::super) fn limit(&mut self, context: &Context) {
        self.pieces = Cache::new(context.share(CACHE_BUDGET));
    }

    /// The table's content, for sequential reads of all of it.
    pub(in super::super) fn data(&self) -> &RunSource {
        &self.data
    }

    /// Number of records in the table.
    pub(in super::super) fn records(&self) -> u64 {
        self.records
    }

    /// Reads a record in use.
    pub(in super::super) fn record(&self, number: u64) -> Result<Record> {
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

    /// The piece that contains a record, and the record's index in it.
    pub(in super::super) fn split(&self, number: u64) -> (u64, usize) {
        let per_piece = PIECE / self.boot.record_size;
        (number / per_piece, usize::try_from(number % per_piece).expect("at most 128"))
    }

    /// True if no other record of its piece was read lately.
    pub(in super::super) fn is_alone(&self, index: u64, number: u64) -> bool {
        match self.touched.get(&index) {
            None => true,
            Some(Touched::Record(touched)) => touched == number,
            Some(Touched::Whole) => false,
        }
    }

    /// A whole piece, which stays in memory for [`Self::record`].
    pub(in super::super) fn whole(&self, index: u64) -> Result<Whole> {
        let Piece { bytes, damaged } = self.pieces.get_or_load(index, || self.load(index))?;
        self.touched.put(index, Touched::Whole, size_of::<u64>());
        Ok(Whole { index, place: 0..bytes.len(), bytes, damaged })
    }

    /// Reads neighbouring pieces at once, into a buffer of `buffers`.
    pub(in super::super) fn read_run(
        &self,
        pieces: Range<u64>,
        buffers: &Arc<BufferPool>,
    ) -> Result<Vec<Whole>> {
        let start = pieces.start * PIECE;
        let len = (pieces.end * PIECE).min(self.records * self.boot.record_size) - start;
        let mut bytes = buffers.take(usize::try_from(len).expect("as long as a buffer"));
        self.data.read_exact_at(start, &mut bytes)?;
        let size = usize::try_from(PIECE).expect("a constant");
        let damaged: Vec<u128> = bytes.chunks_mut(size).map(|piece| self.fix(piece)).collect();
        let bytes = Arc::new(bytes);
        let places = (0..bytes.len()).step_by(size).map(|start| start..(start + size).min(bytes.len()));
        let whole = pieces.zip(places.zip(damaged)).map(|(index, (place, damaged))| {
            self.touched.put(index, Touched::Whole, size_of::<u64>());
            Whole { index, bytes: bytes.clone(), place, damaged }
        });
        Ok(whole.collect())
    }

    /// The records of a piece in order: `None` for each that is damaged or not in use.
    pub(in super::super) fn records_of<'a>(
        &'a self,
        piece: &'a Whole,
    ) -> impl Iterator<Item = Option<Record>> + 'a {
        let first = piece.index * (PIECE / self.boot.record_size);
        let starts = piece.place.clone().step_by(self.record_size);
        starts.zip(first..).enumerate().map(move |(within, (start, number))| {
            let intact = piece.damaged >> within & 1 == 0;
            let record =
                || Record::new(piece.bytes.clone(), start, self.record_size, number, self.freed).ok()?;
            intact.then(record).flatten()
        })
    }

    fn table_record(&self, number: u64) -> Result<Option<Record>> {
        let (index, within) = self.split(number);
        let piece = match self.pieces.get(&index) {
            Some(piece) => Some(piece),
            None => match self.touched.get(&index) {
                // The piece was read, and evicted since: after so long a time only this record is read, not its neighbours.
                Some(Touched::Whole) => None,
                Some(Touched::Record(other)) if other != number => self.load_cached(index),
                _ if self.freed => self.load_cached(index),
                _ => {
                    self.touched.put(index, Touched::Record(number), size_of::<u64>());
                    None
                }
            },
        };
        match piece {
            Some(piece) if piece.damaged >> within & 1 == 0 => {
                let start = within * self.record_size;
                Record::new(piece.bytes, start, self.record_size, number, self.freed)
            }
            // A bad sector in a neighbour must not make this record unreadable; a read of this record alone returns its own
            // error.
            _ => {
                let start = number * self.boot.record_size;
                read_record(&self.data, start, self.record_size, number, self.freed)
            }
        }
    }

    /// The first record from `number` on that is marked as freed; it may be damaged. Holes, in the table or in the disk
    /// below it, are skipped.
    pub(in super::super) fn next_freed(&self, mut number: u64) -> Option<u64> {
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
                // Record by record: a later read of an unreadable record returns the error.
                Err(_) => return Some(number),
            }
            number = (index + 1) * per_piece;
        }
        None
    }

    /// Number of bytes from `start` on that are certainly not stored.
    fn hole_at(&self, start: u64) -> u64 {
        let Some((position, len)) = self.data.runs().find(start) else { return 0 };
        let Some(position) = position else { return len };
        match self.data.volume().extent_at(position) {
            Ok(Extent { kind: ExtentKind::Hole, len: below }) => below.min(len),
            _ => 0,
        }
    }

    fn load_cached(&self, index: u64) -> Option<Piece> {
        self.pieces.get_or_load(index, || self.load(index)).ok()
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

    /// Applies the fixups of a piece; returns the mask of records that failed theirs, as in [`Piece`].
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

    /// The first records that are readable only in `$MFTMirr`.
    pub(in super::super) fn damaged_first_records(&self) -> Vec<u64> {
        (0..MIRRORED.min(self.records)).filter(|n| !matches!(self.table_record(*n), Ok(Some(_)))).collect()
    }
}

/// Reads a single record.
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
