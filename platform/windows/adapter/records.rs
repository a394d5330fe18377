//! WinFsp's records for listings, as bytes: `FSP_FSCTL_DIR_INFO` and `FSP_FSCTL_STREAM_INFO`. Each starts at a multiple
//! of 8 with its length in 16 bits; a length of 0 ends the list.

use super::info::Info;

/// Size of `FSP_FSCTL_FILE_INFO`
pub(crate) const FILE_INFO: usize = 72;
/// Size of `FSP_FSCTL_DIR_INFO` without the name.
pub(crate) const DIR_INFO: usize = 104;
/// Size of `FSP_FSCTL_STREAM_INFO` without the name.
pub(crate) const STREAM_INFO: usize = 24;
/// Longest name of an entry, in UTF-16 units.
const MAX_NAME: usize = 255;
/// Size of the longest record of [`directory_entry`].
#[cfg(windows)]
pub(crate) const MAX_DIRECTORY_ENTRY: usize = DIR_INFO + 2 * MAX_NAME;

const ALIGNMENT: usize = 8;

/// A list of records in a buffer of fixed length.
pub(super) struct Records<'a> {
    buffer: &'a mut [u8],
    len: usize,
}

impl<'a> Records<'a> {
    pub(super) fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, len: 0 }
    }

    /// Bytes of the buffer in use.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds a record; returns false when it does not fit.
    pub(super) fn add(&mut self, record: &[u8]) -> bool {
        let room = record.len().next_multiple_of(ALIGNMENT);
        let Some(place) = self.buffer.get_mut(self.len..self.len + room) else { return false };
        place[..record.len()].copy_from_slice(record);
        place[record.len()..].fill(0);
        self.len += room;
        true
    }

    /// Adds the end mark. Without room for it, the next request receives it.
    pub(super) fn end(&mut self) {
        if let Some(place) = self.buffer.get_mut(self.len..self.len + 2) {
            place.fill(0);
            self.len += 2;
        }
    }
}

/// A directory entry; `next`: the position at which the listing continues after it. `None` when the name is too long for
/// Windows.
pub(crate) fn directory_entry(name: &[u16], info: &Info, next: u64) -> Option<Vec<u8>> {
    if name.len() > MAX_NAME {
        return None;
    }
    let size = u16::try_from(DIR_INFO + 2 * name.len()).expect("104 + 510 bytes");
    let mut record = Vec::with_capacity(DIR_INFO + 2 * name.len());
    record.extend(size.to_le_bytes());
    record.resize(ALIGNMENT, 0);
    record.extend(file_info(info));
    record.extend(next.to_le_bytes());
    record.resize(DIR_INFO, 0);
    record.extend(name.iter().flat_map(|unit| unit.to_le_bytes()));
    Some(record)
}

/// A stream of a file; the unnamed one has an empty name.
pub(super) fn stream(name: &[u16], size: u64, allocated: u64) -> Option<Vec<u8>> {
    if name.len() > MAX_NAME {
        return None;
    }
    let len = u16::try_from(STREAM_INFO + 2 * name.len()).expect("24 + 510 bytes");
    let mut record = len.to_le_bytes().to_vec();
    record.resize(ALIGNMENT, 0);
    record.extend(size.to_le_bytes());
    record.extend(allocated.to_le_bytes());
    record.extend(name.iter().flat_map(|unit| unit.to_le_bytes()));
    Some(record)
}

fn file_info(info: &Info) -> [u8; FILE_INFO] {
    let mut out = Vec::with_capacity(FILE_INFO);
    out.extend(info.attributes.to_le_bytes());
    out.extend(info.reparse_tag.to_le_bytes());
    for field in
        [info.allocated, info.size, info.created, info.accessed, info.written, info.changed, info.index]
    {
        out.extend(field.to_le_bytes());
    }
    // WinFsp is not given the number of hard links.
    out.extend(0_u32.to_le_bytes());
    out.extend(info.ea_size.to_le_bytes());
    out.try_into().expect("two numbers of 4 bytes, seven of 8, two of 4")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_its_fields_where_winfsp_reads_them() {
        let info = Info { attributes: 0x21, size: 5, index: 9, ea_size: 3, ..Info::default() };
        let record = directory_entry(&[0x41, 0x42], &info, 0x77).unwrap();
        assert_eq!(record.len(), 108);
        assert_eq!((record[0], record[8], record[24], record[64], record[76]), (108, 0x21, 5, 9, 3));
        assert_eq!((record[80], &record[104..]), (0x77, &[0x41, 0, 0x42, 0][..]));
        assert_eq!(directory_entry(&[0x41; 256], &info, 0), None);
        let record = stream(&[0x41], 5, 8).unwrap();
        assert_eq!((record.len(), record[0], record[8], record[16]), (26, 26, 5, 8));
    }

    #[test]
    fn a_list_fills_its_buffer_and_no_more() {
        let mut buffer = [0xee; 25];
        let mut records = Records::new(&mut buffer);
        assert!(records.add(&[9; 9]) && records.len() == 16);
        assert!(!records.add(&[9; 12]) && records.add(&[8; 8]));
        records.end();
        assert_eq!(records.len(), 24);
        assert_eq!(buffer[9..17], [0, 0, 0, 0, 0, 0, 0, 8]);
        let mut buffer = [0xee; 2];
        let mut records = Records::new(&mut buffer);
        records.end();
        assert_eq!((records.len(), buffer), (2, [0, 0]));
    }
}
