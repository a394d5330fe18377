//! What an image says never commands a terminal or a log: every command on a disk whose every text tries to.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use vhdmount::printable::is_harmful;

use crate::{
    ntfs::Ntfs3g,
    support::{demo::vhdmount, have, have_fuse, run, scratch, skip, tool, vhdx_writer::Recipe},
};

const MIB: usize = 1 << 20;

/// Escape sequences, a bell, the control sequence introducer of one byte, an override and an isolate, in few letters.
const EVIL: &str = "\u{1b}[31m\u{7}\u{9b}2J\u{202e}\u{2067}x\u{7f}\u{2028}";

/// A disk with a hostile partition name, label, and names of files, streams, deleted files and link targets; and a child of it
/// that names it in a hostile way.
fn make(folder: &Path) -> Option<(PathBuf, PathBuf)> {
    let (volume, disk) = (folder.join("volume"), folder.join("disk.raw"));
    fs::File::create(&volume).unwrap().set_len(30 << 20).unwrap();
    run(tool("mkntfs").args(["-qQF", "-L", &format!("L{EVIL}")]).arg(&volume));
    {
        let mounted = Ntfs3g::mount(&volume, "streams_interface=xattr");
        let at = |name: &str| mounted.folder.join(name);
        if fs::write(at(&format!("file{EVIL}\nname")), "x").is_err() {
            skip("ntfs-3g does not make such names");
            return None;
        }
        fs::create_dir(at(&format!("dir{EVIL}"))).unwrap();
        fs::write(at(&format!("dir{EVIL}/in{EVIL}")), "x").unwrap();
        std::os::unix::fs::symlink(format!("to{EVIL}"), at(&format!("link{EVIL}"))).unwrap();
        xattr::set(at(&format!("dir{EVIL}/in{EVIL}")), format!("user.s{EVIL}"), b"x").unwrap();
        fs::write(at(&format!("gone{EVIL}")), "x").unwrap();
        fs::remove_file(at(&format!("gone{EVIL}"))).unwrap();
    }
    let mut bytes = vec![0; 32 * MIB];
    bytes[MIB..31 * MIB].copy_from_slice(&fs::read(&volume).unwrap());
    // A file whose record is damaged: errors quote names as well.
    let utf16 = |text: String| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let (hostile, name) = (utf16(format!("P{EVIL}")), utf16(format!("in{EVIL}")));
    let is_record = |record: &&mut [u8]| {
        record.starts_with(b"FILE") && record.windows(name.len()).any(|window| window == name)
    };
    let record = bytes.chunks_exact_mut(1024).rfind(is_record).unwrap();
    record[510..512].copy_from_slice(b"no");
    fs::write(&disk, &bytes).unwrap();
    let name = format!("-c1:P{EVIL}");
    run(tool("sgdisk").args(["-n1:2048:63487", "-t1:0700", &name]).arg(&disk));
    let bytes = fs::read(&disk).unwrap();
    let creator = |image: &mut crate::support::vhdx_writer::Image| image.write(8, &hostile);
    let mut base = Recipe::fixed(MIB as u64, &bytes).build();
    creator(&mut base);
    let path = folder.join("base.vhdx");
    base.save(&path);
    let mut child =
        Recipe::differencing(32 << 20, MIB as u64, [7; 16], &format!("base{EVIL}\n.vhdx")).build();
    creator(&mut child);
    child.save(&folder.join("child.vhdx"));
    Some((path, folder.join("child.vhdx")))
}

/// Nothing of the output is harmful, but line ends and the line that shows progress, which are the program's.
fn check(what: &str, output: &Output) {
    for text in [&output.stdout, &output.stderr] {
        let text = String::from_utf8_lossy(text);
        let bad = text.char_indices().find(|(_, c)| is_harmful(*c) && !matches!(c, '\n' | '\r'));
        assert_eq!(bad, None, "{what}: {text:?}");
    }
}

/// On a terminal of its own.
fn on_terminal(arguments: &[&str]) -> Output {
    let command = vhdmount();
    let quoted = |text: &str| format!("'{text}'");
    let mut line = quoted(command.get_program().to_str().unwrap());
    arguments.iter().for_each(|argument| line += &format!(" {}", quoted(argument)));
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).env("NO_COLOR", "1").env("RUST_LOG_STYLE", "never");
    script.output().unwrap()
}

#[test]
fn no_text_of_an_image_commands_a_terminal_or_a_log() {
    if !have(&["mkntfs", "ntfs-3g", "sgdisk", "script"]) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let Some((base, child)) = make(folder.path()) else { return };
    let (image, lost) = (base.to_str().unwrap(), child.to_str().unwrap());
    let (dest, mountpoint) = (folder.path().join("dest"), folder.path().join("mnt"));
    fs::create_dir(&mountpoint).unwrap();
    let (dest, at) = (dest.to_str().unwrap(), mountpoint.to_str().unwrap());
    let commands: &[&[&str]] = &[
        &["info", image],
        &["info", lost],
        &["info", "--force-parent", lost],
        &["check", image],
        &["check", lost],
        &["capacity", image],
        &["capacity", image, lost],
        &["capacity", "--prometheus", image, lost],
        &["capacity", lost],
        &["map", "--color", "never", image],
        &["cp", "-rvv", "--streams", image, "p1", dest],
        &["cat", image, "p1/a\u{1b}[31m"],
        &["-v", image, at],
    ];
    for arguments in commands {
        check(&format!("{arguments:?}"), &vhdmount().args(*arguments).output().unwrap());
    }
    let capacity = fs::read_to_string(mountpoint.join(".capacity")).unwrap();
    assert!(
        capacity.contains("label") && !capacity.chars().any(|c| is_harmful(c) && c != '\n'),
        "{capacity}"
    );
    run(vhdmount().args(["-u", at]));
    for arguments in [
        &["ls", "-R", image][..],
        &["ls", "-lR", image],
        &["ls", "-l", image, "p1"],
        &["ls", "--deleted", image],
        &["ls", "--deleted", "-l", image],
        &["check", image],
        &["info", image],
    ] {
        let output = on_terminal(arguments);
        check(&format!("{arguments:?} on a terminal"), &output);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            text.contains('\u{fffd}') || text.contains(r"\u{202e}"),
            "{arguments:?} quotes nothing: {text}"
        );
    }
    // A pipe gets names as they are, as ls(1) gives them: another program looks for that file.
    let piped = run(vhdmount().args(["ls", image, "p1"]));
    assert!(String::from_utf8_lossy(&piped.stdout).contains(EVIL));
    // JSON keeps every character, escaped.
    let json = run(vhdmount().args(["info", "--json", image]));
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["partitions"][0]["volume"]["label"], format!("L{EVIL}"));
    assert!(json["layers"][0]["creator"].as_str().unwrap().starts_with(&format!("P{EVIL}")));
}
