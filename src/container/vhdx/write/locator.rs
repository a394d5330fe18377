//! A new parent locator in place of the old one: the new item goes to a free place in the metadata region, and one entry of the log
//! makes the table lead to it. What the guest sees does not change by that, so neither does DataWriteGuid.

use std::ops::Range;

use zerocopy::{FromBytes, little_endian::U32};

use super::{
    super::{
        format::{self, MAX_METADATA_ITEM, MetadataTableEntry, MetadataTableHeader, TABLE_SIZE},
        header::Header,
        region::Regions,
    },
    Writer,
    headers::Change,
    pages::PAGE,
};
use crate::{Error, Place, Result, bytes::read_vec, guid::Guid};

const ENTRY: usize = size_of::<MetadataTableEntry>();

impl Writer {
    /// Replaces the locator, and closes the image.
    pub(in crate::container) fn replace_locator(mut self, locator: &[u8]) -> Result<()> {
        let header = Header::read_current(&*self.file, &mut Vec::new())?;
        let region = Regions::read_all(&*self.file, &header.log_range())?.known.metadata;
        let table = read_vec(&*self.file, region.start, TABLE_SIZE)?;
        let damaged =
            |problem: &'static str| Error::corrupt("VHDX metadata table", Place::Byte(region.start), problem);
        let (head, entries) =
            MetadataTableHeader::ref_from_prefix(&table).map_err(|_| damaged("cut short"))?;
        let count = head.entry_count.get().into();
        let (entries, _) = <[MetadataTableEntry]>::ref_from_prefix_with_elems(entries, count)
            .map_err(|_| damaged("too many entries"))?;
        let index = entries.iter().position(|entry| entry.item_id == format::PARENT_LOCATOR);
        let index = index.ok_or_else(|| damaged("no parent locator"))?;
        let used = entries.iter().map(|entry| {
            u64::from(entry.offset.get())..u64::from(entry.offset.get()) + u64::from(entry.length.get())
        });
        let len = locator.len() as u64;
        let at = free_place(used.collect(), len, region.end - region.start)
            .filter(|_| len <= u64::from(MAX_METADATA_ITEM))
            .ok_or_else(|| {
                Error::unsupported("the metadata region has no room for a longer path to the parent")
            })?;
        let narrow =
            |value: u64| U32::new(u32::try_from(value).expect("inside a region, whose length has 32 bits"));
        let (offset, length) = (narrow(at), narrow(len));
        self.file.write_all_at(region.start + at, locator)?;
        self.file.flush()?;
        // Entries do not cross pages: 32 bytes each, and the region begins at a whole MiB.
        let place = region.start + (size_of::<MetadataTableHeader>() + index * ENTRY) as u64;
        let within = usize::try_from(place % PAGE).expect("inside a page");
        let page = self.pages.stage(&*self.file, place / PAGE * PAGE)?;
        let (entry, _) = MetadataTableEntry::mut_from_prefix(&mut page[within..])
            .map_err(|_| Error::invalid("an entry that crosses pages"))?;
        (entry.offset, entry.length) = (offset, length);
        self.append()?;
        self.sync()?;
        let change = Change {
            file_write_guid: Some(Guid::random()),
            log_guid: Some(self.log.guid),
            ..Change::default()
        };
        self.headers.update(&*self.file, change)?;
        (self.started, self.changed) = (true, true);
        self.finish()
    }
}

/// The first place behind the table that nothing uses.
fn free_place(mut used: Vec<Range<u64>>, len: u64, region: u64) -> Option<u64> {
    used.retain(|range| !range.is_empty());
    used.sort_by_key(|range| range.start);
    let mut at = TABLE_SIZE as u64;
    for range in used {
        if at + len <= range.start {
            break;
        }
        at = at.max(range.end.next_multiple_of(8));
    }
    (at + len <= region).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn item_goes_to_the_first_gap_that_holds_it() {
        let base = TABLE_SIZE as u64;
        let used = || vec![base..base + 8, base + 100..base + 200, 0..0];
        assert_eq!(free_place(used(), 92, 1 << 20), Some(base + 8));
        assert_eq!(free_place(used(), 93, 1 << 20), Some(base + 200));
        assert_eq!(free_place(used(), 93, base + 292), None);
        assert_eq!(free_place(Vec::new(), 10, 1 << 20), Some(base));
    }
}
