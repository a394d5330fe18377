//! Many images at once: grouped by host volume, each file counted once, for people, monitoring systems and Prometheus.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde_json::Value;
use vhdmount::{
    Result,
    bytes::FileSource,
    capacity::{Fleet, FleetReport, Status},
    host::{Host, HostSpace},
    image::{Discovery, Image, OpenOptions, find},
};

use crate::support::{
    self,
    demo::{only_disk, outcome, unpack, vhdmount},
    run, scratch,
    vhdx_writer::{Block, MIB, Recipe, pattern},
};

/// A host volume that has so much left, and on which files have no holes.
#[derive(Clone, Copy)]
struct Left(u64);

impl Host for Left {
    fn space(&self, file: &FileSource) -> Result<HostSpace> {
        let file_size = file.file().metadata().unwrap().len();
        Ok(HostSpace {
            file_size,
            allocated: file_size,
            free: self.0,
            mount: "/srv".into(),
            filesystem: "ext4".into(),
            ..HostSpace::default()
        })
    }
}

fn full() -> Block {
    Block::Full(pattern(MIB, 1))
}

fn save(folder: &Path, name: &str, recipe: &Recipe) -> PathBuf {
    let path = folder.join(name);
    recipe.build().save(&path);
    path
}

fn look(paths: &[PathBuf], free: u64) -> FleetReport {
    let mut fleet = Fleet::default();
    for path in paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        let mut options = OpenOptions::default();
        options.container.host = std::sync::Arc::new(Left(free));
        if let Err(error) = Image::open(path, &options).and_then(|image| fleet.add(name, &image.capacity())) {
            fleet.fail(name, &error);
        }
    }
    fleet.report()
}

#[test]
fn disks_that_grow_equally_share_what_the_host_has() {
    let folder = scratch();
    let save = |name, recipe| save(folder.path(), name, &recipe);
    // They lack 2, 10 and 19 MiB.
    let small = save("small.vhdx", Recipe::dynamic(2 * MIB, MIB));
    let middle = save("middle.vhdx", Recipe::dynamic(10 * MIB, MIB));
    let large = save("large.vhdx", Recipe::dynamic(20 * MIB, MIB).block(0, full()));
    let report = look(&[small, middle, large], 16 * MIB);
    let [host] = &report.host_volumes[..] else { panic!("one host volume: {report:?}") };
    assert_eq!(
        (host.host.as_str(), host.host_free, host.growth_to_full),
        ("/srv (ext4)", 16 * MIB, 31 * MIB)
    );
    assert_eq!((host.promised, host.status), (32 * MIB, Status::Critical));
    assert!((host.overcommitment.unwrap() - 31.0 / 16.0).abs() < 1e-9);
    // 2 for the small one, and 7 for each of the others.
    assert_eq!(host.full_when_each_grew, Some(7 * MIB));
    let shares: Vec<_> =
        host.disks.iter().map(|disk| (disk.image.as_str(), disk.equal_growth.grows_by / MIB)).collect();
    assert_eq!(shares, [("large.vhdx", 7), ("middle.vhdx", 7), ("small.vhdx", 2)]);
    let reached: Vec<_> = host.disks.iter().map(|disk| disk.equal_growth.achievable_size / MIB).collect();
    assert_eq!(reached, [8, 7, 2]);
    assert!(host.disks[2].equal_growth.full_before_host && !host.disks[0].equal_growth.full_before_host);
    // At the same level and with the same blocks: the one that lacks more.
    assert_eq!(host.runs_out_first.as_deref(), Some("large.vhdx"));
    // Alone each could have more.
    assert_eq!(host.disks[0].report.achievable_size, 17 * MIB);

    let enough = look(&[folder.path().join("small.vhdx"), folder.path().join("middle.vhdx")], 1 << 40);
    assert_eq!((enough.status, enough.host_volumes[0].runs_out_first.as_deref()), (Some(Status::Ok), None));
    assert_eq!(enough.host_volumes[0].full_when_each_grew, None);
}

