//! Another parent in the header of a differencing VHD: header and locators change together, through the redo file.

use std::sync::Arc;

use zerocopy::{FromBytes, IntoBytes, big_endian::U32, big_endian::U64};

use super::super::{
    create::network_order,
    footer::{self, Trust},
    format::{self, DynamicHeader, FOOTER_SIZE, HEADER_CHECKSUM_AT, HEADER_SIZE, ParentLocatorEntry, SECTOR},
    header::Header,
};
use crate::{
    Error, Place, Result,
    bytes::{Backing, read_vec},
    container::{
        NewParent,
        flat::without_redo,
        redo::{Redo, Sectors},
    },
};

/// Makes the image name this parent.
///
/// # Errors
/// [`Error::Corrupt`] for a damaged footer or header; those of the files.
pub(in crate::container) fn replace_parent(
    file: &Arc<dyn Backing>,
    redo: Option<&Arc<dyn Backing>>,
    parent: &NewParent,
) -> Result<()> {
    let mut redo = Redo::open(redo.cloned().ok_or_else(without_redo)?, &**file)?;
    let damaged = |problem: &'static str| Error::corrupt("VHD footer", Place::Byte(file.size()), problem);
    let found = footer::locate(&**file, Trust::Checksum).ok_or_else(|| damaged("its checksum is wrong"))?;
    let end = found.data_end;
    let mut footer = [0; FOOTER_SIZE];
    file.read_exact_at(0, &mut footer)?;
    let header_at = found.footer.data_offset;
    let bytes = read_vec(&**file, header_at, HEADER_SIZE)?;
    let is_whole = Header::parse(&bytes, header_at)?.checksum_matches && header_at.is_multiple_of(SECTOR);
    if !is_whole || end + FOOTER_SIZE as u64 != file.size() || !end.is_multiple_of(SECTOR) {
        return Err(Error::corrupt(
            "VHD dynamic disk header",
            Place::Byte(header_at),
            "it or the footer is not in order: such an image is only read",
        ));
    }
    let mut header =
        DynamicHeader::read_from_bytes(&bytes).map_err(|_| damaged("a header that is cut short"))?;
    let mut sectors = Sectors::default();
    // Behind the last block, where the footer was; those that are there may be too short, and stay until the header leads to the new ones.
    let mut texts = Vec::new();
    header.parent_locators = [0; 8].map(|_| ParentLocatorEntry::read_from_bytes(&[0; 24]).expect("24 bytes"));
    let paths = [(*b"W2ru", &parent.relative_path), (*b"W2ku", &parent.absolute_path)];
    for (entry, (code, path)) in header.parent_locators.iter_mut().zip(paths) {
        let Some(path) = path else { continue };
        let text: Vec<u8> = path.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let len = u32::try_from(text.len()).expect("paths are bounded by the host");
        entry.platform_code = code;
        entry.platform_data_space = U32::new(len.next_multiple_of(512));
        entry.platform_data_length = U32::new(len);
        entry.platform_data_offset = U64::new(end + texts.len() as u64);
        texts.extend_from_slice(&text);
        texts.resize(texts.len().next_multiple_of(512), 0);
    }
    header.parent_unique_id = network_order(parent.identity);
    header.parent_time_stamp = U32::new(parent.time);
    header.parent_unicode_name = [0; 512];
    let name = parent.name().encode_utf16().flat_map(u16::to_be_bytes);
    header.parent_unicode_name[..510].iter_mut().zip(name).for_each(|(to, byte)| *to = byte);
    let mut bytes = header.as_bytes().to_vec();
    let sum = format::checksum(&bytes, HEADER_CHECKSUM_AT);
    bytes[HEADER_CHECKSUM_AT..HEADER_CHECKSUM_AT + 4].copy_from_slice(&sum.to_be_bytes());

    // In every state the file ends with a footer.
    file.write_all_at(end + texts.len() as u64, &footer)?;
    file.flush()?;
    file.write_all_at(end, &texts)?;
    file.flush()?;
    sectors.write(header_at, &bytes)?;
    redo.commit(&**file, &sectors)?;
    redo.retire(&**file)
}
