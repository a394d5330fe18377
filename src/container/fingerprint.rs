//! The fingerprint of a raw image: it has no identity of its own, so an overlay over it states its size, its time and a hash of
//! the places that every user of a disk changes: tables at both ends, first structures of volumes, and samples between them.

use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use crate::bytes::{ByteSource, FileSource};

const MIB: u64 = 1 << 20;
/// At the front: partition tables, and the superblock of a volume that begins at 1 MiB.
const FRONT: u64 = 4 * MIB;
/// At the end: the copy of a GPT, metadata of arrays.
const BACK: u64 = MIB;
/// Samples between them, and the bytes of each: 256 KiB in all, whatever the size.
const SAMPLES: u64 = 64;
const SAMPLE: u64 = 4096;
const PIECE: u64 = 64 << 10;

/// What is hashed of a raw image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the size and of at most 5.25 MiB.
    pub hash: [u8; 32],
}

/// What a child states of a raw image that it stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawParent {
    /// Its size and a hash of some of its content.
    pub fingerprint: Fingerprint,
    /// When it was last written, in nanoseconds since 1970; 0 for a device.
    pub time: u64,
}

impl Fingerprint {
    /// Reads what is hashed. A part that cannot be read counts as one that has no content.
    pub(super) fn of(source: &dyn ByteSource) -> Self {
        let size = source.size();
        let mut hash = Sha256::new();
        hash.update(size.to_le_bytes());
        let mut add = |mut at: u64, len: u64| {
            let end = at.saturating_add(len).min(size);
            while at < end {
                let len = PIECE.min(end - at);
                let mut bytes = vec![0; usize::try_from(len).expect("a piece")];
                match source.read_exact_at(at, &mut bytes) {
                    Ok(()) => hash.update(&bytes),
                    Err(_) => hash.update(b"unreadable"),
                }
                at += len;
            }
        };
        add(0, FRONT);
        let back = size.saturating_sub(BACK).max(FRONT);
        let step = back.saturating_sub(FRONT) / SAMPLES / SAMPLE * SAMPLE;
        if step > 0 {
            (0..SAMPLES).for_each(|number| add(FRONT + number * step, SAMPLE));
        } else {
            add(FRONT, back.saturating_sub(FRONT));
        }
        add(back, BACK);
        Self { size, hash: hash.finalize().into() }
    }

    /// The hash in hexadecimal digits.
    pub fn text(&self) -> String {
        self.hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A hash in hexadecimal digits.
    pub(super) fn parse(size: u64, text: &str) -> Option<Self> {
        let digits = text.as_bytes().as_chunks::<2>().0;
        let bytes: Option<Vec<u8>> =
            digits.iter().map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
        (text.len() == 64).then_some(Self { size, hash: bytes?.try_into().ok()? })
    }
}

/// When a file was last written, in nanoseconds since 1970; 0 for a device, whose time says nothing of its content.
pub(super) fn time(file: &FileSource) -> u64 {
    let Ok(metadata) = file.file().metadata() else { return 0 };
    if !metadata.is_file() {
        return 0;
    }
    let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::bytes::testing::{Metered, Sparse};

    #[test]
    fn both_ends_and_samples_count_and_little_is_read() {
        let size = 1 << 40;
        let of = |places: &[u64]| {
            let mut disk = Sparse::new(size);
            places.iter().for_each(|at| disk.write(*at, b"x"));
            Fingerprint::of(&disk)
        };
        let plain = of(&[]);
        for at in [0, MIB + 1024, 4 * MIB - 1, 4 * MIB, size - 512, size - 1] {
            assert_ne!(of(&[at]), plain, "{at}");
        }
        assert_eq!(Fingerprint::parse(size, &plain.text()), Some(plain));
        assert_ne!(Fingerprint::of(&Sparse::new(size + 512)), plain);
        let metered = Metered::new(Arc::new(Sparse::new(size)), 200, size);
        Fingerprint::of(&metered);
        assert!(metered.bytes() <= FRONT + BACK + SAMPLES * SAMPLE);
        for size in [0, 511, 512, FRONT, FRONT + 5, FRONT + BACK, FRONT + BACK + 100_000] {
            assert_eq!(Fingerprint::of(&Sparse::new(size)).size, size);
        }
        assert_eq!(Fingerprint::parse(1, "00"), None);
        assert_eq!(Fingerprint::parse(1, &"zz".repeat(32)), None);
    }
}
