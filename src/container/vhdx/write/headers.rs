//! The two headers (MS-VHDX 2.2.2) as a writer changes them: always the one that is not current, with the next sequence number,
//! so that one of the two is whole at any time.

use zerocopy::{FromBytes, IntoBytes};

use super::super::{
    format::{self, HEADER_OFFSETS, HEADER_SIZE},
    header::{Header, checksum},
};
use crate::{
    Error, Result,
    bytes::{Backing, ByteSource, read_around_bad_sectors},
    guid::Guid,
};

/// Sequence numbers that a writer may need: one that begins higher is no header of a disk that was ever used.
const HEADROOM: u64 = 1 << 32;

/// The current header, byte by byte, and which of the two it is.
pub(super) struct Headers {
    bytes: Vec<u8>,
    sequence_number: u64,
    current: usize,
}

/// What a change of the headers sets; the rest stays.
#[derive(Clone, Copy, Default)]
pub(super) struct Change {
    pub(super) file_write_guid: Option<Guid>,
    pub(super) data_write_guid: Option<Guid>,
    pub(super) log_guid: Option<Guid>,
}

impl Headers {
    /// Reads the current header, which `header` is parsed from.
    pub(super) fn read(source: &dyn ByteSource, header: &Header) -> Result<Self> {
        for (current, offset) in HEADER_OFFSETS.into_iter().enumerate() {
            let Ok((bytes, _)) = read_around_bad_sectors(source, offset, HEADER_SIZE) else { continue };
            if Header::parse(&bytes, offset).is_ok_and(|found| found == *header) {
                let sequence_number = header.sequence_number;
                if sequence_number > u64::MAX - HEADROOM {
                    let problem = format!("sequence number {sequence_number}, which cannot grow any more");
                    return Err(Error::corrupt("VHDX header", crate::Place::Byte(offset), problem));
                }
                return Ok(Self { bytes, sequence_number, current });
            }
        }
        Err(Error::corrupt("VHDX header", None, "it changed while it was read"))
    }

    /// Changes both headers in turn; each is flushed before the other is touched.
    pub(super) fn update(&mut self, file: &dyn Backing, change: Change) -> Result<()> {
        let (raw, _) = format::Header::mut_from_prefix(&mut self.bytes).expect("4096 bytes");
        let set = |field: &mut Guid, to: Option<Guid>| *field = to.unwrap_or(*field);
        set(&mut raw.file_write_guid, change.file_write_guid);
        set(&mut raw.data_write_guid, change.data_write_guid);
        set(&mut raw.log_guid, change.log_guid);
        for _ in HEADER_OFFSETS {
            self.sequence_number += 1;
            let (raw, _) = format::Header::mut_from_prefix(&mut self.bytes).expect("4096 bytes");
            raw.sequence_number.set(self.sequence_number);
            let sum = checksum(&self.bytes);
            let (raw, _) = format::Header::mut_from_prefix(&mut self.bytes).expect("4096 bytes");
            raw.checksum.set(sum);
            self.current = 1 - self.current;
            file.write_all_at(HEADER_OFFSETS[self.current], self.bytes.as_bytes())?;
            file.flush()?;
        }
        Ok(())
    }
}
