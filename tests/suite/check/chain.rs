//! Chains: each file is examined, and whether they belong together.

use std::{collections::BTreeMap, fs, path::Path};

use vhdmount::image::check::{CheckOptions, Examination, Verdict, check};

use super::{examine_file, expect, lines, options};
use crate::support::{
    scratch,
    vhd_writer::{VhdWriter, noise},
    vhdx_writer::{Block, MIB, Recipe, pattern},
};

const SIZE: u64 = 16 * MIB;

fn base() -> Recipe {
    Recipe { data_write_guid: [1; 16], ..Recipe::dynamic(SIZE, 2 * MIB) }
        .block(0, Block::Full(pattern(2 * MIB, 1)))
}

/// `base.vhdx` ← `middle.avhdx` ← `top.avhdx`
fn three(folder: &Path) -> std::path::PathBuf {
    let sectors = |seed| BTreeMap::from([(1, pattern(512, seed))]);
    let middle = Recipe::differencing(SIZE, 2 * MIB, [1; 16], "base.vhdx");
    let middle = Recipe { data_write_guid: [2; 16], ..middle }.block(1, Block::Partial(sectors(2)));
    let top = Recipe::differencing(SIZE, 2 * MIB, [2; 16], "middle.avhdx");
    let top = Recipe { data_write_guid: [3; 16], ..top }.block(2, Block::Partial(sectors(3)));
    base().build().save(&folder.join("base.vhdx"));
    middle.build().save(&folder.join("middle.avhdx"));
    top.build().save(&folder.join("top.avhdx"));
    folder.join("top.avhdx")
}

fn areas(examination: &Examination) -> Vec<&str> {
    examination.areas.iter().map(|area| area.area.as_str()).collect()
}

#[test]
fn every_file_of_a_whole_chain_is_examined() {
    let folder = scratch();
    let top = three(folder.path());
    let examination = examine_file(&top);
    assert_eq!(areas(&examination), ["container", "parent 1", "parent 2", "partition table", "p1"]);
    for area in ["container", "parent 1", "parent 2", "partition table"] {
        expect(&examination, area, &[]);
    }
    assert_eq!(
        examination.areas[1].what,
        format!("differencing VHDX, {}", folder.path().join("middle.avhdx").display())
    );
    let alone = check(&top, &CheckOptions { parents: false, ..options() }, &mut |_| {}).unwrap();
    assert_eq!((areas(&alone), alone.verdict), (vec!["container"], Verdict::Clean));
}

#[test]
fn damage_in_a_parent_is_the_parents() {
    let folder = scratch();
    let top = three(folder.path());
    let base = base();
    let end = base.build().size;
    let beyond = Block::Entry((end + MIB) | 6);
    base.block(5, beyond).build().save(&folder.path().join("base.vhdx"));
    let examination = examine_file(&top);
    expect(&examination, "container", &[]);
    expect(&examination, "parent 2", &[("Error VHDX BAT entry of block 5", "beyond the end")]);
}

#[test]
fn parent_that_is_missing_or_another_is_an_error() {
    let folder = scratch();
    let top = three(folder.path());
    let path = folder.path().join("base.vhdx");
    Recipe { data_write_guid: [9; 16], ..base() }.build().save(&path);
    let examination = examine_file(&top);
    assert_eq!(areas(&examination), ["container", "parent 1"]);
    expect(&examination, "parent 1", &[("Error parent", "has another identity: VHDX 09090909-")]);
    expect(&examination, "container", &[("Note container", "cannot be opened")]);
    let mut forced = options();
    forced.open.container.force_parent = true;
    forced.open.container.parents = vec![path.clone()];
    let examination = check(&top, &forced, &mut |_| {}).unwrap();
    expect(&examination, "parent 1", &[("Error parent", "used all the same")]);
    assert_eq!(areas(&examination).len(), 5);

    // Where it should be lies a file that cannot be opened: that one is examined, too.
    let mut broken = base().build();
    broken.write(192 << 10, &[0; 4]);
    broken.write(256 << 10, &[0; 4]);
    broken.save(&path);
    let examination = examine_file(&top);
    assert_eq!(areas(&examination), ["container", "parent 1", "parent 2"]);
    assert_eq!(examination.areas[2].counts.errors, 2, "{}", vhdmount::json::to_text(&examination));

    fs::remove_file(&path).unwrap();
    let examination = examine_file(&top);
    expect(&examination, "parent 1", &[("Error parent", "base.vhdx: not found")]);
}

#[test]
fn parent_of_another_size_is_noted() {
    let folder = scratch();
    let top = three(folder.path());
    Recipe { virtual_size: SIZE - 2 * MIB, ..base() }.build().save(&folder.path().join("base.vhdx"));
    expect(&examine_file(&top), "parent 1", &[("Note parent", "reads as zeros")]);
}

#[test]
fn vhd_child_names_its_parent_by_identity_and_time() {
    let folder = scratch();
    let mut base = VhdWriter::new(3, 1 << 20, 64 << 10);
    base.write(0, &noise(1, 64 << 10));
    let mut child = VhdWriter::child_of(&base, "base.vhd", [2; 16]);
    child.write(300, &noise(2, 4096));
    let path = folder.path().join("child.vhd");
    fs::write(folder.path().join("base.vhd"), base.build()).unwrap();
    fs::write(&path, child.build()).unwrap();
    let examination = examine_file(&path);
    expect(&examination, "container", &[]);
    expect(&examination, "parent 1", &[]);

    // A time stamp, in seconds since 2000, that cannot be the file's.
    let mut bytes = child.build();
    bytes[512 + 56..][..4].copy_from_slice(&12_345_u32.to_be_bytes());
    crate::support::vhd_writer::seal(&mut bytes[512..1536], 36);
    fs::write(&path, bytes).unwrap();
    expect(&examine_file(&path), "container", &[("Note parent", "modified at another time")]);

    base.unique_id = [7; 16];
    fs::write(folder.path().join("base.vhd"), base.build()).unwrap();
    let found = lines(&examine_file(&path), "container");
    assert!(found[0].starts_with("Error parent") && found[0].contains("VHD 07070707"), "{found:?}");
}
