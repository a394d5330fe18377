//! File references (`MFT_SEGMENT_REFERENCE`): the reference of one structure to the MFT record of a file.

/// A reference to a file: MFT record number, and the sequence number that the record must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileReference(pub u64);

impl FileReference {
    /// The MFT record number.
    pub fn record(self) -> u64 {
        self.0 & 0xffff_ffff_ffff
    }

    /// The record's sequence number at the time of the reference; 0 is not checked.
    pub fn sequence(self) -> u16 {
        u16::try_from(self.0 >> 48).expect("16 bits remain")
    }
}
