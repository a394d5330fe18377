//! Partition tables and the recognition of volumes, compared with sgdisk, partx (libblkid), The Sleuth Kit's mmls and
//! what mkfs made.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use vhdmount::{
    bytes::{ByteSource, FileSource},
    fs::{Options, probe::Probe},
    image::probe,
    partition::{Scheme, Table, scan},
};

use crate::support::{
    boot_record::{put_record, write_at},
    corpus::catalog,
    have, run, scratch, skip, tool,
};

fn open(path: &Path) -> Arc<dyn ByteSource> {
    Arc::new(FileSource::open(path).expect("the image opens"))
}

fn scan_file(path: &Path) -> Table {
    scan(&open(path), None).expect("the first sector is readable")
}

/// A sparse file.
fn image(folder: &Path, name: &str, size: u64) -> PathBuf {
    let path = folder.join(name);
    File::create(&path).and_then(|file| file.set_len(size)).expect("space for the image");
    path
}

fn stdout(command: &mut std::process::Command) -> String {
    String::from_utf8_lossy(&run(command).stdout).into_owned()
}

/// Number, start and size in bytes, type and identifier of each partition, as libblkid reads them.
fn partx(path: &Path, sector_size: u32) -> Vec<(u32, u64, u64, String, String)> {
    let columns = "NR,START,SECTORS,TYPE,UUID";
    let list = stdout(tool("partx").args(["-rg", "-o", columns, "-S", &sector_size.to_string()]).arg(path));
    let rows = list.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    rows.map(|row| {
        let number = |index: usize| row[index].parse::<u64>().expect("a number");
        let kind = row[3].strip_prefix("0x").map_or_else(|| row[3].to_owned(), |hex| format!("{hex:0>2}"));
        // Whatever the sector size, libblkid counts in 512 bytes.
        let place = (number(1) * 512, number(2) * 512);
        (u32::try_from(number(0)).expect("few"), place.0, place.1, kind, row[4].to_owned())
    })
    // An extended partition is no volume: not listed here.
    .filter(|row| !["05", "0f", "85"].contains(&row.3.as_str()))
    .collect()
}

fn disk_id(table: &Table) -> String {
    table.disk_id.map(|id| id.to_string()).unwrap_or_default()
}

fn assert_like_partx(path: &Path, table: &Table) {
    let ours = table.partitions.iter().map(|p| {
        let id = match table.scheme {
            Scheme::Gpt => p.id.map(|id| id.to_string()).unwrap_or_default(),
            _ => format!("{}-{:02x}", disk_id(table), p.number),
        };
        (p.number, p.start, p.size, p.type_id.map(|id| id.to_string()).unwrap_or_default(), id)
    });
    assert_eq!(ours.collect::<Vec<_>>(), partx(path, table.sector_size), "{}", path.display());
}

/// First sector and sectors of each partition, by place, as The Sleuth Kit reads them; `None` if it finds no table.
fn mmls(path: &Path) -> Option<Vec<(u64, u64)>> {
    let output = tool("mmls").arg(path).output().expect("mmls runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let rows = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let rows = rows.filter(|row| {
        row.len() > 4 && row[1].starts_with(|c: char| c.is_ascii_digit()) && row[0].ends_with(':')
    });
    let places = rows.map(|row| (row[2].parse().expect("a sector"), row[4].parse().expect("sectors")));
    let mut places: Vec<_> = places.collect();
    places.sort_unstable();
    output.status.success().then_some(places)
}

fn places(table: &Table) -> Vec<(u64, u64)> {
    let sector = u64::from(table.sector_size);
    let mut places: Vec<_> = table.partitions.iter().map(|p| (p.start / sector, p.size / sector)).collect();
    places.sort_unstable();
    places
}

