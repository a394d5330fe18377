//! Records of the table: attributes in order, those that do not fit in extension records, and the list of both.

use super::{
    attribute::{ATTRIBUTE_LIST, Attribute, STANDARD_INFORMATION, Stored},
    file::{File, IN_USE, RECORD_ARRAY, reference},
    volume::Writer,
};
use crate::testing::fields::Fields;

impl Writer<'_, '_> {
    /// Writes a file's records.
    pub(super) fn file(&mut self, mut file: File) {
        file.attributes.sort_by(|a, b| {
            let units = |name: &str| name.encode_utf16().map(fold).collect::<Vec<_>>();
            (a.code, units(&a.name), a.lowest_vcn).cmp(&(b.code, units(&b.name), b.lowest_vcn))
        });
        let room = self.record_size - self.attributes_at() - 8;
        let len = |attributes: &[Attribute]| attributes.iter().map(|found| found.bytes.len()).sum::<usize>();
        let one_extent = file.attributes.iter().all(|found| found.lowest_vcn == 0);
        let own = reference(file.number, file.sequence);
        if len(&file.attributes) <= room && !file.spread && one_extent {
            return self.record(&file, 0, &file.attributes);
        }
        // The first stays in the base record, beside the list; the others go where there is room.
        let is_base = |found: &Attribute| found.code == STANDARD_INFORMATION;
        let (mut base, rest): (Vec<_>, Vec<_>) = file.attributes.iter().cloned().partition(is_base);
        let mut entries: Vec<(Attribute, u64)> = base.iter().map(|found| (found.clone(), own)).collect();
        let mut extension: Vec<Attribute> = Vec::new();
        let mut number = self.spare();
        for attribute in rest {
            let second_extent =
                extension.iter().any(|found| found.code == attribute.code) && attribute.lowest_vcn > 0;
            if !extension.is_empty() && (len(&extension) + attribute.bytes.len() > room || second_extent) {
                let done = std::mem::take(&mut extension);
                self.record(
                    &File { number, sequence: 1, flags: file.flags & IN_USE, ..File::default() },
                    own,
                    &done,
                );
                number = self.spare();
            }
            entries.push((attribute.clone(), reference(number, 1)));
            extension.push(attribute);
        }
        self.record(
            &File { number, sequence: 1, flags: file.flags & IN_USE, ..File::default() },
            own,
            &extension,
        );
        let list: Vec<u8> = entries.iter().flat_map(|(found, segment)| list_entry(found, *segment)).collect();
        let list = match file.list_stored || list.len() + len(&base) + 64 > room {
            true => {
                let size = list.len() as u64;
                let runs = self.store_structure(&list);
                let value = Stored { runs, size, valid: size, ..Stored::default() };
                Attribute::stored(ATTRIBUTE_LIST, "", &value, self.cluster, 1).remove(0)
            }
            false => Attribute::resident(ATTRIBUTE_LIST, "", &list),
        };
        base.push(list);
        self.record(&file, 0, &base);
    }

    fn attributes_at(&self) -> usize {
        (RECORD_ARRAY + 2 * (self.record_size / 512 + 1)).next_multiple_of(8)
    }

    /// Writes one record.
    fn record(&mut self, file: &File, base: u64, attributes: &[Attribute]) {
        let (array, start) = (self.record_size / 512 + 1, self.attributes_at());
        let mut body = Vec::new();
        for (instance, attribute) in attributes.iter().enumerate() {
            let at = body.len();
            body.extend(&attribute.bytes);
            body[at + 14..at + 16].copy_from_slice(&Fields::default().word(instance).0);
        }
        body.extend([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
        let used = start + body.len();
        assert!(used <= self.record_size, "record {} has {used} bytes", file.number);
        let record = Fields::default()
            .bytes(b"FILE")
            .word(RECORD_ARRAY)
            .word(array)
            .quad(0)
            .word(file.sequence)
            .word(file.links)
            .word(start)
            .word(file.flags)
            .long(used)
            .long(self.record_size)
            .quad(base)
            .word(attributes.len())
            .word(0)
            .long(usize::try_from(file.number & 0xffff_ffff).expect("32 bits"))
            .to(start)
            .bytes(&body)
            .to(self.record_size)
            .done();
        self.put_record(file.number, record);
    }
}

/// Upper case, as far as generated names need it.
pub(super) fn fold(unit: u16) -> u16 {
    match unit {
        0x61..=0x7a | 0xe0..=0xf6 | 0xf8..=0xfe => unit - 0x20,
        _ => unit,
    }
}

fn list_entry(attribute: &Attribute, segment: u64) -> Vec<u8> {
    let units = attribute.name.encode_utf16().count();
    let len = (26 + units * 2).next_multiple_of(8);
    Fields::default()
        .long(attribute.code as usize)
        .word(len)
        .byte(units)
        .byte(26)
        .quad(attribute.lowest_vcn)
        .quad(segment)
        .word(0)
        .text(&attribute.name)
        .to(len)
        .done()
}
