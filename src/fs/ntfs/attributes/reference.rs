//! File references (`MFT_SEGMENT_REFERENCE`): how one structure names the MFT record of a file.

/// A file: its MFT record's number, and the sequence number that the record must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileReference(pub u64);

impl FileReference {
    /// The number of the MFT record.
    pub fn record(self) -> u64 {
        self.0 & 0xffff_ffff_ffff
    }

    /// The sequence number that the record had when it was referred to; 0 is not checked.
    pub fn sequence(self) -> u16 {
        u16::try_from(self.0 >> 48).expect("16 bits remain")
    }
}