#[test]
fn gpt_of_sgdisk_is_read_as_sgdisk_reads_it() {
    if !have(&["sgdisk", "partx", "mmls"]) {
        return;
    }
    let folder = scratch();
    let path = image(folder.path(), "gpt.img", 256 << 20);
    // Gaps in the numbers, an entry past the 128th, every type of interest, names beyond ASCII, attributes.
    run(tool("sgdisk").arg("-S").arg("256").arg(&path));
    let types = [
        ("1", "ef00", "EFI system partition"),
        ("2", "0c01", "Microsoft reserved"),
        ("3", "0700", "Microsoft basic data"),
        ("5", "2700", "Windows recovery environment"),
        ("6", "4200", "LDM data"),
        ("7", "4201", "LDM metadata"),
        ("8", "8200", "Linux swap"),
        ("9", "8300", "Linux filesystem"),
        ("10", "8e00", "Linux LVM"),
        ("11", "fd00", "Linux RAID"),
        ("12", "8302", "Linux home"),
        ("13", "8304", "Linux root (x86-64)"),
        ("14", "af00", "Apple HFS+"),
        ("15", "ef02", "BIOS boot"),
        ("16", "7f00", "ChromeOS kernel"),
        ("200", "bf01", "ZFS"),
    ];
    for (number, code, name) in types {
        let new = format!("{number}:0:+4M");
        let (kind, label) = (format!("{number}:{code}"), format!("{number}:Größe {name}"));
        run(tool("sgdisk").args(["-n", &new, "-t", &kind, "-c", &label]).arg(&path));
    }
    run(tool("sgdisk").args(["-A", "5:set:0", "-A", "5:set:63", "-A", "3:set:60"]).arg(&path));
    let table = scan_file(&path);
    assert_eq!(
        (table.scheme, table.sector_size, table.problems.len()),
        (Scheme::Gpt, 512, 0),
        "{:?}",
        table.problems
    );
    assert_like_partx(&path, &table);
    assert_eq!(Some(places(&table)), mmls(&path));
    for (partition, (number, _, name)) in table.partitions.iter().zip(types) {
        assert_eq!((partition.number.to_string().as_str(), partition.type_name.as_str()), (number, name));
        assert_eq!(partition.name, format!("Größe {name}"));
        assert!(partition.problems.is_empty(), "{:?}", partition.problems);
        assert_eq!(partition.esp, number == "1");
        let said = stdout(tool("sgdisk").args(["-i", number]).arg(&path)).to_lowercase();
        for value in [
            format!("guid code: {} ", partition.type_id.expect("a GUID")),
            format!("unique guid: {}\n", partition.id.expect("a GUID")),
            format!("first sector: {} ", partition.start / 512),
            format!("size: {} sectors", partition.size / 512),
            format!("attribute flags: {:016x}\n", partition.attributes),
        ] {
            assert!(said.contains(&value), "{value} is not in\n{said}");
        }
    }
    assert_eq!(table.partitions[3].attribute_names(), ["required", "no drive letter"]);
    let disk = stdout(tool("sgdisk").arg("-p").arg(&path)).to_lowercase();
    assert!(disk.contains(&format!("(guid): {}\n", disk_id(&table))), "{disk}");
}

#[test]
fn what_sgdisk_calls_a_problem_is_one() {
    if !have(&["sgdisk"]) {
        return;
    }
    let folder = scratch();
    let make = |name: &str, size: u64| {
        let path = image(folder.path(), name, size);
        run(tool("sgdisk").args(["-n", "1:0:+4M", "-n", "2:0:+8M"]).arg(&path));
        path
    };
    let size = 64 << 20;
    let whole = places(&scan_file(&make("whole.img", size)));
    // Header and array, first of the primary, then of the backup at the end.
    for (offset, backup_used) in
        [(512 + 60, true), (1024 + 40, true), (size - 512 + 60, false), (size - 33 * 512 + 40, false)]
    {
        let path = make("damaged.img", size);
        write_at(&path, offset, &[0x5a; 4]);
        let table = scan_file(&path);
        assert_eq!((table.scheme, places(&table)), (Scheme::Gpt, whole.clone()));
        let said = table.problems.iter().map(|problem| format!("{problem}\n")).collect::<String>();
        assert!(said.contains("wrong checksum"), "{said}");
        assert_eq!(said.contains("the backup GUID partition table is used"), backup_used, "{said}");
    }
    // The boot area wiped up to the first partition, as `dd if=/dev/zero bs=1M count=1` does.
    let path = make("wiped.img", size);
    write_at(&path, 0, &vec![0; 1 << 20]);
    assert_eq!(places(&scan_file(&path)), whole);
    // An enlarged disk.
    let path = make("grown.img", size);
    File::options().write(true).open(&path).and_then(|file| file.set_len(2 * size)).expect("space");
    let table = scan_file(&path);
    assert_eq!((places(&table), table.problems.len()), (whole, 1), "{:?}", table.problems);
    // A hybrid MBR, made by sgdisk.
    let path = make("hybrid.img", size);
    run(tool("sgdisk").args(["-h", "2"]).arg(&path));
    let table = scan_file(&path);
    assert!(table.scheme == Scheme::Gpt && table.problems[0].text.contains("hybrid"), "{:?}", table.problems);
    // Turned into an MBR disk: its GPT is gone or not in use.
    run(tool("sgdisk").args(["-m", "1:2"]).arg(&path));
    let table = scan_file(&path);
    assert_eq!((table.scheme, table.partitions.len()), (Scheme::Mbr, 2));
}

