//! `vhdmount reg` on disks with a Windows on them, and on hives that were copied out.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use vhdmount::{
    container::session::Publish,
    testing::hive::{Builder, KeyFields, Tree, log_of_entries, number, utf16},
};

use crate::{
    overlays,
    support::{
        demo::{outcome, vhdmount},
        have, run, scratch, tool,
    },
};

const ADA: &str = "S-1-5-21-1-2-3-1001";
/// `KEY_SYM_LINK` keys are made of a flag that trees do not set: the tests set it in the bytes of this key.
const LINK: &str = "LinkedKey";

fn system(number: u32) -> Tree {
    let control = |text| Tree::new("Control").text("which", text);
    Tree::new("ROOT")
        .key(Tree::new("ControlSet001").key(control("first")))
        .key(
            Tree::new("ControlSet002")
                .key(control("second"))
                .key(Tree::new("Hardware Profiles").key(Tree::new("Current").text("profile", "0001"))),
        )
        .key(Tree::new("Select").dword("Current", number).dword("Default", 1))
        .key(Tree::new(LINK).value("SymbolicLinkValue", 6, &utf16(r"\Registry\Machine\SOFTWARE\Vendor")))
}

fn software(version: &str) -> Tree {
    let profile =
        |sid: &str, path: &str| Tree::new(sid).value("ProfileImagePath", 2, &utf16(&format!("{path}\0")));
    let list = Tree::new("ProfileList")
        .key(profile("S-1-5-18", r"%systemroot%\system32\config\systemprofile"))
        .key(profile(ADA, r"C:\Users\Ada"));
    let nt = Tree::new("Windows NT").key(Tree::new("CurrentVersion").key(list));
    Tree::new("ROOT")
        .key(Tree::new("Classes").key(Tree::new(".txt").text("", "txtfile")))
        .key(Tree::new("Microsoft").key(nt))
        .key(
            Tree::new("Vendor")
                .text("Version", version)
                .dword("Build", 7)
                .key(Tree::new(&format!("Only {version}")).text("", version)),
        )
}

/// Files of a Windows.
fn files(version: &str) -> Vec<(&'static str, Vec<u8>)> {
    let user = |name: &str| Tree::new("ROOT").key(Tree::new("Environment").text("who", name)).hive();
    let mut system = system(2).hive();
    // The link: its flags lie behind `nk`, its name 76 bytes behind that.
    let name = system.windows(LINK.len()).position(|part| part == LINK.as_bytes()).unwrap();
    system[name - 74] |= 0x10;
    vec![
        ("Windows/System32/config/SYSTEM", system),
        ("Windows/System32/config/SOFTWARE", software(version).hive()),
        ("Windows/System32/config/DEFAULT", user("nobody")),
        ("Users/Ada/NTUSER.DAT", user("Ada")),
        ("Users/Ada/AppData/Local/Microsoft/Windows/UsrClass.dat", user("Ada's classes")),
        ("Users/Bob/NTUSER.DAT", user("Bob")),
        ("EFI/Microsoft/Boot/BCD", Tree::new("ROOT").key(Tree::new("Objects")).hive()),
    ]
}