#[test]
fn larger_blocks_run_out_first() {
    let folder = scratch();
    let fine = save(folder.path(), "fine.vhdx", &Recipe::dynamic(64 * MIB, MIB));
    let coarse = save(folder.path(), "coarse.vhdx", &Recipe::dynamic(64 * MIB, 32 * MIB));
    let report = look(&[fine, coarse], 40 * MIB);
    let host = &report.host_volumes[0];
    assert_eq!(host.runs_out_first.as_deref(), Some("coarse.vhdx"));
    // 20 MiB each: not one block for the coarse one.
    let reached: Vec<_> = host.disks.iter().map(|disk| disk.equal_growth.achievable_size / MIB).collect();
    assert_eq!(reached, [0, 20]);
}

#[test]
fn a_parent_counts_once_however_many_children_it_has() {
    let folder = scratch();
    let base = Recipe::dynamic(8 * MIB, MIB).block(0, full()).block(1, full());
    let mut paths = vec![save(folder.path(), "base.vhdx", &base)];
    for number in 0..10 {
        let child = Recipe::differencing(8 * MIB, MIB, base.data_write_guid, "base.vhdx");
        paths.push(save(folder.path(), &format!("child{number}.avhdx"), &child));
    }
    let size = |path: &PathBuf| std::fs::metadata(path).unwrap().len();
    let all: u64 = paths.iter().map(size).sum();
    let report = look(&paths, 1 << 40);
    let host = &report.host_volumes[0];
    assert_eq!((host.disks.len(), host.promised), (10, 80 * MIB));
    assert_eq!(host.allocated_on_host, all);
    assert_eq!(host.parents.len(), 1);
    assert_eq!((host.parents[0].children, host.parents[0].allocated_on_host), (10, size(&paths[0])));
    // The same when the parent is not named itself, in whatever order.
    paths.reverse();
    paths.pop();
    let again = look(&paths, 1 << 40);
    assert_eq!(again.host_volumes[0].allocated_on_host, all);
}

#[cfg(unix)]
#[test]
fn one_file_by_many_names_counts_once() {
    use std::os::unix::fs::symlink;
    let folder = scratch();
    let image = save(folder.path(), "a.vhdx", &Recipe::dynamic(8 * MIB, MIB));
    let (hard, soft) = (folder.path().join("b.vhdx"), folder.path().join("c.vhdx"));
    std::fs::hard_link(&image, &hard).unwrap();
    symlink("a.vhdx", &soft).unwrap();
    let report = look(&[image.clone(), hard, soft, image], 1 << 40);
    let host = &report.host_volumes[0];
    assert_eq!((host.disks.len(), host.promised), (1, 8 * MIB));
    assert_eq!(host.disks[0].also, ["b.vhdx", "c.vhdx"]);
}

/// A folder with images, and with all that is none.
fn mixed() -> tempfile::TempDir {
    let folder = scratch();
    let below = folder.path().join("deep/er");
    std::fs::create_dir_all(&below).unwrap();
    std::fs::write(folder.path().join("demo"), support::demo::image()).unwrap();
    save(&below, "renamed.txt", &Recipe::dynamic(8 * MIB, MIB));
    std::fs::write(below.join("fixed.vhd"), b"not an image, whatever its name says").unwrap();
    std::fs::write(below.join("raw.img"), vec![0; 1 << 20]).unwrap();
    std::fs::write(folder.path().join("empty.vhdx"), b"").unwrap();
    std::fs::write(folder.path().join("cut.vhdx"), &support::demo::image()[..2 << 20]).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::symlink;
        symlink("..", below.join("loop")).unwrap();
        symlink("loop2", folder.path().join("loop2")).unwrap();
        symlink("/dev/zero", folder.path().join("zero.vhdx")).unwrap();
        run(std::process::Command::new("mkfifo").arg(folder.path().join("pipe.vhdx")));
    }
    folder
}

