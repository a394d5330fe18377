//! Boot sectors: which program a BIOS would run, as far as its code shows. Code is recognized by the texts that it has to
//! print or to look for, as every version of it has those.

use serde::Serialize;

/// The length that a BIOS loads.
pub const LEN: usize = 512;
/// Where the partition table begins, in the first sector of a disk.
const TABLE: usize = 446;
/// Where GRUB's boot sector has the number of the sector that it loads.
const GRUB_KERNEL: usize = 0x5c;

/// A program in a boot sector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// Windows' code for a master boot record: starts the active partition.
    WindowsMbr,
    /// SYSLINUX's and others' code that starts the active partition.
    ActivePartition,
    /// SYSLINUX's code that starts the marked partition of a GPT.
    SyslinuxGpt,
    /// GRUB 2, which loads its core image.
    Grub2,
    /// GRUB 0.9x.
    GrubLegacy,
    /// LILO.
    Lilo,
    /// Code of a volume that loads `BOOTMGR`.
    Bootmgr,
    /// Code of a volume that loads `NTLDR`.
    Ntldr,
    /// SYSLINUX or EXTLINUX in a volume.
    Syslinux,
    /// What `mkfs.fat` writes: prints that the disk is not bootable.
    NotBootable,
    /// Nothing but zeros.
    Empty,
    /// Any other code.
    Unknown,
}

impl Code {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::WindowsMbr => "Windows' boot code",
            Self::ActivePartition => "code that starts the active partition",
            Self::SyslinuxGpt => "SYSLINUX's code for a GPT",
            Self::Grub2 => "GRUB",
            Self::GrubLegacy => "GRUB Legacy",
            Self::Lilo => "LILO",
            Self::Bootmgr => "code that loads bootmgr",
            Self::Ntldr => "code that loads ntldr",
            Self::Syslinux => "SYSLINUX",
            Self::NotBootable => "code that says that this is no bootable disk",
            Self::Empty => "no boot code",
            Self::Unknown => "boot code that is not known here",
        }
    }
}

/// True when a BIOS takes the sector for bootable.
pub fn is_signed(sector: &[u8]) -> bool {
    sector.get(510..512) == Some(&[0x55, 0xaa])
}

/// The program in the first sector of a disk with a partition table.
pub fn of_disk(sector: &[u8]) -> Code {
    let Some(code) = sector.get(..TABLE) else { return Code::Unknown };
    // Up to the signature of the disk.
    if code[..440].iter().all(|byte| *byte == 0) {
        return Code::Empty;
    }
    let has = |text: &[u8]| contains(code, text);
    if has(b"GRUB ") && has(b"Geom\0") {
        return if has(b"Hard Disk\0") && kernel_sector(sector).is_some() {
            Code::Grub2
        } else {
            Code::GrubLegacy
        };
    }
    if has(b"LILO") {
        return Code::Lilo;
    }
    if has(b"Invalid partition table") || has(b"Error loading operating system") {
        return Code::WindowsMbr;
    }
    if has(b"Missing OS\r\n") {
        // Both texts of SYSLINUX's code for a GPT; that for an MBR writes the words out.
        return Code::SyslinuxGpt;
    }
    if has(b"Missing operating system") || has(b"Operating system load error") {
        return Code::ActivePartition;
    }
    Code::Unknown
}

/// The program in the boot area of a volume: its first sectors, of which a BIOS loads the first.
pub fn of_volume(area: &[u8]) -> Code {
    let has = |text: &[u8]| contains(area, text);
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    if has(b"SYSLINUX") || has(b"LDLINUX SYS") || has(b"EXTLINUX") {
        return Code::Syslinux;
    }
    if has(b"GRUB ") && has(b"Geom\0") {
        return Code::Grub2;
    }
    if has(b"BOOTMGR") || has(&utf16("BOOTMGR")) {
        return Code::Bootmgr;
    }
    if has(b"NTLDR") || has(&utf16("NTLDR")) {
        return Code::Ntldr;
    }
    if has(b"This is not a bootable disk") {
        return Code::NotBootable;
    }
    // Behind the jump and the parameters of the volume.
    match area.get(0x5a..510).is_some_and(|code| code.iter().all(|byte| *byte == 0)) {
        true => Code::Empty,
        false => Code::Unknown,
    }
}

/// The sector of 512 bytes at which GRUB's core image begins.
pub fn kernel_sector(sector: &[u8]) -> Option<u64> {
    let number = u64::from_le_bytes(*sector.get(GRUB_KERNEL..)?.first_chunk()?);
    (number > 0 && number < 1 << 48).then_some(number)
}

fn contains(data: &[u8], text: &[u8]) -> bool {
    data.windows(text.len()).any(|window| window == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sector(text: &[u8], at: usize) -> [u8; LEN] {
        let mut sector = [0x90; LEN];
        sector[at..at + text.len()].copy_from_slice(text);
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        sector
    }

    #[test]
    fn code_is_known_by_its_texts() {
        let texts: [(&[u8], Code); 5] = [
            (b"Invalid partition table\0Error loading operating system", Code::WindowsMbr),
            (b"Missing operating system.\r\n", Code::ActivePartition),
            (b"Missing OS\r\n", Code::SyslinuxGpt),
            (b"LILO", Code::Lilo),
            (b"another", Code::Unknown),
        ];
        for (text, code) in texts {
            assert_eq!(of_disk(&sector(text, 300)), code);
        }
        let mut grub = sector(b"GRUB \0Geom\0Hard Disk\0Read\0", 384);
        grub[GRUB_KERNEL..GRUB_KERNEL + 8].copy_from_slice(&1_u64.to_le_bytes());
        assert_eq!((of_disk(&grub), kernel_sector(&grub)), (Code::Grub2, Some(1)));
        assert_eq!(of_disk(&[0; LEN]), Code::Empty);
        assert_eq!(of_volume(&sector(b"BOOTMGR is missing", 400)), Code::Bootmgr);
        assert_eq!(of_volume(&sector(b"N\0T\0L\0D\0R\0", 200)), Code::Ntldr);
        assert_eq!(of_volume(&[0; LEN]), Code::Empty);
        assert!(is_signed(&sector(b"", 0)) && !is_signed(&[0; LEN]) && !is_signed(&[]));
    }

    #[test]
    fn sectors_that_are_cut_off_are_no_code() {
        for len in 0..LEN {
            let part = vec![0x41; len];
            let (disk, volume) = (of_disk(&part), of_volume(&part));
            assert!(disk == Code::Unknown && volume == Code::Unknown, "{len}");
        }
    }
}