/// A FAT volume with these files.
fn volume(folder: &Path, name: &str, files: &[(&str, Vec<u8>)]) -> PathBuf {
    let (volume, tree) = (folder.join(name), folder.join(format!("{name}.tree")));
    fs::File::create(&volume).unwrap().set_len(40 << 20).unwrap();
    run(tool("mkfs.fat").args(["-F", "32", "-i", "12345678"]).arg(&volume));
    for (path, bytes) in files {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let mut copy = tool("mcopy");
    copy.arg("-i").arg(&volume).args(["-s", "-m"]);
    copy.args(fs::read_dir(&tree).unwrap().map(|entry| entry.unwrap().path()));
    run(copy.arg("::"));
    volume
}

/// Exit code, and both outputs.
fn reg(command: &str, images: &[&Path], arguments: &[&str]) -> (Option<i32>, String, String) {
    outcome(&vhdmount().arg("reg").arg(command).args(images).args(arguments).output().unwrap())
}

fn programs() -> bool {
    have(&["mkfs.fat", "mcopy"])
}

#[test]
fn keys_have_the_names_that_windows_gives_them() {
    if !programs() {
        return;
    }
    let folder = scratch();
    let disk = volume(folder.path(), "disk", &files("1.0"));
    let value = |key: &str, name: &str| {
        let (code, text, errors) = reg("query", &[&disk], &[key, "/v", name]);
        assert_eq!(code, Some(0), "{key}: {errors}");
        text
    };
    for (key, name, heading, data) in [
        (
            r"HKLM\SYSTEM\CurrentControlSet\Control",
            "which",
            r"HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control",
            "second",
        ),
        (
            r"hkey_local_machine\system\controlset001\control\",
            "WHICH",
            r"HKEY_LOCAL_MACHINE\system\controlset001\control",
            "first",
        ),
        (r"HKCC", "profile", "HKEY_CURRENT_CONFIG", "0001"),
        (r"HKLM\SYSTEM\LinkedKey", "Version", r"HKEY_LOCAL_MACHINE\SYSTEM\LinkedKey", "1.0"),
        (r"HKU\.DEFAULT\Environment", "who", r"HKEY_USERS\.DEFAULT\Environment", "nobody"),
        (r"HKU\S-1-5-18\Environment", "who", r"HKEY_USERS\S-1-5-18\Environment", "nobody"),
        (r"HKU\ada\Environment", "who", r"HKEY_USERS\ada\Environment", "Ada"),
        (r"HKU\Ada_Classes\Environment", "who", r"HKEY_USERS\Ada_Classes\Environment", "Ada's classes"),
        (r"HKU\S-1-5-21-1-2-3-1001\Environment", "who", r"HKEY_USERS\S-1-5-21-1-2-3-1001\Environment", "Ada"),
        (r"HKU\Bob\Environment", "who", r"HKEY_USERS\Bob\Environment", "Bob"),
    ] {
        assert_eq!(
            value(key, name),
            format!("\n{heading}\n    {}    REG_SZ    {data}\n\n", stored(name)),
            "{key}"
        );
    }
    // Without the list of profiles their folders say who there is.
    let mut damaged = files("1.0");
    damaged[1].1.truncate(5000);
    let damaged = volume(folder.path(), "damaged", &damaged);
    let (code, text, errors) = reg("query", &[&damaged], &[r"HKU\Ada\Environment", "/v", "who"]);
    assert!(code == Some(0) && text.contains("Ada"), "{errors}");
    let listed = reg("query", &[&disk], &["HKU"]).1;
    for name in [".DEFAULT", ADA, &format!("{ADA}_Classes"), "Bob"] {
        assert!(listed.contains(&format!("\nHKEY_USERS\\{name}\n")), "{name} in {listed}");
    }
    assert!(reg("query", &[&disk], &[r"HKCR\.txt", "/ve"]).1.contains("(Default)    REG_SZ    txtfile"));
    let top = reg("query", &[&disk], &[r"HKLM\SYSTEM"]).1;
    assert!(top.contains("\nHKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet\n"), "{top}");
    assert!(reg("query", &[&disk], &[r"HKLM\BCD00000000"]).1.contains("BCD00000000\\Objects"));
    for (key, code, part) in [
        (r"HKCU\Environment", 4, "name the user"),
        (r"HKLM\HARDWARE", 4, "at each start"),
        (r"HKLM\SOFTWARE\Nobody\Else", 4, r"no key Nobody in HKEY_LOCAL_MACHINE\SOFTWARE"),
        (r"HKU\Eve", 4, "Bob"),
        ("SOFTWARE", 4, "begins with"),
    ] {
        let (found, _, errors) = reg("query", &[&disk], &[key]);
        assert!(found == Some(code) && errors.contains(part), "{key}: {found:?} {errors}");
    }
}

/// How the value is called in the hives above.
fn stored(name: &str) -> &str {
    if name == "WHICH" { "which" } else { name }
}

#[test]
fn searches_find_keys_values_and_data() {
    let folder = scratch();
    let hive = folder.path().join("SOFTWARE");
    fs::write(&hive, software("1.0").hive()).unwrap();
    let query = |arguments: &[&str]| reg("query", &[&hive], arguments);
    let vendor = "HKEY_LOCAL_MACHINE\\SOFTWARE\\Vendor";
    for (arguments, expected) in [
        (&["", "/s", "/f", "vendor", "/k"][..], format!("\n{vendor}\n\nEnd of search: 1 match(es) found.\n")),
        (
            &["/s", "/f", "1.0"],
            format!(
                "\n{vendor}\n    Version    REG_SZ    1.0\n\n{vendor}\\Only 1.0\n    (Default)    REG_SZ    1.0\n\nEnd of search: 3 match(es) found.\n"
            ),
        ),
        (
            &[r"hklm\software\vendor", "/f", "0x7", "/d", "/e"],
            "\nHKEY_LOCAL_MACHINE\\SOFTWARE\\vendor\n    Build    REG_DWORD    0x7\n\nEnd of search: 1 match(es) found.\n".to_owned(),
        ),
        (
            &["-s", "--type", "reg_dword"],
            format!("\n{vendor}\n    Build    REG_DWORD    0x7\n\nEnd of search: 1 match(es) found.\n"),
        ),
    ] {
        // In the hive alone the root is called by its file's name.
        let (code, text, errors) = query(arguments);
        assert_eq!((code, text), (Some(0), expected), "{arguments:?} {errors}");
    }
    let (code, text, _) = query(&["/s", "/f", "VERSION", "/c", "/v"]);
    assert_eq!((code, &*text), (Some(4), "\nEnd of search: 0 match(es) found.\n"));
    assert_eq!(query(&["Vendor", "/v", "none"]).0, Some(4));
    assert_eq!(query(&["Vendor", "/x"]).0, Some(1));
    let report: Value = serde_json::from_str(&query(&["Vendor", "--json", "--security"]).1).unwrap();
    assert_eq!(
        (&report["schema"], &report["keys"][0]["subkeys"][0]),
        (&"reg_query/1".into(), &"Only 1.0".into())
    );
    assert_eq!(report["keys"][0]["values"][1]["data"], 7);
    assert_eq!(report["keys"][0]["security"], "O:BAG:BA");
}

#[test]
fn one_of_several_windows_is_chosen_by_its_partition() {
    if !programs() || !have(&["sgdisk"]) {
        return;
    }
    let folder = scratch();
    let disk = folder.path().join("disk.raw");
    fs::File::create(&disk).unwrap().set_len(100 << 20).unwrap();
    run(tool("sgdisk").args(["-n1:2048:83967", "-t1:0700", "-n2:83968:165887", "-t2:0700"]).arg(&disk));
    let mut bytes = fs::read(&disk).unwrap();
    for (start, version) in [(1 << 20, "1.0"), (41 << 20, "2.0")] {
        let volume = fs::read(volume(folder.path(), version, &files(version))).unwrap();
        bytes[start..start + volume.len()].copy_from_slice(&volume);
    }
    fs::write(&disk, bytes).unwrap();
    let (code, _, errors) = reg("query", &[&disk], &[r"HKLM\SOFTWARE\Vendor"]);
    assert!(code == Some(2) && errors.contains("p1, p2") && errors.contains("-p 1"), "{errors}");
    let second = reg("query", &[&disk], &["-p", "2", r"HKLM\SOFTWARE\Vendor", "/v", "Version"]);
    assert!(second.0 == Some(0) && second.1.contains("2.0"), "{second:?}");
}

#[test]
fn an_overlay_differs_from_its_parent_by_what_was_changed_in_it() {
    if !programs() {
        return;
    }
    let folder = scratch();
    let before = volume(folder.path(), "before", &files("1.0"));
    let after = volume(folder.path(), "after", &files("2.0"));
    let (base, child) = (folder.path().join("base.vhdx"), folder.path().join("child.vhdx"));
    run(vhdmount().args(["convert", "-q"]).arg(&before).arg(&base));
    let session = overlays::open(&base, &child, Publish::Sync);
    overlays::write(&session, &after);
    session.close().unwrap();
    let vendor = "HKEY_LOCAL_MACHINE\\SOFTWARE\\Vendor";
    let expected = format!(
        "changed  {vendor}\n-    Version    REG_SZ    1.0\n+    Version    REG_SZ    2.0\n\
         removed  {vendor}\\Only 1.0\n-    (Default)    REG_SZ    1.0\n\
         added    {vendor}\\Only 2.0\n+    (Default)    REG_SZ    2.0\n"
    );
    for (images, arguments) in [
        (&[&*child][..], &[][..]),
        (&[&*child], &[r"HKLM\SOFTWARE"]),
        (&[&*before, &*after], &[]),
        (&[&*base, &*child], &[]),
        (&[&*child], &[r"HKLM\SOFTWARE\Vendor", "--security"]),
    ] {
        let (code, text, errors) = reg("diff", images, arguments);
        assert_eq!((code, &*text), (Some(0), &*expected), "{images:?} {arguments:?} {errors}");
    }
    assert_eq!(reg("diff", &[&child], &[r"HKLM\SYSTEM"]), (Some(0), String::new(), String::new()));
    let report: Value = serde_json::from_str(&reg("diff", &[&child], &["--json"]).1).unwrap();
    assert_eq!(
        (&report["schema"], report["differences"].as_array().unwrap().len()),
        (&"reg_diff/1".into(), 3)
    );
    // An image without a parent has nothing to be compared with.
    let (code, _, errors) = reg("diff", &[&base], &[]);
    assert!(code == Some(1) && errors.contains("no parent"), "{code:?} {errors}");
    assert_eq!(reg("diff", &[&child], &[r"HKLM\SOFTWARE\None"]).0, Some(4));
}

#[test]
fn logs_beside_a_hive_are_applied_and_damage_is_named() {
    let folder = scratch();
    let path = folder.path().join("NTUSER.DAT");
    let state = |text: &str| Tree::new("ROOT").key(Tree::new("Key").text("value", text)).hive();
    let (mut old, new) = (state("old"), state("new"));
    let log = log_of_entries(&[&old, &new], 8);
    number(&mut old, 8, 7);
    fs::write(&path, &old).unwrap();
    // As Windows calls it.
    fs::write(folder.path().join("ntuser.dat.LOG1"), &log).unwrap();
    let query = |arguments: &[&str]| reg("query", &[&path], &[&["Key"], arguments].concat());
    let (code, text, errors) = query(&[]);
    assert_eq!((code, &*errors), (Some(0), ""));
    assert_eq!(text, "\nHKEY_CURRENT_USER\\Key\n    value    REG_SZ    new\n\n");
    // A link that leads out of the folder is not followed.
    fs::remove_file(folder.path().join("ntuser.dat.LOG1")).unwrap();
    let elsewhere = scratch();
    fs::write(elsewhere.path().join("log"), &log).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("log"), folder.path().join("ntuser.dat.LOG1")).unwrap();
    let (code, text, errors) = query(&[]);
    assert!(code == Some(0) && text.contains("old") && errors.contains("not written completely"), "{errors}");
}

