//! BitLocker: volumes that Windows encrypts. Of BitLocker To Go the first sectors are a FAT volume that holds nothing but
//! the program to unlock it.

use super::format::{Format, Known, Look, Stage};
use crate::{Result, bytes::signature::has};

pub(super) struct BitLocker;

/// The identifier of a volume's metadata, and the one for encryption on write; on-disk byte order.
const IDS: [[u8; 16]; 2] = [
    [0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a, 0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0, 0x01],
    [0x3b, 0x4d, 0xa8, 0x92, 0x80, 0xdd, 0x0e, 0x4d, 0x9e, 0x4e, 0xb1, 0xe3, 0x28, 0x4e, 0xae, 0xd8],
];

impl Format for BitLocker {
    fn known(&self) -> Known {
        Known {
            name: "BitLocker",
            hint: "encrypted: unlock it on Windows (manage-bde -unlock), or decrypt it with dislocker or cryptsetup bitlk",
        }
    }

    fn detect(&self, look: &Look<'_>) -> Result<bool> {
        let boot = look.front;
        let volume = has(boot, 3, b"-FVE-FS-");
        let to_go = has(boot, 3, b"MSWIN4.1") && IDS.iter().any(|id| has(boot, 424, id));
        Ok(look.stage == Stage::First && (volume || to_go))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::MemorySource;

    #[test]
    fn bitlocker_is_distinguished_from_the_fat_volume_that_unlocks_it() {
        let encrypted = |boot: &[u8]| {
            let volume = MemorySource(boot.to_vec());
            BitLocker.detect(&Look { stage: Stage::First, volume: &volume, front: boot }).unwrap()
        };
        let mut boot = [0; 512];
        boot[3..11].copy_from_slice(b"MSWIN4.1");
        assert!(!encrypted(&boot));
        boot[424..440].copy_from_slice(b"\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01");
        assert!(encrypted(&boot));
        boot[3..11].copy_from_slice(b"-FVE-FS-");
        assert!(encrypted(&boot));
        assert!(!encrypted(&boot[..8]));
    }
}
