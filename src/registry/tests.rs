//! Keys, values and damage; logs have tests of their own.

mod logs;
mod reg_file;

use super::*;
use crate::{
    Error, Result,
    bytes::MemorySource,
    testing::hive::{Builder, KeyFields, NONE, Tree, seal},
};
use std::{ops::ControlFlow, sync::Arc};

/// A hive with keys in every kind of list and values in every kind of storage.
fn hive(minor: u32) -> Vec<u8> {
    let mut hive = Builder::new(minor);
    let small = hive.cell(b"outside");
    let data = [vec![1; 16_344], vec![2; 16_344], vec![3; 1000]].concat();
    let big = if minor < 4 { hive.cell(&data) } else { hive.segments(&data) };
    let name: Vec<u16> = "ü\0ж".encode_utf16().collect();
    let values = [
        hive.value(&[], 3, 0x8000_0003, u32::from_le_bytes(*b"abcd")),
        hive.value(&name, 3, 7, small),
        hive.value(&name[..1], 3, 33_688, big),
    ];
    let values = hive.offsets(&values);
    let keys = ["Lf", "Lh", "Li", "Ключ"].map(|name| hive.key(name, &KeyFields::default()));
    let class = hive.cell(b"c\0l\0");
    let security = hive.security(b"descriptor");
    let with_values =
        KeyFields { values: (3, values), class: (class, 4), security, flags: 0x10, ..KeyFields::default() };
    let with_values = hive.key("Values", &with_values);
    let lists = [
        hive.list(*b"lf", &keys[..1]),
        hive.list(*b"lh", &[keys[1], with_values]),
        hive.list(*b"li", &keys[2..]),
    ];
    let list = hive.list(*b"ri", &lists);
    let root = hive.key("ROOT", &KeyFields { subkeys: (5, list), ..KeyFields::default() });
    hive.finish(root)
}

fn open(bytes: Vec<u8>) -> Result<Hive> {
    Hive::open(Arc::new(MemorySource(bytes)))
}

fn names(hive: &Hive, key: &Key) -> Vec<String> {
    let mut names = Vec::new();
    hive.each_subkey(key, &mut |key| names.push(String::from_utf16(&key.unwrap().name).unwrap())).unwrap();
    names
}

fn values(hive: &Hive) -> Result<Vec<Result<Value>>> {
    let key = hive.subkey(&hive.root()?, "vALUES")?.ok_or_else(|| Error::not_found("Values"))?;
    let mut values = Vec::new();
    hive.each_value(&key, 10, &mut |value| values.push(value))?;
    let _ = (hive.class(&key)?, hive.security(&key)?);
    Ok(values)
}

#[test]
fn keys_are_found_through_every_kind_of_list_in_every_version() {
    for minor in 1..=6 {
        let hive = open(hive(minor)).unwrap();
        assert_eq!(*hive.replay(), Replay::NotNeeded);
        let root = hive.root().unwrap();
        assert_eq!(names(&hive, &root), ["Lf", "Lh", "Values", "Li", "Ключ"], "1.{minor}");
        assert!(hive.subkey(&root, "кЛЮч").unwrap().is_some());
        assert!(hive.subkey(&root, "missing").unwrap().is_none());
    }
    for minor in [0, 7] {
        assert!(matches!(open(hive(minor)), Err(Error::Unsupported(_))));
    }
}

#[test]
fn data_is_read_from_every_place_in_every_version() {
    for minor in 1..=6 {
        let hive = open(hive(minor)).unwrap();
        let values: Vec<Value> = values(&hive).unwrap().into_iter().map(|value| value.unwrap()).collect();
        assert_eq!((&values[0].name[..], &values[0].data[..]), (&[][..], &b"abc"[..]));
        assert_eq!((&values[1].name[..], &values[1].data[..]), (&[0xfc, 0, 0x436][..], &b"outside"[..]));
        assert_eq!(values[1].data_type, 3);
        let expected = [vec![1; 16_344], vec![2; 16_344], vec![3; 1000]].concat();
        assert_eq!(values[2].data, expected, "1.{minor}");
    }
}

#[test]
fn a_key_has_its_class_its_security_and_its_time() {
    let hive = open(hive(5)).unwrap();
    let root = hive.root().unwrap();
    let key = hive.subkey(&root, "Values").unwrap().unwrap();
    assert_eq!(hive.class(&key).unwrap().unwrap(), [0x63, 0x6c]);
    assert_eq!(hive.security(&key).unwrap().unwrap(), b"descriptor");
    assert_eq!(key.last_written, crate::testing::hive::TIME);
    assert!(key.is_link() && !root.is_link());
    assert_eq!((hive.class(&root).unwrap(), hive.security(&root).unwrap()), (None, None));
}

#[test]
fn the_bins_say_how_large_a_hive_with_a_damaged_base_block_is() {
    let mut bytes = hive(5);
    bytes[40..44].copy_from_slice(&4096_u32.to_le_bytes());
    let hive = open(bytes.clone()).unwrap();
    assert!(matches!(hive.replay(), Replay::Impossible { .. }));
    assert_eq!(values(&hive).unwrap().len(), 3);
    // A base block that is intact is right.
    seal(&mut bytes);
    assert!(open(bytes).unwrap().root().is_err());
}