#[test]
fn boot_configuration_is_read_with_the_logs_of_its_store() {
    let folder = scratch();
    let path = folder.path().join("BCD");
    let object = Tree::new("{9dea862c-5cdd-4e70-acc1-f32b344d4795}")
        .key(Tree::new("Description").dword("Type", 0x1010_0002))
        .key(Tree::new("Elements").key(Tree::new("12000004").text("Element", "From the log")));
    let state = |object: Option<Tree>| {
        let objects = object.into_iter().fold(Tree::new("Objects"), Tree::key);
        Tree::new("ROOT").key(objects).hive()
    };
    let (mut old, new) = (state(None), state(Some(object)));
    let log = log_of_entries(&[&old, &new], 8);
    number(&mut old, 8, 7);
    fs::write(&path, &old).unwrap();
    fs::write(folder.path().join("BCD.LOG"), log).unwrap();
    let text = outcome(&run(vhdmount().arg("bcd").arg(&path))).1;
    assert!(text.contains("From the log") && !text.contains("not written"), "{text}");
}

#[test]
fn exported_files_replace_nothing_and_hold_no_lines_of_a_hive() {
    let folder = scratch();
    let (hive, file) = (folder.path().join("SOFTWARE"), folder.path().join("new/out.reg"));
    fs::create_dir(folder.path().join("new")).unwrap();
    let evil = "x\r\n[-HKEY_LOCAL_MACHINE\\SYSTEM]\r\n";
    let tree = Tree::new("ROOT").text("a", evil).text(evil, "b").key(Tree::new(evil)).text("z", "last");
    fs::write(&hive, tree.hive()).unwrap();
    let export = |arguments: &[&str]| {
        let mut command: Command = vhdmount();
        outcome(
            &command.args(["reg", "export"]).arg(&hive).arg("").arg(&file).args(arguments).output().unwrap(),
        )
    };
    let (code, _, errors) = export(&[]);
    assert!(
        code == Some(4) && errors.lines().count() == 2 && errors.contains("left out"),
        "{code:?} {errors}"
    );
    // Nor does a listing have any.
    let listed = reg("query", &[&hive], &["/s"]).1;
    assert!(listed.contains('\u{fffd}') && !listed.contains('\r') && !listed.contains("\n["), "{listed}");
    let bytes = fs::read(&file).unwrap();
    assert!(bytes.starts_with(&[0xff, 0xfe]));
    let units: Vec<u16> = bytes[2..].as_chunks().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
    let text = String::from_utf16(&units).unwrap();
    assert!(
        text.contains("\"a\"=hex(1):78,00,0d,00") && text.contains("\"z\"=\"last\"") && !text.contains("[-")
    );
    assert_eq!(export(&[]).0, Some(3));
    fs::write(&file, "old").unwrap();
    assert_eq!(export(&["/y"]).0, Some(4));
    assert_eq!(fs::read(&file).unwrap(), bytes);
    // Nothing is left beside it.
    assert_eq!(fs::read_dir(folder.path().join("new")).unwrap().count(), 1);
}

