//! The pure parsers of NTFS: boot sector, file record, attributes, mapping pairs, attribute list.
#![no_main]
use libfuzzer_sys::fuzz_target;
use vhdmount::fs::{
    ntfs::{
        BootSector,
        attributes::{Form, attribute_list, mapping_pairs},
        detect_backup,
        records::Header,
    },
    runs::RunList,
};

fuzz_target!(|data: &[u8]| {
    let _ = BootSector::parse(data);
    detect_backup(data);
    let mut runs = RunList::new();
    let clusters = data.first().map_or(0, |byte| u64::from(*byte));
    let _ = mapping_pairs::decode(data.get(1..).unwrap_or_default(), clusters, 4096, &mut runs);
    assert!(attribute_list::entries(data).count() <= data.len() / 26 + 1);
    let Ok(Some(header)) = Header::parse(data, 42) else { return };
    let mut count = 0;
    for attribute in header.attributes(data).flatten() {
        count += 1;
        let _ = (attribute.name_units(), attribute.size(), attribute.allocated());
        match attribute.form {
            Form::Resident(value) => assert!(value.len() <= data.len()),
            Form::NonResident(extent) => {
                let clusters = extent.highest_vcn.wrapping_add(1).wrapping_sub(extent.lowest_vcn);
                let _ = mapping_pairs::decode(extent.mapping_pairs, clusters, 4096, &mut RunList::new());
            }
        }
    }
    assert!(count <= data.len() / 16);
});
