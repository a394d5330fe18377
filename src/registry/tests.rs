use super::*;
use crate::bytes::MemorySource;

/// A hive under construction: cells one after the other in one bin.
struct Builder(Vec<u8>);

impl Builder {
    fn new() -> Self {
        let mut bytes = vec![0; 4096 + 32];
        bytes[4096..4100].copy_from_slice(b"hbin");
        Self(bytes)
    }

    /// Adds a cell and returns its offset.
    fn cell(&mut self, content: &[u8]) -> u32 {
        let at = self.0.len() - 4096;
        let size = (content.len() + 4).next_multiple_of(8);
        self.0.extend((-i32::try_from(size).unwrap()).to_le_bytes());
        self.0.extend(content);
        self.0.resize(at + 4096 + size, 0);
        u32::try_from(at).unwrap()
    }

    fn key(&mut self, name: &str, subkeys: (u32, u32), values: (u32, u32)) -> u32 {
        let mut cell = vec![0; 76];
        cell[..2].copy_from_slice(b"nk");
        cell[2] = 0x20;
        for (at, number) in [(20, subkeys.0), (28, subkeys.1), (36, values.0), (40, values.1)] {
            cell[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        cell[72] = u8::try_from(name.len()).unwrap();
        cell.extend(name.as_bytes());
        self.cell(&cell)
    }

    fn value(&mut self, name: &[u16], size: u32, offset: u32) -> u32 {
        let mut cell = b"vk".to_vec();
        cell.extend(u16::try_from(2 * name.len()).unwrap().to_le_bytes());
        [size, offset, 3, 0].iter().for_each(|number| cell.extend(number.to_le_bytes()));
        name.iter().for_each(|unit| cell.extend(unit.to_le_bytes()));
        self.cell(&cell)
    }

    fn list(&mut self, kind: &[u8; 2], offsets: &[u32]) -> u32 {
        let mut cell = kind.to_vec();
        cell.extend(u16::try_from(offsets.len()).unwrap().to_le_bytes());
        for offset in offsets {
            cell.extend(offset.to_le_bytes());
            cell.extend(if kind[0] == b'l' && kind[1] != b'i' { &[0; 4][..] } else { &[] });
        }
        self.cell(&cell)
    }

    fn offsets(&mut self, offsets: &[u32]) -> u32 {
        self.cell(&offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect::<Vec<_>>())
    }

    fn finish(mut self, root: u32) -> Vec<u8> {
        let bins = u32::try_from(self.0.len() - 4096).unwrap();
        self.0[..4].copy_from_slice(b"regf");
        for (at, number) in [(4, 7), (8, 7), (20, 1), (24, 5), (32, 1), (36, root), (40, bins)] {
            self.0[at..at + 4].copy_from_slice(&u32::to_le_bytes(number));
        }
        let sum = format::checksum(&self.0[..508]);
        self.0[508..512].copy_from_slice(&sum.to_le_bytes());
        self.0
    }
}

/// A hive with keys in every kind of list and values in every kind of storage.
fn hive() -> Vec<u8> {
    let mut hive = Builder::new();
    let small = hive.cell(b"outside");
    let segments: Vec<u32> = [16_344, 16_344, 1000]
        .into_iter()
        .enumerate()
        .map(|(i, len)| hive.cell(&vec![u8::try_from(i + 1).unwrap(); len]))
        .collect();
    let offsets = hive.offsets(&segments);
    let big = hive.cell(&[b"db\x03\0", &offsets.to_le_bytes()[..]].concat());
    let name: Vec<u16> = "ü\0".encode_utf16().collect();
    let values = [
        hive.value(&[], 0x8000_0003, u32::from_le_bytes(*b"abcd")),
        hive.value(&name, 7, small),
        hive.value(&name[..1], 33_688, big),
    ];
    let values = hive.offsets(&values);
    let keys = ["Lf", "Lh", "Li", "Lj"].map(|name| hive.key(name, (0, 0), (0, 0)));
    let with_values = hive.key("Values", (0, format::NONE), (3, values));
    let lists = [
        hive.list(b"lf", &keys[..1]),
        hive.list(b"lh", &[keys[1], with_values]),
        hive.list(b"li", &keys[2..]),
    ];
    let list = hive.list(b"ri", &lists);
    let root = hive.key("ROOT", (5, list), (0, format::NONE));
    hive.finish(root)
}

fn open(bytes: Vec<u8>) -> Result<Hive> {
    Hive::open(Arc::new(MemorySource(bytes)))
}

fn values(hive: &Hive) -> Result<Vec<Result<Value>>> {
    let key = hive.subkey(&hive.root()?, "vALUES")?.ok_or_else(|| Error::not_found("Values"))?;
    let mut values = Vec::new();
    hive.each_value(&key, 10, &mut |value| values.push(value))?;
    Ok(values)
}

#[test]
fn keys_are_found_through_every_kind_of_list() {
    let hive = open(hive()).unwrap();
    assert!(!hive.is_dirty());
    let root = hive.root().unwrap();
    let mut names = Vec::new();
    hive.each_subkey(&root, &mut |key| names.push(String::from_utf16(&key.unwrap().name).unwrap())).unwrap();
    assert_eq!(names, ["Lf", "Lh", "Values", "Li", "Lj"]);
    assert!(hive.subkey(&root, "lJ").unwrap().is_some());
    assert!(hive.subkey(&root, "missing").unwrap().is_none());
}

#[test]
fn data_is_read_from_every_place() {
    let values: Vec<Value> =
        values(&open(hive()).unwrap()).unwrap().into_iter().map(|value| value.unwrap()).collect();
    assert_eq!((&values[0].name[..], &values[0].data[..]), (&[][..], &b"abc"[..]));
    assert_eq!((&values[1].name[..], &values[1].data[..]), (&[0xfc, 0][..], &b"outside"[..]));
    assert_eq!(values[1].data_type, 3);
    let expected = [vec![1; 16_344], vec![2; 16_344], vec![3; 1000]].concat();
    assert_eq!(values[2].data, expected);
}

#[test]
fn unfinished_writes_are_reported() {
    let mut bytes = hive();
    bytes[8] ^= 1;
    assert!(open(bytes.clone()).unwrap().is_dirty());
    // The checksum matches the changed block again; the sequence numbers still differ.
    let sum = format::checksum(&bytes[..508]);
    bytes[508..512].copy_from_slice(&sum.to_le_bytes());
    assert!(open(bytes).unwrap().is_dirty());
}

#[test]
fn a_list_that_contains_itself_ends() {
    let mut hive = Builder::new();
    let next = u32::try_from(hive.0.len() - 4096).unwrap();
    let list = hive.list(b"ri", &[next, next]);
    assert_eq!(list, next);
    let root = hive.key("ROOT", (2, list), (1, list));
    let hive = open(hive.finish(root)).unwrap();
    assert!(hive.subkey(&hive.root().unwrap(), "x").is_err());
    assert!(values(&hive).is_err());
}

#[test]
fn damage_anywhere_is_an_error_or_another_answer_but_no_panic() {
    let good = hive();
    let interesting: Vec<usize> =
        (0..48).chain(508..512).chain(4096..4200).chain(good.len() - 900..good.len()).collect();
    for at in interesting {
        for flip in [1, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            let _ = open(bad).and_then(|hive| values(&hive));
        }
    }
    for len in (0..good.len()).rev().step_by(97) {
        let _ = open(good[..len].to_vec()).and_then(|hive| values(&hive));
    }
    assert!(open(good[..4095].to_vec()).is_err());
    assert!(open(vec![0; 8192]).is_err());
}

#[test]
fn a_large_key_that_is_named_again_and_again_is_not_read_as_often() {
    let mut hive = Builder::new();
    let mut key = vec![0; (1 << 20) - 8];
    key[..3].copy_from_slice(b"nk\x20");
    let key = hive.cell(&key);
    let list = hive.list(b"lf", &[key; 60_000]);
    let root = hive.key("ROOT", (60_000, list), (0, 0));
    let hive = open(hive.finish(root)).unwrap();
    let error = hive.subkey(&hive.root().unwrap(), "absent").unwrap_err();
    assert!(error.to_string().contains("again and again"), "{error}");
    assert!(hive.root().is_err());
}