#[test]
fn output_is_bounded_by_what_a_hive_stores() {
    let folder = scratch();
    let path = folder.path().join("hive");
    let mut hive = Builder::new(3);
    let data =
        hive.cell(&"\u{4e2d}".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>().repeat(30_000));
    let value = hive.value(&[0x76], 1, 60_000, data);
    let list = hive.offsets(&[value; 10_000]);
    let damaged = hive.cell(b"no descriptor");
    let fields = KeyFields { values: (10_000, list), security: damaged, ..KeyFields::default() };
    let root = hive.key("ROOT", &fields);
    fs::write(&path, hive.finish(root)).unwrap();
    let stored = fs::metadata(&path).unwrap().len();
    let (code, text, errors) = reg("query", &[&path], &["", "--security"]);
    assert!(code == Some(4) && errors.contains("again and again"), "{code:?} {errors}");
    assert!(errors.contains("security descriptor"), "{errors}");
    // Three bytes in UTF-8 for two in the hive.
    let budget = ((32 << 20) + 4 * stored) * 3 / 2;
    assert!(text.len() as u64 <= budget + budget / 8, "{}", text.len());
    let (code, text, _) = reg("query", &[&path], &["", "--security", "--json"]);
    assert_eq!(code, Some(4));
    let report: Value = serde_json::from_str(&text).unwrap();
    let problems = report["problems"].as_array().unwrap();
    assert!(
        problems.iter().any(|problem| problem["problem"].as_str().unwrap().contains("security descriptor"))
    );
    assert!(report["keys"][0]["security"].is_null());
}