#[test]
fn deleted_keys_and_values_are_found_in_free_cells() {
    let mut hive = Builder::new(5);
    let (data, other) = (hive.cell(b"still here"), hive.cell(b"in another value"));
    let value = hive.value(&[0x76], 1, 10, data);
    let loose = hive.value(&[0x77], 3, 16, other);
    let list = hive.offsets(&[value]);
    let root = hive.next();
    assert_eq!(hive.key("ROOT", &KeyFields::default()), root);
    let above = hive.key("Above", &KeyFields { parent: root, ..KeyFields::default() });
    let gone = hive.key("Gone", &KeyFields { parent: above, values: (1, list), ..KeyFields::default() });
    let lost = hive.key("Lost", &KeyFields { parent: 0x10_0000, ..KeyFields::default() });
    [data, value, loose, list, above, gone, lost].into_iter().for_each(|at| hive.free(at));
    let hive = open(hive.finish(root)).unwrap();
    let mut found = Vec::new();
    hive.each_deleted(&mut |deleted| {
        let text = |name: &[u16]| String::from_utf16(name).unwrap();
        found.push(match deleted {
            Deleted::Key { key, path, values } => {
                let path = path.map(|path| path.iter().map(|name| text(name)).collect::<Vec<_>>().join("/"));
                let data: Vec<u8> = values.into_iter().flat_map(|value| value.unwrap().data).collect();
                format!("{} {path:?} {}", text(&key.name), String::from_utf8(data).unwrap())
            }
            Deleted::Value(value) => {
                format!("{}={}", text(&value.name), String::from_utf8(value.data).unwrap())
            }
        });
        ControlFlow::Continue(())
    })
    .unwrap();
    let expected =
        ["Above Some(\"\") ", "Gone Some(\"Above\") still here", "Lost None ", "w=in another value"];
    assert_eq!(found, expected);
}

#[test]
fn keys_that_are_their_own_parents_end() {
    let mut hive = Builder::new(5);
    let root = hive.key("ROOT", &KeyFields::default());
    let own = hive.next();
    hive.key("Own", &KeyFields { parent: own, ..KeyFields::default() });
    hive.free(own);
    let hive = open(hive.finish(root)).unwrap();
    let mut paths = Vec::new();
    hive.each_deleted(&mut |deleted| {
        if let Deleted::Key { path, .. } = deleted {
            paths.push(path);
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(paths, [None]);
}

#[test]
fn a_list_that_contains_itself_ends() {
    let mut hive = Builder::new(5);
    let next = hive.next();
    let list = hive.list(*b"ri", &[next, next]);
    assert_eq!(list, next);
    let root = hive.key("ROOT", &KeyFields { subkeys: (2, list), values: (1, list), ..KeyFields::default() });
    let hive = open(hive.finish(root)).unwrap();
    assert!(hive.subkey(&hive.root().unwrap(), "x").is_err());
    assert!(values(&hive).is_err());
}

#[test]
fn damage_anywhere_is_an_error_or_another_answer_but_no_panic() {
    let good = hive(5);
    let interesting: Vec<usize> =
        (0..48).chain(508..512).chain(4096..4200).chain(good.len() - 4096..good.len()).collect();
    for at in interesting {
        for flip in [1, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            let _ = open(bad).and_then(|hive| {
                hive.each_deleted(&mut |_| ControlFlow::Continue(()))?;
                values(&hive)
            });
        }
    }
    for len in (0..good.len()).rev().step_by(97) {
        let _ = open(good[..len].to_vec()).and_then(|hive| values(&hive));
    }
    assert!(open(good[..500].to_vec()).is_err());
    assert!(open(vec![0; 8192]).is_err());
}

#[test]
fn a_large_key_that_is_named_again_and_again_is_not_read_as_often() {
    let mut hive = Builder::new(5);
    let mut key = vec![0; (1 << 20) - 8];
    key[..3].copy_from_slice(b"nk\x20");
    let key = hive.cell(&key);
    let list = hive.list(*b"lf", &[key; 60_000]);
    let root = hive.key("ROOT", &KeyFields { subkeys: (60_000, list), ..KeyFields::default() });
    let hive = open(hive.finish(root)).unwrap();
    let error = hive.subkey(&hive.root().unwrap(), "absent").unwrap_err();
    assert!(error.to_string().contains("again and again"), "{error}");
    let (_, bytes) = hive.cells.work();
    assert!(bytes <= (32 << 20) + (4 << 21), "{bytes}");
}

#[test]
fn a_small_key_that_is_named_again_and_again_is_not_read_as_often() {
    let mut hive = Builder::new(5);
    let key = hive.key("K", &KeyFields::default());
    let list = hive.list(*b"lf", &[key; 60_000]);
    let root =
        hive.key("ROOT", &KeyFields { subkeys: (60_000, list), values: (0, NONE), ..KeyFields::default() });
    let hive = open(hive.finish(root)).unwrap();
    let root = hive.root().unwrap();
    let failed = (0..100).any(|_| hive.subkey(&root, "absent").is_err());
    assert!(failed);
    assert!(hive.cells.work().0 <= (1 << 19) + (1 << 20), "{:?}", hive.cells.work());
}

#[test]
fn a_tree_of_keys_reads_as_it_was_made() {
    let tree = Tree::new("ROOT").key(Tree::new("A").text("t", "x").dword("d", 5)).key(Tree::new("B"));
    let hive = open(tree.hive()).unwrap();
    let root = hive.root().unwrap();
    assert_eq!(names(&hive, &root), ["A", "B"]);
    let a = hive.subkey(&root, "a").unwrap().unwrap();
    assert_eq!(hive.value_named(&a, "D").unwrap().unwrap().data, [5, 0, 0, 0]);
    assert!(hive.value_named(&a, "x").unwrap().is_none());
}
