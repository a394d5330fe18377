//! Figures that follow the host while it fills and the image while it grows: in a mount, and with `--watch`.

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::support::{
    self,
    demo::{only_disk, outcome, unpack, vhdmount},
    run, scratch,
};

const MIB: u64 = 1 << 20;

/// A small ext4 volume on a loop device that no other test uses, and a folder for a mount.
struct Host {
    at: PathBuf,
    mount: PathBuf,
    _folder: tempfile::TempDir,
}

impl Host {
    /// `None`, and SKIPPED, where it cannot be made.
    fn new(mebibytes: u64) -> Option<Self> {
        if !support::have(&["mkfs.ext4", "mount", "umount", "losetup"]) || !support::have_fuse() {
            return None;
        }
        let folder = scratch();
        let (image, at, mount) =
            (folder.path().join("host.img"), folder.path().join("host"), folder.path().join("mnt"));
        std::fs::File::create(&image).unwrap().set_len(mebibytes * MIB).unwrap();
        run(support::tool("mkfs.ext4").args(["-q", "-m", "0", "-J", "size=4"]).arg(&image));
        std::fs::create_dir(&at).unwrap();
        std::fs::create_dir(&mount).unwrap();
        let mounted = support::tool("mount").args(["-o", "loop"]).arg(&image).arg(&at).output().unwrap();
        if !mounted.status.success() {
            support::skip(&String::from_utf8_lossy(&mounted.stderr));
            return None;
        }
        Some(Self { at, mount, _folder: folder })
    }

    fn sync(&self) {
        run(support::tool("sync").arg("-f").arg(&self.at));
    }

    /// Of a new snapshot: a name leads to the same one for 0.3 s.
    fn figure(&self, name: &str) -> u64 {
        std::thread::sleep(Duration::from_millis(450));
        let text = std::fs::read_to_string(self.mount.join(".capacity")).unwrap();
        let report: toml::Value = toml::from_str(&text).unwrap();
        let value = name.split('/').fold(&report, |value, key| &value[key]);
        u64::try_from(value.as_integer().unwrap()).unwrap()
    }

    fn available(&self, path: &str) -> u64 {
        let output = run(support::tool("df").args(["-B1", "--output=avail"]).arg(self.mount.join(path)));
        outcome(&output).1.lines().last().unwrap().trim().parse().unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = vhdmount().arg("-u").arg(&self.mount).output();
        let unmounted = support::tool("umount").arg(&self.at).output();
        if !unmounted.is_ok_and(|output| output.status.success()) {
            let _ = support::tool("umount").arg("-l").arg(&self.at).output();
        }
    }
}

#[test]
fn a_reader_that_polls_sees_the_host_fill_and_df_agrees() {
    let Some(host) = Host::new(128) else { return };
    let image = unpack(&host.at);
    host.sync();
    run(vhdmount().arg(&image).arg(&host.mount));
    let mut last = u64::MAX;
    for step in 0..4 {
        if step > 0 {
            std::fs::write(host.at.join(format!("ballast{step}")), vec![1; 16 << 20]).unwrap();
            host.sync();
        }
        let achievable = host.figure("achievable_size");
        assert!(achievable < last, "step {step}: {achievable}, before {last}");
        if step > 0 {
            // What was written, in whole blocks of the image, and the host's own metadata.
            assert!(
                (15 * MIB..=18 * MIB).contains(&(last - achievable)),
                "step {step}: {}",
                last - achievable
            );
        }
        // Nothing else writes to this host: df is exact, in its units.
        assert_eq!(host.available(""), (achievable - host.figure("backed")) / 4096 * 4096);
        let free = host.figure("volume/p3/free_achievable");
        assert!(free.abs_diff(host.available("p3")) < 4096, "{free}");
        last = achievable;
    }
    let (free, left) = (host.figure("host_free"), 3 * MIB);
    std::fs::write(host.at.join("rest"), vec![1; usize::try_from(free - left).unwrap()]).unwrap();
    host.sync();
    assert!(host.figure("host_free") < MIB * 4);
    std::thread::sleep(Duration::from_millis(450));
    let text = std::fs::read_to_string(host.mount.join(".capacity")).unwrap();
    assert!(text.contains("status = \"critical\""), "{text}");
}

#[test]
fn an_image_that_grows_below_a_mount_is_looked_at_again() {
    let Some(host) = Host::new(128) else { return };
    if !support::have(&["qemu-img", "qemu-io"]) {
        return;
    }
    let image = host.at.join("grow.vhdx");
    run(support::tool("qemu-img")
        .args(["create", "-q", "-f", "vhdx", "-o", "block_size=1M"])
        .arg(&image)
        .arg("1G"));
    // From another folder and by a relative name: the mount must find it again all the same.
    support::run_mount(vhdmount().current_dir(&host.at).arg("grow.vhdx").arg(&host.mount));
    assert_eq!(host.figure("backed"), 0);
    run(support::tool("qemu-io").args(["-f", "vhdx", "-c", "write -P 7 512M 10M"]).arg(&image));
    host.sync();
    assert_eq!(host.figure("backed"), 10 * MIB);
    let fresh = run(vhdmount().args(["capacity", "--json"]).arg(&image)).stdout;
    let fresh: serde_json::Value = serde_json::from_slice(&fresh).unwrap();
    let fresh = only_disk(&fresh);
    assert_eq!(fresh["achievable_size"], host.figure("achievable_size"));
    assert_eq!(host.available(""), (host.figure("achievable_size") - 10 * MIB) / 4096 * 4096);
    // Another file by its name is not what is mounted.
    std::fs::rename(&image, host.at.join("moved.vhdx")).unwrap();
    std::fs::write(&image, b"something else").unwrap();
    run(support::tool("qemu-io")
        .args(["-f", "vhdx", "-c", "write -P 7 600M 1M"])
        .arg(host.at.join("moved.vhdx")));
    assert_eq!(host.figure("virtual_size"), 1 << 30);
}