#[test]
fn shells_complete_keys_by_asking_the_program() {
    if !have(&["bash", "fish"]) {
        return;
    }
    let folder = scratch();
    let hive = folder.path().join("SOFTWARE");
    fs::write(&hive, software("1.0").hive()).unwrap();
    let program = PathBuf::from(vhdmount().get_program());
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let shell = |shell: &str, arguments: &[&str], script: &str| {
        let completions = run(vhdmount().args(["completions", shell])).stdout;
        fs::write(folder.path().join(shell), completions).unwrap();
        let mut command = Command::new(shell);
        command.args(arguments).arg(script).current_dir(folder.path()).env("PATH", &path);
        String::from_utf8(run(command.env("HOME", folder.path())).stdout).unwrap()
    };
    let bash = |command: &str, typed: &str| {
        // compopt works in a running completion alone.
        let script = format!(
            "compopt() {{ :; }}; source ./bash; COMP_WORDS=(vhdmount reg {command} \"$1\"); \
             COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _vhdmount_or_keys vhdmount \"$1\" x; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        shell("bash", &["--norc", "-c"], &format!("set -- '{}'; {script}", typed.replace('\'', r"'\''")))
    };
    assert_eq!(bash("query SOFTWARE", "Ven"), "Vendor\nVendor\\\\\n");
    assert_eq!(
        bash("query --parent x SOFTWARE", r"'microsoft\windows nt\c"),
        "microsoft\\windows nt\\CurrentVersion\nmicrosoft\\windows nt\\CurrentVersion\\\n"
    );
    assert_eq!(
        bash("export SOFTWARE", r"HKLM\\SOFTWARE\\M"),
        "HKLM\\\\SOFTWARE\\\\Microsoft\nHKLM\\\\SOFTWARE\\\\Microsoft\\\\\n"
    );
    assert_eq!(bash("diff SOFTWARE SOFTWARE", r"Vendor\O"), "Vendor\\\\Only\\ 1.0\n");
    // Of an option, and of the image itself, as without keys.
    assert!(bash("query SOFTWARE Vendor", "--rec").contains("--recursive"));
    let fish = shell(
        "fish",
        &["--no-config", "-c"],
        r#"source ./fish; complete -C "vhdmount reg query SOFTWARE Vendor\\\\""#,
    );
    assert!(fish.lines().any(|line| line == r"Vendor\Only 1.0"), "{fish}");
}
