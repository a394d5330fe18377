//! `vhdmount map`: the picture's sums are the report's, and its files are what other programs take them for.

use std::{path::Path, process::Command, sync::Arc};

use vhdmount::{
    Result,
    bytes::FileSource,
    host::{Host, HostSpace},
    image::{Image, OpenOptions},
    map::{Class, Map, Style},
};

use crate::support::{
    self,
    demo::{outcome, unpack, vhdmount},
    run, scratch, vhdx_writer,
    vhdx_writer::{Block, MIB, Recipe},
};

fn open(path: &Path) -> Image {
    Image::open(path, &OpenOptions::default()).unwrap()
}

/// A host that can back every disk, and on which files have no holes: on every system the picture is the same.
struct Ample;

impl Host for Ample {
    fn space(&self, file: &FileSource) -> Result<HostSpace> {
        let size = file.file().metadata().unwrap().len();
        Ok(HostSpace { file_size: size, allocated: size, free: 1 << 50, ..HostSpace::default() })
    }
}

fn stored(map: &Map, class: Class) -> u64 {
    map.disk.cells().iter().map(|cell| cell.stored(class)).sum()
}

#[test]
fn sums_of_the_picture_are_the_figures_of_the_report() {
    let folder = scratch();
    let image = open(&unpack(folder.path()));
    let map = Map::of(&image, 1000).unwrap();
    assert_eq!(stored(&map, Class::Backed), map.report.backed);
    assert_eq!(Class::ALL.iter().map(|class| stored(&map, *class)).sum::<u64>(), 64 << 30);
    let free: u64 = map.report.volumes.iter().map(|volume| volume.free_reported).sum();
    assert_eq!(map.disk.cells().iter().map(|cell| cell.free).sum::<u64>(), free);
    // The reserved partition and what lies between partitions belong to no filesystem.
    let known: u64 = map.disk.cells().iter().map(|cell| cell.used + cell.free).sum();
    let readable: u64 =
        [0, 2].iter().map(|index| map.partitions[*index].range.clone()).map(|r| r.end - r.start).sum();
    assert!(known <= readable && known > readable - MIB, "{known} of {readable}");
    for (strip, span) in map.strips.iter().zip(&map.partitions) {
        let all: u64 = strip.cells.cells().iter().map(vhdmount::map::Cell::size).sum();
        assert_eq!((&strip.name, all), (&span.name, span.range.end - span.range.start));
    }
}

#[test]
fn a_chain_shows_what_is_whose() {
    let folder = scratch();
    let full = |seed| Block::Full(vhdx_writer::pattern(MIB, seed));
    let base = Recipe::dynamic(8 * MIB, MIB).block(0, full(1)).block(1, full(2)).block(2, full(3));
    base.build().save(&folder.path().join("base.vhdx"));
    let child = Recipe::differencing(8 * MIB, MIB, base.data_write_guid, "base.vhdx");
    let child = child.block(1, full(4)).block(2, Block::State(vhdx_writer::ZERO)).block(5, full(5));
    let path = folder.path().join("child.avhdx");
    child.build().save(&path);
    let mut options = OpenOptions::default();
    options.container.host = Arc::new(Ample);
    let map = Map::of(&Image::open(&path, &options).unwrap(), 8).unwrap();
    let found = [Class::Backed, Class::Parent, Class::Zero, Class::Absent].map(|class| stored(&map, class));
    assert_eq!(found.map(|bytes| bytes / MIB), [2, 1, 1, 4]);
    let text = map.to_text(Style { width: 40, colour: false });
    assert!(text.contains("blocks  ≡█0··█··"), "{text}");
}

#[test]
fn pictures_are_what_other_programs_read() {
    let folder = scratch();
    let image = unpack(folder.path());
    let (svg, png) = (folder.path().join("map.svg"), folder.path().join("map.png"));
    run(vhdmount().arg("map").arg(&image).arg("--svg").arg(&svg).arg("--png").arg(&png));
    let text = std::fs::read_to_string(&svg).unwrap();
    for part in ["demo.vhdx", "p3 Windows", "64.0 GiB promised", "EFI system partition", "out of", "<title>"]
    {
        assert!(text.contains(part), "{part}");
    }
    let head = std::fs::read(&png).unwrap();
    assert!(head.starts_with(b"\x89PNG\r\n\x1a\n"));
    if support::have(&["python3"]) {
        let script = "import sys, xml.dom.minidom as m; d = m.parse(sys.argv[1]); print(len(d.getElementsByTagName('rect')))";
        let parsed = outcome(&run(Command::new("python3").args(["-c", script]).arg(&svg))).1;
        assert!(parsed.trim().parse::<u32>().unwrap() > 20, "{parsed}");
    }
    // To standard output, one after the other.
    let both = run(vhdmount().arg("map").arg(&image).args(["--svg", "-"])).stdout;
    assert!(both.starts_with(b"<?xml"));
}

