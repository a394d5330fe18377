//! Registration files, data as text, and walks.

use super::*;
use crate::testing::hive::utf16;

fn value(name: &str, data_type: u32, data: &[u8]) -> Value {
    Value { name: name.encode_utf16().collect(), data_type, data: data.into() }
}

/// The line of a value.
fn line(value: &Value) -> String {
    let mut file = RegFile::default();
    file.take();
    file.value(value).unwrap();
    let bytes = file.take();
    let units: Vec<u16> = bytes.as_chunks().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
    String::from_utf16(&units).unwrap()
}

#[test]
fn lines_of_values_are_those_of_regedit() {
    let bytes: Vec<u8> = (0..64).collect();
    for (value, expected) in [
        (value("", 1, &utf16("x\0")), "@=\"x\"\r\n"),
        (value("e\\s\"c", 1, &utf16("a \\ b \"q\"\0")), "\"e\\\\s\\\"c\"=\"a \\\\ b \\\"q\\\"\"\r\n"),
        (value("n", 1, &[]), "\"n\"=\"\"\r\n"),
        (value("n", 1, &utf16("ab")), "\"n\"=\"ab\"\r\n"),
        (value("n", 2, &utf16("%a%\0")), "\"n\"=hex(2):25,00,61,00,25,00,00,00\r\n"),
        (value("n", 4, &[1, 2, 3, 4]), "\"n\"=dword:04030201\r\n"),
        (value("n", 4, &[]), "\"n\"=hex(4):\r\n"),
        (value("n", 5, &[0, 0, 0, 1]), "\"n\"=hex(5):00,00,00,01\r\n"),
        (value("n", 11, &[1; 8]), "\"n\"=hex(b):01,01,01,01,01,01,01,01\r\n"),
        (value("n", 0xffff_0012, &[9]), "\"n\"=hex(ffff0012):09\r\n"),
        // What quotes would lose, or what would begin a line of its own.
        (value("n", 1, &utf16("a\0b\0")), "\"n\"=hex(1):61,00,00,00,62,00,00,00\r\n"),
        (value("n", 1, &[0x61, 0, 0x62]), "\"n\"=hex(1):61,00,62\r\n"),
        (value("n", 1, &utf16("\n[")), "\"n\"=hex(1):0a,00,5b,00\r\n"),
        (
            value("bin", 3, &bytes),
            "\"bin\"=hex:00,01,02,03,04,05,06,07,08,09,0a,0b,0c,0d,0e,0f,10,11,12,13,14,15,16,\\\r\n  \
             17,18,19,1a,1b,1c,1d,1e,1f,20,21,22,23,24,25,26,27,28,29,2a,2b,2c,2d,2e,2f,\\\r\n  \
             30,31,32,33,34,35,36,37,38,39,3a,3b,3c,3d,3e,3f\r\n",
        ),
        (
            value("1234567", 3, &bytes[..22]),
            "\"1234567\"=hex:00,01,02,03,04,05,06,07,08,09,0a,0b,0c,0d,0e,0f,10,11,12,13,14,\\\r\n  15\r\n",
        ),
    ] {
        assert_eq!(line(&value), expected);
    }
}

#[test]
fn names_cannot_begin_lines_of_their_own() {
    let mut file = RegFile::default();
    file.take();
    for name in ["a\r\n[-HKEY_LOCAL_MACHINE\\SOFTWARE]", "a\nb", "a\0b"] {
        let units: Vec<u16> = name.encode_utf16().collect();
        assert_eq!(file.key(&units), Err(Unrepresentable));
        assert_eq!(file.value(&value(name, 4, &[0; 4])), Err(Unrepresentable));
    }
    assert_eq!(file.take(), [0_u8; 0]);
}

#[test]
fn data_is_shown_as_reg_query_shows_it() {
    for (value, expected) in [
        (value("", 1, &utf16("text\0rest")), "text"),
        (value("", 6, &utf16(r"\Registry\Machine")), r"\Registry\Machine"),
        (value("", 7, &utf16("a\0b\0\0")), r"a\0b"),
        (value("", 7, &utf16("a\0\0b\0\0")), r"a\0\0b"),
        (value("", 7, &utf16("a\0b\0")), r"a\0b"),
        (value("", 7, &[0, 0]), ""),
        (value("", 4, &[1, 0, 0, 0x80]), "0x80000001"),
        (value("", 5, &[0, 0, 0, 1]), "0x1000000"),
        (value("", 11, &[0xff; 8]), "0xffffffffffffffff"),
        (value("", 3, &[0xab, 0]), "AB00"),
        (value("", 8, &[0xab, 0]), "AB00"),
        (value("", 4, &[1, 2]), "0102"),
    ] {
        assert_eq!(value.to_text(r"\0"), expected);
    }
    assert_eq!(value("", 5, &[0, 0, 0, 1]).number(), Some(1));
    for number in [0, 1, 11, 12, 0xffff_0012] {
        assert_eq!(types::type_of_name(&types::type_name(number).to_lowercase()), Some(number));
    }
}

#[test]
fn walks_end_where_keys_contain_themselves() {
    let mut hive = Builder::new(5);
    let root = hive.key("ROOT", &KeyFields::default());
    let below = hive.key("below", &KeyFields::default());
    // Two ways from each to the other, so that paths double with each level.
    let list = hive.list(*b"lh", &[below, below]);
    let back = hive.list(*b"lh", &[root, root, below]);
    for (key, count, list) in [(root, 2, list), (below, 3, back)] {
        hive.set(key, 20, count);
        hive.set(key, 28, list);
    }
    let hive = open(hive.finish(root)).unwrap();
    let (mut keys, mut errors) = (0, 0);
    let root = hive.root().unwrap();
    let flow = hive.walk(&root, &mut |_, key| {
        match key {
            Ok(_) => keys += 1,
            Err(_) => errors += 1,
        }
        ControlFlow::Continue(())
    });
    assert!(flow.is_continue());
    assert!((256..4096).contains(&keys) && errors > 0, "{keys} {errors}");
}
