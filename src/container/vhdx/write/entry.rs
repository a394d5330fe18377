//! A log entry (MS-VHDX 2.3.1) as it is written: a header, a descriptor for each page, and a sector for each page that is not zeros.

use std::collections::BTreeMap;

use zerocopy::{
    FromZeros, IntoBytes,
    little_endian::{U32, U64},
};

use super::{
    super::{
        format::{self, LOG_SECTOR, LogDataSector, LogDescriptor, LogEntryHeader},
        header::checksum,
    },
    pages::{PAGE, Page},
};
use crate::guid::Guid;

/// What every entry states beside its pages.
#[derive(Clone, Copy)]
pub(super) struct Stated {
    pub(super) log_guid: Guid,
    pub(super) sequence_number: u64,
    /// Offset in the log of the oldest entry that a replay needs.
    pub(super) tail: u64,
    /// A length of the file that survives already.
    pub(super) flushed_file_offset: u64,
    /// The length that the file needs after a replay.
    pub(super) last_file_offset: u64,
}

/// Bytes of an entry of so many pages, none of them zeros.
pub(super) fn length(pages: usize) -> u64 {
    let descriptors = size_of::<LogEntryHeader>() + pages * size_of::<LogDescriptor>();
    (descriptors.div_ceil(LOG_SECTOR) + pages) as u64 * PAGE
}

/// The bytes of an entry, at most [`length`] of its pages.
pub(super) fn encode(stated: &Stated, pages: &BTreeMap<u64, Box<Page>>) -> Vec<u8> {
    let number = U64::new(stated.sequence_number);
    let mut descriptors: Vec<LogDescriptor> = Vec::new();
    let mut sectors: Vec<&Page> = Vec::new();
    for (at, page) in pages {
        let mut descriptor = LogDescriptor::new_zeroed();
        descriptor.file_offset = U64::new(*at);
        descriptor.sequence_number = number;
        if page.iter().all(|byte| *byte == 0) {
            if let Some(last) = descriptors.last_mut()
                && last.signature == *format::ZERO_SIGNATURE
                && last.file_offset.get() + u64::from_le_bytes(last.leading_bytes) == *at
            {
                last.leading_bytes = (u64::from_le_bytes(last.leading_bytes) + PAGE).to_le_bytes();
                continue;
            }
            descriptor.signature = *format::ZERO_SIGNATURE;
            descriptor.leading_bytes = PAGE.to_le_bytes();
        } else {
            descriptor.signature = *format::DESC_SIGNATURE;
            descriptor.leading_bytes.copy_from_slice(&page[..8]);
            descriptor.trailing_bytes.copy_from_slice(&page[LOG_SECTOR - 4..]);
            sectors.push(page);
        }
        descriptors.push(descriptor);
    }
    let front = size_of::<LogEntryHeader>() + descriptors.as_bytes().len();
    let front = front.next_multiple_of(LOG_SECTOR);
    let whole = front + sectors.len() * LOG_SECTOR;

    let mut header = LogEntryHeader::new_zeroed();
    header.signature = *format::LOG_SIGNATURE;
    header.entry_length =
        U32::new(u32::try_from(whole).expect("no longer than a log, whose length has 32 bits"));
    header.tail = U32::new(u32::try_from(stated.tail).expect("inside a log"));
    header.sequence_number = number;
    header.descriptor_count = U32::new(u32::try_from(descriptors.len()).expect("less than its bytes"));
    header.log_guid = stated.log_guid;
    header.flushed_file_offset = U64::new(stated.flushed_file_offset);
    header.last_file_offset = U64::new(stated.last_file_offset);

    let mut bytes = Vec::with_capacity(whole);
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(descriptors.as_bytes());
    bytes.resize(front, 0);
    for page in sectors {
        let (high, low) = (stated.sequence_number >> 32, stated.sequence_number & u64::from(u32::MAX));
        let half = |half: u64| U32::new(u32::try_from(half).expect("32 bits"));
        let mut sector = LogDataSector::new_zeroed();
        sector.signature = *format::DATA_SIGNATURE;
        sector.sequence_high = half(high);
        sector.data.copy_from_slice(&page[8..LOG_SECTOR - 4]);
        sector.sequence_low = half(low);
        bytes.extend_from_slice(sector.as_bytes());
    }
    let sum = checksum(&bytes);
    bytes[4..8].copy_from_slice(&sum.to_le_bytes());
    bytes
}