#[test]
fn a_picture_never_goes_over_the_image() {
    let folder = scratch();
    let image = unpack(folder.path());
    let before = support::sha256(&std::fs::read(&image).unwrap());
    let link = folder.path().join("other.png");
    std::fs::hard_link(&image, &link).unwrap();
    let link = folder.path().join("link.svg");
    #[cfg(unix)]
    std::os::unix::fs::symlink("demo.vhdx", link).unwrap();
    #[cfg(not(unix))]
    std::fs::hard_link(&image, link).unwrap();
    for arguments in [["--png", "other.png"], ["--svg", "demo.vhdx"], ["--svg", "link.svg"], ["--png", "."]] {
        let mut command = vhdmount();
        let output =
            command.current_dir(folder.path()).arg("map").arg(&image).args(arguments).output().unwrap();
        let (code, _, stderr) = outcome(&output);
        assert_eq!(code, Some(1), "{arguments:?}: {stderr}");
    }
    assert_eq!(support::sha256(&std::fs::read(&image).unwrap()), before);
}

#[test]
fn text_fits_any_width_and_is_plain_unless_colour_is_wanted() {
    let folder = scratch();
    let image = unpack(folder.path());
    let map = |arguments: &[&str]| outcome(&run(vhdmount().arg("map").arg(&image).args(arguments))).1;
    for width in [24_usize, 40, 80, 200] {
        let text = map(&["--width", &width.to_string()]);
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= width, "{widest} of {width}:\n{text}");
        assert!(!text.contains('\u{1b}'));
    }
    assert!(map(&["--color", "always"]).contains("\u{1b}[38;5;"));
    let forced = run(vhdmount().arg("map").arg(&image).env("NO_COLOR", "1")).stdout;
    assert!(!forced.contains(&0x1b));
}

#[test]
fn the_largest_disk_is_drawn_in_bounded_memory() {
    let folder = scratch();
    let mut recipe = Recipe::dynamic(64 << 40, MIB);
    for number in (0..64).map(|tib| tib << 20).chain([(64 << 20) - 1]) {
        recipe = recipe.block(number, Block::Full(vec![7]));
    }
    let path = folder.path().join("huge.vhdx");
    recipe.build().save(&path);
    let map = Map::of(&open(&path), 1060).unwrap();
    assert_eq!(map.disk.cells().len(), 1060);
    assert_eq!(stored(&map, Class::Backed) + stored(&map, Class::Hole) + stored(&map, Class::OutOfReach), {
        (64 << 40) - stored(&map, Class::Absent)
    });
    assert!(map.line.is_none_or(|line| line < 64 << 40));
    let (svg, png) = (map.draw("").to_svg(), map.draw("").to_png().unwrap());
    assert!(svg.len() < 2 << 20 && png.len() < 2 << 20, "{} {}", svg.len(), png.len());
}

#[test]
fn hostile_labels_stay_text() {
    let folder = scratch();
    let mut image = support::demo::image();
    // The FAT label, in the boot sector and in the root directory.
    let label: &[u8; 11] = b"SYSTEM     ";
    let mut at = 0;
    let mut changed = 0;
    while let Some(found) = image[at..].windows(11).position(|window| window == label) {
        image[at + found..at + found + 11].copy_from_slice(b"<&\"\x1b[2J'>--");
        at += found + 11;
        changed += 1;
    }
    assert!(changed >= 1);
    // Windows takes no such name: there can be none to draw.
    let (tag, shown) = if cfg!(windows) { ("b", "b") } else { ("<b>", "&lt;b&gt;") };
    let path = folder.path().join(format!("{tag}&\u{202e}.vhdx"));
    std::fs::write(&path, image).unwrap();
    let svg = String::from_utf8(run(vhdmount().arg("map").arg(&path).args(["--svg", "-"])).stdout).unwrap();
    assert!(svg.contains(&format!("{shown}&amp;\u{fffd}.vhdx")), "{svg:.3000}");
    assert!(!svg.contains("<b>") && !svg.contains("<&") && !svg.contains('\u{1b}'));
    let text = outcome(&run(vhdmount().arg("map").arg(&path))).1;
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text}");
}

#[test]
fn of_many_partitions_the_largest_are_looked_at() {
    if !support::have(&["sgdisk"]) {
        return;
    }
    let folder = scratch();
    let disk = folder.path().join("disk.raw");
    std::fs::File::create(&disk).unwrap().set_len(64 * MIB).unwrap();
    let mut sgdisk = support::tool("sgdisk");
    for number in 1..=40 {
        sgdisk.arg("-n").arg(format!("{number}:0:+{}K", if number % 3 == 0 { 1024 } else { 512 }));
    }
    run(sgdisk.arg(&disk));
    let map = Map::of(&open(&disk), 500).unwrap();
    assert_eq!((map.partitions.len(), map.strips.len()), (40, 12));
    assert!(map.strips.iter().all(|strip| strip.name[1..].parse::<u32>().unwrap() % 3 == 0));
    let text = map.to_text(Style { width: 80, colour: false });
    assert!(text.contains("(the 12 largest partitions)"), "{text}");
    assert!(map.draw("").to_svg().contains("The 12 largest partitions, each at its own scale; 28 more"));
}
