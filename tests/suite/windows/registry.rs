//! `vhdmount reg` against Wine's reg.exe and regedit: what they print and write of the same keys, and what they make of our files.

use std::{fs, path::Path};

use vhdmount::testing::hive::{Tree, utf16};

use super::*;

const KEY: &str = r"HKLM\SOFTWARE\VhdmountTest";

/// A key with values of every type, in the order of their names, as Wine sorts them.
fn tree() -> Tree {
    let bytes: Vec<u8> = (0..=255).collect();
    Tree::new("ROOT")
        .text("", "default")
        .value("binary", 3, &bytes)
        .value("binary of none", 3, &[])
        .dword("dword", 0x8000_0001)
        .value("dword, big-endian", 5, &[0, 0, 0, 1])
        .value("expand", 2, &utf16("%SystemRoot%\\x\0"))
        .value("multi", 7, &utf16("one\0two, \"three\"\0\0"))
        .value("multi of none", 7, &utf16("\0"))
        .text(
            "name \\ with \"quotes\" that is long enough to fill a line by itself, and some more of it",
            "x",
        )
        .value("none", 0, &[1, 2, 3])
        .text("text", "back\\slash, \"quotes\"")
        .value("text, not ended", 1, &utf16("abc"))
        .key(Tree::new("Empty"))
        .key(Tree::new("Sub").text("x", "y").key(Tree::new("Deep [1]").dword("", 7)))
}

/// The same, and what Wine 8 does not print: types without a name, numbers of 64 bits, letters outside of its code page.
fn whole_tree() -> Tree {
    tree()
        .value("v1 link", 6, &utf16("\\Registry\\Machine"))
        .value("v2 resources", 8, &[1; 30])
        .value("v3 descriptor", 9, &[2; 3])
        .value("v4 requirements", 10, &[3; 300])
        .value("v5 qword", 11, &[1, 2, 3, 4, 5, 6, 7, 8])
        .value("v6 short qword", 11, &[1, 2])
        .value("v7 type", 0xffff_0012, &[4; 5])
        .text("v8 ümlaut, Ж", "漢字, 🎉")
}

fn hive(folder: &Path, tree: &Tree) -> PathBuf {
    let path = folder.join("hive");
    fs::write(&path, tree.hive()).unwrap();
    path
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n")
}

#[test]
fn registration_files_and_listings_are_those_of_wine() {
    let Some(wine) = wine() else { return };
    let folder = scratch();
    let (ours, theirs) = (folder.path().join("ours.reg"), folder.path().join("theirs.reg"));
    let here = |arguments: &[&str], hive: &Path| {
        let mut command = vhdmount();
        command.arg("reg").arg(arguments[0]).arg("--prefix").arg(KEY).arg(hive).args(&arguments[1..]);
        run(&mut command)
    };
    for (tree, prints) in [(tree(), true), (whole_tree(), false)] {
        let hive = hive(folder.path(), &tree);
        here(&["export", "", ours.to_str().unwrap(), "--force"], &hive);
        let _ = output(wine.program("reg").args(["delete", KEY, "/f"]));
        run_in_wine(wine.program("regedit").arg(windows_path(&ours)));
        run_in_wine(wine.program("reg").args(["export", KEY]).arg(windows_path(&theirs)).arg("/y"));
        assert!(fs::read(&ours).unwrap() == fs::read(&theirs).unwrap(), "{theirs:?} is another file");
        if !prints {
            continue;
        }
        // Wine shows a name that /v is given as it was typed, ours is the stored one.
        for switches in [&[][..], &["/s"], &["/v", "text"], &["/ve"]] {
            let there = text(&run_in_wine(wine.program("reg").args(["query", KEY]).args(switches)));
            let printed = text(&here(&[&["query", ""], switches].concat(), &hive));
            assert_eq!(printed, there, "{switches:?}");
        }
        // The line that counts is another one in Wine.
        let all = run_in_wine(wine.program("reg").args(["query", KEY, "/s", "/v", "x"]));
        let expected = text(&all)
            .replace("Search complete. Number of matches found: 1", "End of search: 1 match(es) found.");
        assert_eq!(text(&here(&["query", "", "/s", "/v", "x"], &hive)), expected);
        // The build for Windows prints and writes the same.
        let printed = run_in_wine(
            wine.vhdmount().args(["reg", "query", "--prefix", KEY]).arg(windows_path(&hive)).args(["", "/s"]),
        );
        assert_eq!(text(&printed), text(&here(&["query", "", "/s"], &hive)));
        let written = folder.path().join("windows.reg");
        run_in_wine(
            wine.vhdmount()
                .args(["reg", "export", "--prefix", KEY])
                .arg(windows_path(&hive))
                .arg("")
                .arg(windows_path(&written)),
        );
        assert!(fs::read(&ours).unwrap() == fs::read(&written).unwrap());
    }
}

