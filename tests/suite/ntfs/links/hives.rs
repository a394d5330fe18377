//! Registry hives, made with hivexsh.

use super::*;

/// A hive without keys and values, for hivex to fill: a root key and its security descriptor.
pub(in crate::ntfs) fn empty_hive() -> Vec<u8> {
    let word =
        |bytes: &mut [u8], at: usize, value: u32| bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    let mut hive = vec![0; 8192];
    hive[..4].copy_from_slice(b"regf");
    for (at, value) in [(4, 1), (8, 1), (20, 1), (24, 5), (32, 1), (36, 32), (40, 4096), (44, 1)] {
        word(&mut hive, at, value);
    }
    hive[4096..4100].copy_from_slice(b"hbin");
    word(&mut hive, 4096 + 8, 4096);
    let (key, security, free) = (4096 + 32, 4096 + 32 + 88, 4096 + 32 + 88 + 48);
    word(&mut hive, key, (-88_i32).cast_unsigned());
    hive[key + 4..key + 8].copy_from_slice(b"nk\x2c\0");
    for at in [20, 32, 36, 44, 52] {
        word(&mut hive, key + at, u32::MAX);
    }
    word(&mut hive, key + 48, u32::try_from(security - 4096).unwrap());
    // No subkeys and no values: their numbers, not their places.
    for at in [24, 28, 40] {
        word(&mut hive, key + at, 0);
    }
    hive[key + 76] = 4;
    hive[key + 80..key + 84].copy_from_slice(b"ROOT");
    word(&mut hive, security, (-48_i32).cast_unsigned());
    hive[security + 4..security + 6].copy_from_slice(b"sk");
    for at in [8, 12] {
        word(&mut hive, security + at, u32::try_from(security - 4096).unwrap());
    }
    word(&mut hive, security + 16, 1);
    word(&mut hive, security + 20, 20);
    hive[security + 24..security + 28].copy_from_slice(&[1, 0, 4, 0x80]);
    word(&mut hive, free, u32::try_from(8192 - free).unwrap());
    seal(&mut hive);
    hive
}

/// Sets the checksum of the base block.
pub(in crate::ntfs) fn seal(hive: &mut [u8]) {
    let words = hive[..508].as_chunks::<4>().0.iter();
    let sum = words.fold(0, |sum, word| sum ^ u32::from_le_bytes(*word));
    hive[508..512].copy_from_slice(&sum.to_le_bytes());
}

pub(in crate::ntfs) fn hivexsh(hive: &Path, script: &str) {
    let mut child = tool("hivexsh").arg("-w").arg(hive).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "hivexsh {script}");
}

/// The hive of a Windows that knows the volumes by these devices.
pub(in crate::ntfs) fn system_hive(folder: &Path, devices: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let path = folder.join("SYSTEM");
    fs::write(&path, empty_hive()).unwrap();
    let hex = |data: &[u8]| data.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(",");
    let values: Vec<_> =
        devices.iter().map(|(name, data)| format!("{name}\nhex:3:{}\n", hex(data))).collect();
    let others: String =
        ["ControlSet001", "Select", "Setup", "WPA"].map(|key| format!("add {key}\n")).concat();
    let script = format!(
        "{others}add MountedDevices\ncd MountedDevices\nsetval {}\n{}commit\n",
        devices.len(),
        values.concat()
    );
    hivexsh(&path, &script);
    fs::read(path).unwrap()
}

pub(in crate::ntfs) fn gpt_device(partition: usize) -> Vec<u8> {
    [b"DMIO:ID:", &Guid::parse(PARTITIONS[partition]).unwrap().0[..]].concat()
}

pub(in crate::ntfs) fn mbr_device(partition: usize) -> Vec<u8> {
    [&SIGNATURE.to_le_bytes()[..], &STARTS[partition].to_le_bytes()].concat()
}

/// What the installation on the first volume knows.
pub(in crate::ntfs) fn database(device: fn(usize) -> Vec<u8>) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        (r"\DosDevices\C:", device(0)),
        (r"\DosDevices\D:", device(2)),
        (r"\DosDevices\E:", [b"DMIO:ID:", &[7; 16][..]].concat()),
        (r"\DosDevices\F:", r"\??\IDE#CdRom".encode_utf16().flat_map(u16::to_le_bytes).collect()),
        (r"\??\Volume{deadbeef-0000-4000-8000-00000000000a}", device(1)),
    ]
}
