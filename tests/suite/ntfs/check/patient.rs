//! A volume of mkntfs and ntfs-3g that is damaged at one place.

use super::*;

/// Severity, structure and problem of everything that is found.
pub(super) fn examine(volume: &Ntfs) -> Vec<(Severity, String, String)> {
    let mut collector = Collector::default();
    vhdmount::fs::check(volume, &mut collector).unwrap();
    let (findings, _) = collector.into_parts();
    findings.into_iter().map(|found| (found.severity, found.structure, found.problem)).collect()
}

/// A volume that other programs made and that is not damaged.
pub(in crate::ntfs) fn is_clean(image: &Path) {
    assert_eq!(examine(&super::super::open(image)), []);
    if have(&["ntfsfix"]) {
        run(tool("ntfsfix").arg("-n").arg(image));
    }
}

/// A volume whose records and clusters are changed by name.
pub(super) struct Patient {
    pub(super) image: Vec<u8>,
    pub(super) mft: usize,
    pub(super) sound: Ntfs,
}

impl Patient {
    pub(super) fn new() -> Option<Self> {
        // Made once for all tests here.
        static VOLUME: LazyLock<Option<Vec<u8>>> = LazyLock::new(volume);
        let image = VOLUME.clone()?;
        let sound = open(image.clone()).unwrap();
        assert_eq!(examine(&sound), []);
        let mft = usize::try_from(ntfs::BootSector::parse(&image).unwrap().mft).unwrap();
        Some(Self { image, mft, sound })
    }

    /// The record of `many/file NNN`.
    pub(super) fn file(&self, number: usize) -> u64 {
        assert!(number < FILES);
        lookup(&self.sound, &["many", &format!("file {number:03}")]).unwrap().unwrap().0
    }

    pub(super) fn record_of(&self, path: &[&str]) -> u64 {
        lookup(&self.sound, path).unwrap().unwrap().0
    }

    /// The table is in one piece.
    pub(super) fn record(&mut self, number: u64) -> &mut [u8] {
        let at = self.mft + usize::try_from(number).unwrap() * RECORD;
        assert!(self.image[at..].starts_with(b"FILE"));
        &mut self.image[at..at + RECORD]
    }

    /// An attribute in a record, from its header on.
    pub(super) fn attribute(&mut self, number: u64, type_code: u32) -> &mut [u8] {
        let record = self.record(number);
        let mut at = usize::from(u16::from_le_bytes([record[0x14], record[0x15]]));
        loop {
            let word = |at: usize| u32::from_le_bytes(record[at..at + 4].try_into().unwrap());
            assert_ne!(word(at), u32::MAX, "no attribute {type_code:#x}");
            if word(at) == type_code {
                return &mut record[at..];
            }
            at += word(at + 4) as usize;
        }
    }

    /// The first run of the unnamed data: its place in the attribute, length and first cluster.
    pub(super) fn first_run(&mut self, number: u64) -> (usize, u64, u64) {
        let data = self.attribute(number, 0x80);
        let at = usize::from(data[0x20]);
        let (count, distance) = (usize::from(data[at] & 15), usize::from(data[at] >> 4));
        let value = |bytes: &[u8]| bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        (at, value(&data[at + 1..][..count]), value(&data[at + 1 + count..][..distance]))
    }

    /// Byte position of what a file without name in the system keeps in its first cluster.
    pub(super) fn data(&mut self, number: u64) -> usize {
        usize::try_from(self.first_run(number).2).unwrap() * 4096
    }

    pub(super) fn findings(&self) -> Vec<(Severity, String, String)> {
        examine(&open(self.image.clone()).unwrap())
    }

    /// Exactly these, the worst first: severity, structure, a part of the problem.
    pub(super) fn expect(&self, expected: &[(Severity, &str, &str)]) {
        let found = self.findings();
        let same = found.len() == expected.len()
            && found.iter().zip(expected).all(|((severity, structure, problem), expected)| {
                *severity == expected.0 && structure == expected.1 && problem.contains(expected.2)
            });
        assert!(same, "{found:#?}\nexpected {expected:#?}");
    }

    /// What another program says of the image.
    pub(super) fn ask(&self, program: &str, options: &[&str]) -> Option<(bool, String)> {
        if !have(&[program]) {
            return None;
        }
        let folder = scratch();
        let path = folder.path().join("image");
        fs::write(&path, &self.image).unwrap();
        let words: Vec<_> =
            options.iter().map(|word| word.replace("IMAGE", &path.to_string_lossy())).collect();
        let output = tool(program).args(words).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        Some((output.status.success(), text.into_owned()))
    }
}