/// A descriptor with one entry in its DACL.
fn descriptor(control: u16, flags: u8, mask: u32, sid: &[u8]) -> Vec<u8> {
    let owner = 20;
    let dacl = owner + u32::try_from(sid.len()).unwrap();
    let mut bytes = vec![1, 0];
    bytes.extend((control | 0x8004).to_le_bytes());
    [owner, owner, 0, dacl].iter().for_each(|at: &u32| bytes.extend(at.to_le_bytes()));
    bytes.extend(sid);
    let ace = u16::try_from(8 + sid.len()).unwrap();
    bytes.extend([2, 0]);
    [8 + ace, 1, 0].iter().for_each(|number| bytes.extend(number.to_le_bytes()));
    bytes.extend([0, flags]);
    bytes.extend(ace.to_le_bytes());
    bytes.extend(mask.to_le_bytes());
    bytes.extend(sid);
    bytes
}

fn sid(authority: u8, parts: &[u32]) -> Vec<u8> {
    let mut bytes = vec![1, u8::try_from(parts.len()).unwrap(), 0, 0, 0, 0, 0, authority];
    parts.iter().for_each(|part| bytes.extend(part.to_le_bytes()));
    bytes
}

#[test]
fn security_descriptors_are_written_as_wine_writes_them() {
    let Some(wine) = wine() else { return };
    let everyone = sid(1, &[0]);
    let mut descriptors = Vec::new();
    let groups =
        [544, 545, 546, 547, 548, 549, 550, 551, 552, 554, 555, 556].map(|group| sid(5, &[32, group]));
    let accounts = [2, 4, 6, 7, 9, 10, 11, 12, 18, 19, 20].map(|account| sid(5, &[account]));
    let others = [
        sid(1, &[0]),
        sid(3, &[0]),
        sid(3, &[1]),
        sid(5, &[21, 1, 2, 3, 1001]),
        sid(15, &[2, 1]),
        sid(15, &[3, 7]),
    ];
    descriptors
        .extend(groups.iter().chain(&accounts).chain(&others).map(|sid| descriptor(0, 2, 0xf_003f, sid)));
    let masks = [
        0x2_0019,
        0x2_0006,
        0x1f_01ff,
        0x12_0089,
        0x12_0116,
        0x12_00a0,
        0x12_00a9,
        0x13_01bf,
        0xe001_0000,
        0xf000_0000,
        0xf_01ff,
        0x6_0000,
    ];
    descriptors.extend(masks.map(|mask| descriptor(0, 0, mask, &everyone)));
    descriptors.extend((0..9).map(|bit| descriptor(0, 0, 1 << bit, &everyone)));
    descriptors.extend((0..32).map(|flags| descriptor(0, flags, 1, &everyone)));
    descriptors.extend([0x1000, 0x100, 0x400, 0x1500].map(|control| descriptor(control, 0, 1, &everyone)));

    let folder = scratch();
    let (program, input) = (folder.path().join("sddl.exe"), folder.path().join("input"));
    compile(&["sddl.c"], &program, &["-ladvapi32"]);
    let hex = |bytes: &Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n";
    fs::write(&input, descriptors.iter().map(hex).collect::<String>()).unwrap();
    let theirs = text(&run_in_wine(wine.program(&program).stdin(fs::File::open(&input).unwrap())));
    let ours: Vec<String> = descriptors
        .iter()
        .map(|bytes| vhdmount::security::Descriptor::parse(bytes).unwrap().to_sddl().unwrap())
        .collect();
    assert_eq!(theirs.lines().collect::<Vec<_>>(), ours);
}