#[test]
fn images_are_found_by_content_and_nothing_else_is_touched() {
    let folder = mixed();
    let mut found = BTreeSet::new();
    find(folder.path(), &mut |item| match item {
        Discovery::Image(path) => {
            let inside = path.strip_prefix(folder.path()).unwrap().to_str().unwrap();
            found.insert(inside.replace(std::path::MAIN_SEPARATOR, "/"));
        }
        Discovery::Failed(path, error) => panic!("{}: {error}", path.display()),
    });
    assert_eq!(found, ["cut.vhdx", "deep/er/renamed.txt", "demo"].map(str::to_owned).into());
    let mut failed = Vec::new();
    find(Path::new("/no/such/folder"), &mut |item| failed.push(format!("{item:?}")));
    assert!(failed.len() == 1 && failed[0].contains("Failed"), "{failed:?}");
}

#[test]
fn a_damaged_image_does_not_stop_the_rest() {
    let folder = mixed();
    let (code, text, _) = outcome(&vhdmount().args(["capacity", "-r"]).arg(folder.path()).output().unwrap());
    assert_eq!(code, Some(2));
    let demo = format!("{}demo", std::path::MAIN_SEPARATOR);
    for part in ["2 disks", "renamed.txt", &demo, "ERROR", "cut.vhdx"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let (code, json, _) =
        outcome(&vhdmount().args(["capacity", "--json", "-r"]).arg(folder.path()).output().unwrap());
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, json["host_volumes"][0]["disks"].as_array().unwrap().len()), (Some(2), 2));
    assert!(json["errors"][0]["image"].as_str().unwrap().ends_with("cut.vhdx"), "{json}");
    assert_eq!(json["host_volumes"][0]["disks"][0]["virtual_size"], 8 * MIB);
}

#[test]
fn one_image_alone_is_reported_as_ever() {
    let folder = scratch();
    let image = unpack(folder.path());
    let text = outcome(&run(vhdmount().arg("capacity").arg(&image))).1;
    assert!(
        text.starts_with("# 64.0 GiB promised") && toml::from_str::<toml::Value>(&text).is_ok(),
        "{text}"
    );
}

#[test]
fn json_has_one_shape_for_one_image_and_for_many() {
    let folder = scratch();
    let image = unpack(folder.path());
    let json = |command: &mut std::process::Command| -> Value {
        serde_json::from_slice(&command.output().unwrap().stdout).unwrap()
    };
    let one = json(vhdmount().args(["capacity", "--json"]).arg(&image));
    let many = json(vhdmount().args(["capacity", "--json", "-r"]).arg(folder.path()));
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(one["schema"], "capacity/1");
    assert_eq!(keys(&one), keys(&many));
    assert_eq!(keys(only_disk(&one)), keys(only_disk(&many)));
    assert_eq!(only_disk(&one)["virtual_size"], 64_u64 << 30);
    let gone = folder.path().join("gone.vhdx");
    let (code, text, error) = outcome(&vhdmount().args(["capacity", "--json"]).arg(&gone).output().unwrap());
    let none: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, none["errors"].as_array().unwrap().len()), (Some(2), 1));
    // `ok` would say that the disk can be backed.
    assert!(none["status"].is_null() && none["host_volumes"] == serde_json::json!([]), "{none}");
    assert_eq!(error.matches("gone.vhdx").count(), 1, "{error}");
}