#[test]
fn gpt_on_a_device_with_4096_byte_sectors_is_read() {
    if !have(&["sgdisk", "losetup", "partx"]) {
        return;
    }
    let folder = scratch();
    let path = image(folder.path(), "4k.img", 256 << 20);
    let attached =
        tool("losetup").args(["-f", "--show", "-b", "4096"]).arg(&path).output().expect("losetup runs");
    if !attached.status.success() {
        skip("no loop device can be attached here");
        return;
    }
    let device = String::from_utf8_lossy(&attached.stdout).trim().to_owned();
    let made = tool("sgdisk").args(["-n", "1:0:+16M", "-t", "1:ef00", "-n", "2:0:0"]).arg(&device).output();
    run(tool("losetup").args(["-d", &device]));
    let made = made.expect("sgdisk runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
    let table = scan_file(&path);
    assert_eq!((table.scheme, table.sector_size, table.problems.len()), (Scheme::Gpt, 4096, 0));
    assert_eq!((table.partitions.len(), table.partitions[0].start), (2, 1 << 20));
    assert_like_partx(&path, &table);
}

#[test]
fn mbr_with_logical_partitions_is_numbered_as_linux_does() {
    if !have(&["partx", "mmls"]) {
        return;
    }
    let folder = scratch();
    let path = image(folder.path(), "mbr.img", 64 << 20);
    write_at(&path, 440, &0xdead_beef_u32.to_le_bytes());
    put_record(
        &path,
        0,
        &[(0x80, 0x07, 2048, 2048), (0, 0xef, 4096, 1000), (0, 0x0f, 10_000, 60_000), (0, 0x82, 80_000, 100)],
    );
    // The second of four records has no partition, only a link: it takes no number.
    put_record(&path, 10_000, &[(0, 0x83, 63, 2000), (0, 0x05, 5000, 5000)]);
    put_record(&path, 15_000, &[(0, 0, 0, 0), (0, 0x05, 10_000, 5000)]);
    put_record(&path, 20_000, &[(0, 0x0b, 1, 4000), (0, 0x05, 20_000, 5000)]);
    put_record(&path, 30_000, &[(0, 0x8e, 2048, 2000)]);
    let table = scan_file(&path);
    let numbers: Vec<_> = table.partitions.iter().map(|partition| partition.number).collect();
    assert_eq!((table.scheme, numbers), (Scheme::Mbr, vec![1, 2, 4, 5, 6, 7]));
    assert!(table.partitions[1].esp);
    assert_like_partx(&path, &table);
    assert_eq!(Some(places(&table)), mmls(&path));
}

/// The type of the volume in that range, empty if libblkid knows none.
fn blkid(path: &Path, start: u64, size: u64) -> String {
    let range = ["-O".to_owned(), start.to_string(), "-S".to_owned(), size.to_string()];
    let output = tool("blkid").args(["-p", "-o", "value", "-s", "TYPE"]).args(range).arg(path).output();
    String::from_utf8_lossy(&output.expect("blkid runs").stdout).trim().to_owned()
}

#[test]
fn corpus_disks_have_the_tables_and_volumes_that_others_find() {
    if !have(&["mmls", "partx", "blkid", "qemu-img"]) {
        return;
    }
    let Some(entries) = catalog() else { return };
    let mut wrong = Vec::new();
    let mut named = 0;
    for entry in entries.iter().filter(|entry| ["raw", "vhdx-dynamic"].contains(&entry.container.as_str())) {
        let (id, folder) = (&entry.id, scratch());
        let mut path = entry.unpack(folder.path());
        if entry.container != "raw" {
            let raw = folder.path().join("raw");
            run(tool("qemu-img").args(["convert", "-O", "raw"]).arg(&path).arg(&raw));
            path = raw;
        }
        let path = path.as_path();
        let disk = open(path);
        let table = scan(&disk, None).expect("the first sector is readable");
        // Nothing is said of those that are damaged on purpose.
        let whole = entry.filesystems.first().map(|(volume, _)| volume == "p0");
        if whole.is_some_and(|whole| whole != (table.scheme == Scheme::None)) {
            wrong.push(format!("{id}: {:?}, not {:?}", table.scheme, entry.filesystems));
        }
        if table.scheme != Scheme::None {
            assert_like_partx(path, &table);
            assert_eq!(Some(places(&table)), mmls(path), "{id}");
        }
        for partition in &table.partitions {
            let number = if table.scheme == Scheme::None { 0 } else { partition.number };
            let said = entry.filesystems.iter().find(|(volume, _)| *volume == format!("p{number}"));
            let said = said.map(|(_, filesystem)| filesystem.as_str());
            let volume: Arc<dyn ByteSource> = Arc::new(partition.window(&disk));
            let found = match probe(&volume, &Options::default()).expect("the volume is readable") {
                Probe::Recognized { name, .. } => name,
                Probe::Unformatted => "unformatted",
                Probe::Readable(_) | Probe::Damaged { .. } | Probe::Unknown => continue,
            };
            named += 1;
            // The catalog has what could be read; libblkid knows the signatures.
            let blkid = blkid(path, partition.start, volume.size());
            let same = |name: &str| name.eq_ignore_ascii_case(found.trim_start_matches("Linux "));
            if !(said.is_some_and(same) || same(&blkid) || blkid.is_empty() && found == "unformatted") {
                wrong.push(format!("{id}: p{number} is {found}, not {said:?} or {blkid}"));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
    assert!(named > 20, "only {named} volumes were named");
}

#[test]
fn filesystems_without_a_reader_are_named_as_mkfs_made_them() {
    let folder = scratch();
    let cases: [(&str, &[&str], u64, &str); 12] = [
        ("mkfs.ext2", &["-q"], 8, "ext2"),
        ("mkfs.ext3", &["-q"], 8, "ext3"),
        ("mkfs.ext4", &["-q"], 8, "ext4"),
        ("mkfs.ext4", &["-q", "-b", "4096", "-O", "^has_journal"], 8, "ext4"),
        ("mkfs.ext4", &["-q", "-b", "1024", "-O", "journal_dev"], 8, "ext journal"),
        ("mkfs.exfat", &[], 8, "exFAT"),
        ("mkfs.xfs", &["-q"], 400, "xfs"),
        ("mkfs.btrfs", &["-q"], 200, "btrfs"),
        ("mkswap", &[], 8, "Linux swap"),
        ("mkswap", &["-p", "65536"], 8, "Linux swap"),
        ("mkfs.cramfs", &[], 0, "cramfs"),
        ("true", &[], 8, "unformatted"),
    ];
    for (program, arguments, mib, name) in cases {
        if !have(&[program]) {
            continue;
        }
        let path = image(folder.path(), name, mib << 20);
        if mib == 0 {
            std::fs::create_dir(folder.path().join("tree")).expect("an empty folder");
            run(tool(program).arg(folder.path().join("tree")).arg(&path));
        } else {
            run(tool(program).args(arguments).arg(&path));
        }
        let disk = open(&path);
        let table = scan(&disk, None).expect("the first sector is readable");
        assert_eq!((table.scheme, table.partitions.len()), (Scheme::None, 1), "{program}");
        match probe(&disk, &Options::default()).expect("the volume is readable") {
            Probe::Recognized { name: found, .. } => assert_eq!(found, name, "{program}"),
            Probe::Unformatted => assert_eq!(name, "unformatted", "{program}"),
            _ => panic!("{program} {arguments:?}: {name} is not recognized"),
        }
    }
}

#[test]
fn volumes_of_mkfs_without_a_table_are_no_partition_tables() {
    if !have(&["mkntfs", "mkfs.fat"]) {
        return;
    }
    let folder = scratch();
    let cases: [(&str, &[&str], u64); 6] = [
        ("mkfs.fat", &["-F12"], 1),
        ("mkfs.fat", &["-F16"], 32),
        ("mkfs.fat", &["-F32"], 64),
        ("mkfs.fat", &["-S4096"], 64),
        ("mkntfs", &["-qQF"], 16),
        ("mkntfs", &["-qQF", "-s4096"], 64),
    ];
    for (program, arguments, mib) in cases {
        let path = image(folder.path(), "volume.img", mib << 20);
        run(tool(program).args(arguments).arg(&path));
        let table = scan_file(&path);
        assert_eq!(table.scheme, Scheme::None, "{program} {arguments:?}");
        assert_eq!((table.partitions[0].number, table.partitions[0].size), (1, mib << 20));
    }
}

#[test]
fn ntfs_without_its_boot_sector_is_opened_by_the_backup() {
    if !have(&["mkntfs"]) {
        return;
    }
    let folder = scratch();
    for sector in ["-s512", "-s4096"] {
        let path = image(folder.path(), "volume.img", 64 << 20);
        run(tool("mkntfs").args(["-qQF", sector]).arg(&path));
        for damage in [[0; 512], [0xa7; 512]] {
            write_at(&path, 0, &damage);
            let disk = open(&path);
            let content = probe(&disk, &Options::default()).expect("the volume is readable");
            assert!(matches!(content, Probe::Readable(_)), "{sector} {}", damage[0]);
        }
        // Formatted anew: the old backup does not count.
        write_at(&path, 1024 + 56, &[0x53, 0xef]);
        let content = probe(&open(&path), &Options::default()).expect("the volume is readable");
        assert!(matches!(content, Probe::Recognized { name: "ext2", .. }), "{sector}");
    }
}
