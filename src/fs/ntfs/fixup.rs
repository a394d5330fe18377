//! The update sequence array ("fixup"): the last two bytes of each 512-byte stride of a multi-sector structure (MFT record,
//! index block) are replaced by its update sequence number; an array in the header has the original bytes. A stride with
//! another number was not written together with the rest: the structure is torn, and its content is not used.

use crate::{Error, Place, Result};

/// The stride is 512 bytes whatever the disk's sector size.
const STRIDE: usize = 512;

/// Checks every stride of `record` against the update sequence number, then restores the original bytes. `structure` and
/// `place` name the record in errors.
///
/// # Errors
/// [`Error::Corrupt`] for a torn record, or for an array at an invalid position.
pub fn apply(record: &mut [u8], structure: &'static str, place: impl Into<Option<Place>>) -> Result<()> {
    let place = place.into();
    let corrupt = |problem: String| Error::corrupt(structure, place, problem);
    let strides = record.len() / STRIDE;
    if strides == 0 || !record.len().is_multiple_of(STRIDE) {
        return Err(corrupt(format!("length {} is not a multiple of {STRIDE}", record.len())));
    }
    let u16_at = |at: usize| usize::from(u16::from_le_bytes([record[at], record[at + 1]]));
    let (usa_ofs, usa_count) = (u16_at(4), u16_at(6));
    if usa_count != strides + 1 {
        return Err(corrupt(format!("update sequence array of {usa_count} entries for {strides} strides")));
    }
    // The array must be before the first replaced bytes, and behind the fields that locate it.
    let usa_end = usa_ofs + 2 * usa_count;
    if usa_ofs < 8 || !usa_ofs.is_multiple_of(2) || usa_end > STRIDE - 2 {
        return Err(corrupt(format!("update sequence array at {usa_ofs:#x}")));
    }
    let (header, _) = record.split_at(STRIDE - 2);
    let mut usa = [0; STRIDE];
    let usa = &mut usa[..2 * usa_count];
    usa.copy_from_slice(&header[usa_ofs..usa_end]);
    let (number, saved) = usa.split_at(2);
    if let Some(torn) = record.chunks_exact(STRIDE).position(|stride| stride[STRIDE - 2..] != *number) {
        return Err(corrupt(format!("stride {torn} does not carry the update sequence number (torn write)")));
    }
    for (stride, bytes) in record.chunks_exact_mut(STRIDE).zip(saved.chunks_exact(2)) {
        stride[STRIDE - 2..].copy_from_slice(bytes);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Vec<u8> {
        let mut record = vec![0x11; 1024];
        record[4..8].copy_from_slice(&[0x30, 0, 3, 0]);
        record[0x30..0x36].copy_from_slice(&[7, 0, 0xaa, 0xbb, 0xcc, 0xdd]);
        record[510..512].copy_from_slice(&[7, 0]);
        record[1022..].copy_from_slice(&[7, 0]);
        record
    }

    #[test]
    fn true_bytes_are_put_back() {
        let mut fixed = record();
        apply(&mut fixed, "MFT record", None).unwrap();
        assert_eq!((&fixed[510..512], &fixed[1022..]), (&[0xaa, 0xbb][..], &[0xcc, 0xdd][..]));
        assert_eq!(fixed[512..1022], record()[512..1022]);
    }

    #[test]
    fn torn_record_is_left_alone() {
        let mut torn = record();
        torn[1022] = 8;
        let before = torn.clone();
        let error = apply(&mut torn, "MFT record", Place::Byte(0x4000)).unwrap_err();
        assert!(error.to_string().contains("MFT record at byte 0x4000: stride 1"), "{error}");
        assert_eq!(torn, before);
    }

    #[test]
    fn malformed_arrays_are_refused() {
        for (at, value) in [(4, 0x2f), (4, 6), (6, 2), (6, 4), (5, 2), (5, 0xff), (7, 0xff)] {
            let mut bad = record();
            bad[at] = value;
            assert!(apply(&mut bad, "MFT record", None).is_err(), "{at} = {value:#x}");
        }
        for len in [0, 7, 511, 1023, 512] {
            assert!(apply(&mut record()[..len], "MFT record", None).is_err(), "{len}");
        }
    }

    #[test]
    fn every_legal_size_has_room_for_its_array() {
        for len in [512, 1024, 4096, 0x1_0000] {
            let mut record = vec![0; len];
            let count = u16::try_from(len / STRIDE + 1).unwrap();
            record[4] = 0x28;
            record[6..8].copy_from_slice(&count.to_le_bytes());
            apply(&mut record, "index block", None).unwrap();
        }
    }
}
