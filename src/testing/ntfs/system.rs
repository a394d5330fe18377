//! The metadata files that every volume has.

use std::sync::{Arc, LazyLock};

use super::{
    attribute::{Attribute, DATA, FileName, SPARSE, Stored, VOLUME_INFORMATION, VOLUME_NAME},
    file::DIRECTORY,
    index::{Entry, NAMES, SDH, SII},
    record::fold,
    volume::{ROOT, Writer, system_reference},
};
use crate::testing::fields::Fields;

/// The table of upper cases, of the letters that generated names have.
static UPCASE: LazyLock<Vec<Arc<[u8; 4096]>>> = LazyLock::new(|| {
    let bytes: Vec<u8> = (0..=u16::MAX).flat_map(|unit| fold(unit).to_le_bytes()).collect();
    bytes.as_chunks().0.iter().map(|page| Arc::new(*page)).collect()
});
const UPCASE_LEN: u64 = 128 << 10;

/// Distance of the two copies in `$SDS`.
const SDS_BLOCK: u64 = 256 << 10;
/// A self-relative security descriptor without owner and lists.
const DESCRIPTOR: [u8; 20] = [1, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A name in the root directory.
pub(super) fn name(number: u64, text: &str, size: u64, allocated: u64) -> FileName {
    let is_directory = number == 11 || number == ROOT;
    FileName {
        directory: system_reference(ROOT),
        allocated,
        size,
        attributes: 6 | if is_directory { 0x1000_0000 } else { 0 },
        reparse_tag: 0,
        namespace: 3,
        text: text.into(),
    }
}

impl Writer<'_, '_> {
    /// Writes the metadata files but those of the table, the bitmap and the root.
    pub(super) fn system_files(&mut self) {
        // Nothing was ever logged.
        let log = self.store_structure(&[0xff; 4096]);
        self.system_data(2, "$LogFile", Stored { runs: log, size: 4096, valid: 4096, ..Stored::default() });
        let information = Fields::default().quad(0).bytes(&[3, 1, 0, 0]).done();
        let attributes = vec![
            Attribute::resident(VOLUME_NAME, "", &Fields::default().text("Generated").0),
            Attribute::resident(VOLUME_INFORMATION, "", &information),
            Attribute::resident(DATA, "", &[]),
        ];
        self.system(3, &name(3, "$Volume", 0, 0), attributes, 0);
        self.system(4, &name(4, "$AttrDef", 0, 0), vec![Attribute::resident(DATA, "", &[])], 0);
        let boot = 8192_u64.div_ceil(self.cluster);
        self.system_data(
            7,
            "$Boot",
            Stored { runs: vec![(Some(0), boot)], size: 8192, valid: 8192, ..Stored::default() },
        );
        let all = Stored {
            runs: vec![(None, self.clusters)],
            size: self.clusters * self.cluster,
            valid: 0,
            flags: SPARSE,
            unit: 0,
        };
        let mut attributes = Attribute::stored(DATA, "$Bad", &all, self.cluster, usize::MAX);
        attributes.push(Attribute::resident(DATA, "", &[]));
        self.system(8, &name(8, "$BadClus", 0, 0), attributes, 0);
        self.secure();
        let upcase = self.space.take(self.input, UPCASE_LEN.div_ceil(self.cluster));
        self.pieces.shared_content(upcase * self.cluster, &UPCASE);
        let size = UPCASE_LEN;
        let runs = vec![(Some(upcase), size.div_ceil(self.cluster))];
        self.system_data(10, "$UpCase", Stored { runs, size, valid: size, ..Stored::default() });
        let index = self.index(NAMES, &[], 0, 1);
        self.system(11, &name(11, "$Extend", 0, 0), index, DIRECTORY);
    }

    fn system_data(&mut self, number: u64, text: &str, value: Stored) {
        let allocated = value.size.next_multiple_of(self.cluster);
        let attributes = Attribute::stored(DATA, "", &value, self.cluster, usize::MAX);
        self.system(number, &name(number, text, value.size, allocated), attributes, 0);
    }

    /// One descriptor, of which all files are.
    fn secure(&mut self) {
        let hash = DESCRIPTOR.chunks_exact(4).fold(0_u32, |hash, word| {
            hash.rotate_left(3).wrapping_add(u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
        });
        let header = |id: usize| Fields::default().long(hash as usize).long(id).quad(0).long(40).done();
        let entry = [header(0x100), DESCRIPTOR.to_vec()].concat();
        let size = SDS_BLOCK + 64;
        let clusters = size.div_ceil(self.cluster);
        let place = self.space.take(self.input, clusters);
        for copy in [0, SDS_BLOCK] {
            let at = place * self.cluster + copy;
            self.pieces.structure(at, entry.clone(), crate::testing::pieces::Seal::None);
        }
        let value = Stored { runs: vec![(Some(place), clusters)], size, valid: size, ..Stored::default() };
        let mut attributes = Attribute::stored(DATA, "$SDS", &value, self.cluster, usize::MAX);
        let by_id = Entry::view(Fields::default().long(0x100).0, header(0x100));
        let by_hash = Fields::default().long(hash as usize).long(0x100).0;
        let by_hash = Entry::view(by_hash, [header(0x100), b"I\0I\0".to_vec()].concat());
        let levels = self.input.pick(&[0, 0, 1]);
        attributes.extend(self.index(SII, &[by_id], levels, 1));
        attributes.extend(self.index(SDH, &[by_hash], 0, 1));
        // A view index, and no unnamed stream.
        self.system(9, &name(9, "$Secure", 0, 0), attributes, 8);
    }
}

/// The entries of the metadata files in the root directory, which the caller puts into order: sizes as in their records.
pub(super) fn entries(sizes: &[(u64, &str, u64, u64)]) -> Vec<(String, Entry)> {
    let entry = |(number, text, size, allocated): &(u64, &str, u64, u64)| {
        let key = name(*number, text, *size, *allocated).encode();
        ((*text).to_owned(), Entry::name(system_reference(*number), key))
    };
    sizes.iter().map(entry).collect()
}