#[test]
fn monitoring_gets_its_exit_codes_and_performance_data() {
    let folder = scratch();
    let image = unpack(folder.path());
    let cut = folder.path().join("cut.vhdx");
    std::fs::write(&cut, &support::demo::image()[..2 << 20]).unwrap();
    let check = |images: &[&Path], arguments: &[&str]| {
        outcome(&vhdmount().arg("capacity").args(images).args(arguments).output().unwrap())
    };
    let (image, cut) = (image.as_path(), cut.as_path());
    // 64 GiB are promised: far above or below whatever this host has.
    for (images, arguments, code, part) in [
        (&[image][..], &["--warn", "0", "--crit", "0"][..], 0, "VHDMOUNT OK: "),
        (&[image], &["--warn", "0%"], 0, "VHDMOUNT OK: "),
        (&[image, cut], &["--warn", "0"], 3, "UNKNOWN: "),
        (&[Path::new("/no/such.vhdx")], &["--crit", "5GiB"], 3, "/no/such.vhdx"),
        (&[image], &["--warn", "101%"], 3, ""),
        (&[], &["--warn", "1%"], 3, ""),
    ] {
        let (got, text, stderr) = check(images, arguments);
        assert_eq!(got, Some(code), "{arguments:?}\n{text}{stderr}");
        assert!(text.contains(part), "{part} in {text}");
    }
    let (_, text, _) = check(&[image], &["--warn", "20%", "--crit", "5GiB"]);
    let (line, performance) = text.lines().next().unwrap().split_once(" | ").unwrap();
    assert!(line.starts_with("VHDMOUNT "), "{line}");
    let labels: Vec<_> = performance.split('\'').skip(1).step_by(2).collect();
    assert!(
        labels.len() == 4 && labels[0].ends_with("headroom") && labels[1].ends_with("covered"),
        "{labels:?}"
    );
    assert!(
        performance.contains(";;5368709120:;0") && performance.contains("%;20.00:;;0;100"),
        "{performance}"
    );
}

/// The rules of the text format, as its documentation states them.
#[cfg(unix)]
fn check_exposition(text: &str) -> usize {
    let (mut families, mut series, mut current) = (BTreeSet::new(), BTreeSet::new(), String::new());
    assert!(text.ends_with('\n'));
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').unwrap();
            assert!(families.insert(name.to_owned()), "{name} twice");
            assert!(!words.is_empty() && name.starts_with("vhdmount_"));
            let ends = ["_bytes", "_ratio", "_disks", "_readable"];
            assert!(ends.iter().any(|end| name.ends_with(end)), "{name} has no unit");
            assert_eq!(lines.next().unwrap(), format!("# TYPE {name} gauge"));
            current = name.to_owned();
            continue;
        }
        let (head, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = head.strip_suffix('}').unwrap().split_once('{').unwrap();
        assert_eq!(name, current);
        assert!(value == "+Inf" || value.parse::<f64>().is_ok_and(|value| value >= 0.0), "{line}");
        assert!(series.insert(head.to_owned()), "{head} twice");
        let mut rest = labels;
        while !rest.is_empty() {
            let (name, behind) = rest.split_once("=\"").unwrap();
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            let mut escaped = false;
            let end = behind.find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            let end = end.unwrap();
            assert!(!behind[..end].contains(char::is_control));
            rest = behind[end + 1..].trim_start_matches(',');
        }
    }
    series.len()
}

#[cfg(unix)]
#[test]
fn prometheus_reads_any_name() {
    use std::os::unix::ffi::OsStrExt;
    let folder = mixed();
    for name in ["quote\".vhdx", "back\\slash.vhdx", "line\nfeed.vhdx", "\u{1b}[2J.vhdx"] {
        save(folder.path(), name, &Recipe::dynamic(8 * MIB, MIB));
    }
    for odd in [b"not\xffutf8.vhdx", b"not\xfeutf8.vhdx"] {
        let path = folder.path().join(std::ffi::OsStr::from_bytes(odd));
        Recipe::dynamic(8 * MIB, MIB).build().save(&path);
    }
    let (code, text, stderr) =
        outcome(&vhdmount().args(["capacity", "--prometheus", "-r"]).arg(folder.path()).output().unwrap());
    assert_eq!(code, Some(2), "one is damaged: {stderr}");
    assert!(check_exposition(&text) > 60, "{text}");
    for part in [
        "vhdmount_achievable_bytes{image=\"",
        "quote\\\".vhdx\"",
        "back\\\\slash.vhdx\"",
        "line\\nfeed.vhdx\"",
        "not\\\\xfeutf8.vhdx\"",
        "# HELP vhdmount_host_overcommitment_ratio ",
        "cut.vhdx\"} 0",
        "volume=\"p3\",label=\"Windows\",filesystem=\"ntfs\"",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}
