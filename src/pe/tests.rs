use super::*;
use crate::testing::boot::executable;

fn sample() -> Vec<u8> {
    executable(0xaa64, 10, b"code", &[(".sbat", b"sbat,1\nshim,1\n")])
}

#[test]
fn headers_are_read() {
    let file = sample();
    let parsed = Executable::parse(&file).unwrap();
    assert_eq!((parsed.machine, parsed.subsystem), (Machine::ARM64, Subsystem::EFI_APPLICATION));
    assert!(parsed.section(&file, ".sbat").unwrap().starts_with(b"sbat,1\nshim,1\n"));
    assert!(parsed.signatures(&file).is_empty());
    let covered: usize = parsed.covered(&file).iter().map(|part| part.len()).sum();
    assert_eq!(covered, file.len() - 12);
}

#[test]
fn a_file_that_is_cut_off_or_changed_is_an_error_or_another_program() {
    let file = sample();
    for len in 0..0x400 {
        if let Ok(parsed) = Executable::parse(&file[..len]) {
            parsed.signatures(&file[..len]);
        }
    }
    for at in 0..0x400 {
        for byte in [0, 0x7f, 0x80, 0xff] {
            let mut changed = file.clone();
            changed[at] = byte;
            if let Ok(parsed) = Executable::parse(&changed) {
                parsed.signatures(&changed);
                parsed.covered(&changed);
            }
        }
    }
}

#[test]
fn a_table_that_is_no_message_is_reported() {
    let mut file = sample();
    let start = file.len();
    let entry = 0x40 + 24 + 112 + 32;
    file[entry..entry + 4].copy_from_slice(&u32::try_from(start).unwrap().to_le_bytes());
    file[entry + 4..entry + 8].copy_from_slice(&24_u32.to_le_bytes());
    file.extend([16, 0, 0, 0, 0, 2, 2, 0, 0x30, 0x80, 1, 2, 3, 4, 5, 6]);
    file.extend([0xff; 8]);
    let found = Executable::parse(&file).unwrap().signatures(&file);
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|found| !found.problem.is_empty() && found.signers.is_empty()), "{found:?}");
}
