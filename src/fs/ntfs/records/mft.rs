//! The master file table: found from the boot sector, read in pieces, cached. Guards: a record that fails its fixup is
//! damaged for itself alone; the first records are replaced by `$MFTMirr`'s when they are.

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

/// Records are read in pieces of this size: neighbours in a directory are mostly neighbours in the table.
pub(in super::super) const PIECE: u64 = 64 << 10;
/// Cached pieces: 8,000 records of 1 KiB.
const CACHE_BUDGET: usize = 8 << 20;
/// Remembers 8192 pieces of which one record was wanted.
const TOUCHED_BUDGET: usize = 64 << 10;
/// Records that `$MFTMirr` repeats.
const MIRRORED: u64 = 4;
/// Node numbers have no room for more; NTFS itself stops at 2^32.
const MAX_RECORDS: u64 = 1 << RECORD_BITS;

/// A piece of the table with all fixups applied.
#[derive(Clone)]
struct Piece {
    bytes: Arc<Buffer>,
    /// Bit i: record i of the piece failed its fixup. There are at most 128: a record has at least 512 bytes.
    damaged: u128,
}

/// A piece of the table that was handed out whole, with all fixups applied.
pub(in super::super) struct Whole {
    pub(in super::super) index: u64,
    bytes: Arc<Buffer>,
    /// Where in `bytes` the piece is.
    place: Range<usize>,
    damaged: u128,
}

/// What was wanted of a piece.
#[derive(Clone, Copy)]
enum Touched {
    /// This record alone.
    Record(u64),
    /// All of it, by [`Mft::whole`] or [`Mft::read_run`].
    Whole,
}

/// `$MFT`.
pub(in super::super) struct Mft {
    pub(in super::super) boot: BootSector,
    pub(in super::super) volume: Arc<dyn ByteSource>,
    data: RunSource,
    records: u64,
    /// Bytes of the table that its run list does not lead to.
    pub(in super::super) missing: u64,
    record_size: usize,
    /// This is the table of the records that are not in use any more.
    pub(in super::super) freed: bool,
    pieces: Cache<u64, Piece>,
    /// What was wanted of each piece lately. A piece is read whole when a second record of it is wanted: of files that are
    /// far from each other only the records are read.
    touched: Cache<u64, Touched>,
    buffers: Arc<BufferPool>,
}

impl Mft {
    /// Finds the table. The second value is true when `$MFTMirr` had to stand in for its first record.
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
                // Without it the table is cut short.
                (code::ATTRIBUTE_LIST, _) => list = extents::read_list(volume, &boot, &attribute).ok(),
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
        extents::append_runs(&base, &extent, &boot, &mut runs)?;
        // The records with further extents lie in the table itself, in what the extents before them map.
        for (vcn, segment) in extents::later_extents(list.as_deref().unwrap_or_default(), code::DATA, &[]) {
            let (len, known) = (runs.len(), Arc::new(runs));
            let record = (vcn == len / boot.cluster_size).then(|| {
                let data = RunSource::new(volume.clone(), known.clone(), len, len);
                let start = segment.record().saturating_mul(boot.record_size);
                read_record(&data, start, record_size, segment.record(), false)
            });
            runs = Arc::try_unwrap(known).expect("its only other owner is dropped");
            // A gap or a damaged record costs the records after it, not the volume.
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

    /// The same table with the records that are not in use any more instead of the others; their content is read from
    /// `volume`.
    pub(in super::super) fn freed(&self, volume: Arc<dyn ByteSource>, context: &Context) -> Self {
        Self {
            boot: self.boot,
            volume,
            data: self.data.clone(),
            // No sound table is larger than its volume.
            records: self.records.min(self.volume.size() / self.boot.record_size),
            missing: 0,
            record_size: self.record_size,
            freed: true,
            pieces: Cache::new(context.share(CACHE_BUDGET)),
            touched: Cache::new(0),
            buffers: self.buffers.clone(),
        }
    }

    /// Takes this much memory for caches instead of the usual budget.
    pub(in super::super) fn limit(&mut self, context: &Context) {
        self.pieces = Cache::new(context.share(CACHE_BUDGET));
    }

    /// The table's content, for whoever reads all of it.
    pub(in super::super) fn data(&self) -> &RunSource {
        &self.data
    }

    /// How many records the table has room for.
    pub(in super::super) fn records(&self) -> u64 {
        self.records
    }

    /// A record in use.
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

    /// The piece that a record is in, and which one in it.
    pub(in super::super) fn split(&self, number: u64) -> (u64, usize) {
        let per_piece = PIECE / self.boot.record_size;
        (number / per_piece, usize::try_from(number % per_piece).expect("at most 128"))
    }

    /// True when nothing else of its piece was wanted lately.
    pub(in super::super) fn is_alone(&self, index: u64, number: u64) -> bool {
        match self.touched.get(&index) {
            None => true,
            Some(Touched::Record(touched)) => touched == number,
            Some(Touched::Whole) => false,
        }
    }

    /// A whole piece; it stays in memory for [`Self::record`].
    pub(in super::super) fn whole(&self, index: u64) -> Result<Whole> {
        let Piece { bytes, damaged } = self.pieces.get_or_load(index, || self.load(index))?;
        self.touched.put(index, Touched::Whole, size_of::<u64>());
        Ok(Whole { index, place: 0..bytes.len(), bytes, damaged })
    }

    /// Neighbouring pieces by one read into a buffer of `buffers`.
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

    /// The records of a piece in their order: `None` for each that is damaged or not in use.
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
                // Read before, and dropped since: after so long a time one record is wanted, not its neighbours.
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
            // A bad sector in a neighbour must not cost this record; and alone it tells what is wrong with it.
            _ => {
                let start = number * self.boot.record_size;
                read_record(&self.data, start, self.record_size, number, self.freed)
            }
        }
    }

    /// The first record from `number` on that is not in use any more, by its flags: it may be damaged. Holes, in the
    /// table or in the disk below, are passed over.
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
    pub(in super::super) fn damaged_first_records(&self) -> Vec<u64> {
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