/// `vhdmount capacity --watch` that ends with the test.
struct Watch(Child);

impl Watch {
    fn new(arguments: &[&str], image: &Path) -> Self {
        let mut command = vhdmount();
        command.args(["capacity", "--watch=1"]).args(arguments).arg(image).stdout(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    fn interrupt(&mut self) -> Option<i32> {
        run(Command::new("kill").args(["-INT", &self.0.id().to_string()]));
        self.0.wait().unwrap().code()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn watch_survives_an_image_that_vanishes_and_ends_at_ctrl_c() {
    let folder = scratch();
    let image = unpack(folder.path());
    let mut watch = Watch::new(&[], &image);
    let mut lines = BufReader::new(watch.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut until = |part: &str| assert!(lines.any(|line| line.contains(part)), "{part}");
    until("UTC");
    until("64.0 GiB promised");
    until("[volume.p3]");
    let hidden = folder.path().join("hidden");
    std::fs::rename(&image, &hidden).unwrap();
    until("no such file");
    std::fs::rename(&hidden, &image).unwrap();
    until("64.0 GiB promised");
    assert_eq!(watch.interrupt(), Some(0));
    assert!(!lines.any(|line| line.contains('\u{1b}')));
}

#[test]
fn watched_json_is_a_stream_of_values() {
    let folder = scratch();
    let image = unpack(folder.path());
    let mut watch = Watch::new(&["--json"], &image);
    let output = watch.0.stdout.take().unwrap();
    let mut values = serde_json::Deserializer::from_reader(output).into_iter::<serde_json::Value>();
    let first = values.next().unwrap().unwrap();
    assert_eq!(only_disk(&first)["virtual_size"], 64_u64 << 30);
    std::fs::remove_file(&image).unwrap();
    let failed = |value: &serde_json::Value| !value["errors"].as_array().unwrap().is_empty();
    let gone = values.find(|value| failed(value.as_ref().unwrap())).unwrap().unwrap();
    assert!(gone["errors"][0]["error"].as_str().unwrap().contains("no such file"), "{gone}");
    // A reader that has seen enough ends it.
    drop(values);
    let start = Instant::now();
    while watch.0.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(20), "still there");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(watch.0.wait().unwrap().code(), Some(0));
}

#[test]
fn watch_draws_in_place_on_a_terminal_and_leaves_it_as_it_was() {
    if !support::have(&["script", "stty"]) {
        return;
    }
    let folder = scratch();
    let image = unpack(folder.path());
    // However long it takes until it has drawn twice.
    let pid_file = folder.path().join("pid");
    let line = format!(
        "stty cols 60 rows 12; echo $$ > {}; exec {} capacity --watch=1 {}",
        support::quoted(&pid_file),
        support::quoted(Path::new(env!("CARGO_BIN_EXE_vhdmount"))),
        support::quoted(&image)
    );
    let mut script = support::tool("script");
    script.args(["-q", "-e", "-c", &line, "/dev/null"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = script.spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    let drawn = |bytes: &[u8]| bytes.windows(3).filter(|part| part == b"\x1b[H").count();
    while drawn(&bytes) < 3 {
        let len = output.read(&mut piece).unwrap();
        assert!(len > 0, "it ends too early: {}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&piece[..len]);
    }
    let pid = std::fs::read_to_string(&pid_file).unwrap();
    run(support::tool("kill").args(["-INT", pid.trim()]));
    output.read_to_end(&mut bytes).unwrap();
    child.wait().unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (drawn, after) = text.split_once("\u{1b}[?1049l").expect("the second screen is left");
    let frames: Vec<_> = drawn.split("\u{1b}[H").skip(1).collect();
    assert!(frames.len() >= 2, "{text}");
    for frame in frames {
        let lines: Vec<_> = frame.trim_end_matches("\u{1b}[?7h\u{1b}[?25h").split("\r\n").collect();
        assert!(lines.len() <= 12 && frame.contains("more lines"), "{frame}");
        // The terminal itself adds a carriage return to each line feed.
        let plain = |line: &str| line.replace("\u{1b}[K", "").replace("\u{1b}[J", "").replace('\r', "");
        assert!(lines.iter().all(|line| plain(line).chars().count() <= 60), "{frame}");
    }
    assert!(drawn.contains("\u{1b}[?25l") && drawn.ends_with("\u{1b}[?25h"), "the cursor comes back");
    assert!(after.contains("64.0 GiB promised"), "what was seen last stays: {after}");
}
