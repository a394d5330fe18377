//! Disks that cannot be read everywhere: every sector that opening, listing or `check` reads is made unreadable, one at a
//! time. The image still opens, the examination still ends with a result, and all else reads as before; a sector that
//! has no copy costs what only it says.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    sync::{Arc, Mutex},
};

use vhdmount::{
    bytes::{ByteSource, Extent, MemorySource, read_vec, testing::Faulty},
    fs::{DirCursor, FileSystem, NodeId, NodeKind},
    image::{
        Image, OpenOptions,
        check::{CheckOptions, check_source},
    },
};

use crate::{
    mutation::{convert, fat, gpt_disk, mbr_disk, ntfs, read},
    support::{have, scratch},
};

const SECTOR: u64 = 512;

/// Notes which sectors are read.
struct Recorder {
    inner: Arc<dyn ByteSource>,
    sectors: Mutex<BTreeSet<u64>>,
}

impl ByteSource for Recorder {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> vhdmount::Result<()> {
        if !buf.is_empty() {
            let last = (offset + buf.len() as u64 - 1) / SECTOR;
            self.sectors.lock().unwrap().extend(offset / SECTOR..=last);
        }
        self.inner.read_exact_at(offset, buf)
    }

    fn extent_at(&self, offset: u64) -> vhdmount::Result<Extent> {
        self.inner.extent_at(offset)
    }
}

/// What is seen of an image.
#[derive(Debug, Default)]
struct Seen {
    /// Number, start and size of each partition.
    partitions: Vec<(u32, u64, u64)>,
    /// Directories with an error in their listing.
    cut: BTreeSet<String>,
    /// Content by path; `None` where it cannot be read. Directories have none.
    files: BTreeMap<String, Option<Vec<u8>>>,
    /// Something was said of what is wrong.
    complaint: bool,
}

fn check_options() -> CheckOptions {
    CheckOptions { open: OpenOptions::default(), partition: None, parents: false }
}

fn look(source: Arc<dyn ByteSource>) -> Result<Seen, String> {
    let image = Image::open_source(source, &OpenOptions::default()).map_err(|e| format!("open: {e}"))?;
    let info = image.info();
    let partitions = image.partitions().map(|(p, _)| (p.number, p.start, p.size)).collect();
    let complaint = !info.problems.is_empty()
        || info.layers.iter().any(|layer| !layer.problems.is_empty())
        || info.partitions.iter().any(|p| !p.volume.is_readable())
        || info.partitions.iter().any(|p| p.problems().next().is_some());
    let mut seen = Seen { partitions, complaint, ..Seen::default() };
    let tree = image.tree(None).map_err(|e| format!("tree: {e}"))?;
    walk(&tree, tree.root(), "", &mut seen);
    Ok(seen)
}

fn walk(fs: &dyn FileSystem, dir: NodeId, path: &str, seen: &mut Seen) {
    let mut entries = Vec::new();
    let listed = fs.read_dir(dir, DirCursor(0), &mut |entry| {
        // What the host has left is no matter of the image.
        if !entry.name.to_string().starts_with(".capacity") {
            entries.push((entry.name.to_string(), entry.node));
        }
        ControlFlow::Continue(())
    });
    if listed.is_err() {
        seen.cut.insert(path.to_owned());
    }
    for (name, node) in entries {
        let path = format!("{path}/{name}");
        match fs.stat(node).map(|stat| stat.kind) {
            Ok(NodeKind::Directory) => {
                seen.files.insert(path.clone(), Some(Vec::new()));
                walk(fs, node, &path, seen);
            }
            Ok(NodeKind::File) => {
                let content = fs
                    .open(node)
                    .and_then(|file| read_vec(&*file, 0, usize::try_from(file.size()).unwrap().min(200_000)));
                seen.files.insert(path, content.ok());
            }
            Ok(_) => {}
            Err(_) => drop(seen.files.insert(path, None)),
        }
    }
}

/// Makes each sector that is read unreadable in turn. `sole`: those without which the image cannot be opened, by offset.
fn survives(name: &str, image: Vec<u8>, sole: &dyn Fn(u64) -> bool) {
    let image: Arc<dyn ByteSource> = Arc::new(MemorySource(image));
    let recorder = Arc::new(Recorder { inner: image.clone(), sectors: Mutex::default() });
    let whole = look(recorder.clone()).expect("the image opens");
    check_source(recorder.clone(), &check_options(), &mut |_| {}).expect("the image can be examined");
    let sectors = recorder.sectors.lock().unwrap().clone();
    let mut failures = Vec::new();
    let mut silent = 0;
    for sector in &sectors {
        let offset = sector * SECTOR;
        let range = offset..offset + SECTOR;
        let bad: Arc<dyn ByteSource> = Arc::new(Faulty::new(image.clone(), Vec::from([range])));
        let mut fail = |text: String| failures.push(format!("{offset:#x}: {text}"));
        let examined = check_source(bad.clone(), &check_options(), &mut |_| {});
        match &examined {
            Ok(found) => {
                silent += u32::from(found.counts.errors + found.counts.warnings + found.counts.notes == 0)
            }
            Err(error) => fail(format!("check: {error}")),
        }
        let is_sole = sole(offset);
        match look(bad) {
            Err(_) if is_sole => {}
            Err(error) => fail(error),
            Ok(seen) if is_sole && seen.partitions != whole.partitions => {}
            Ok(seen) => compare(&whole, &seen, &mut fail),
        }
    }
    println!("{name}: {} sectors, {silent} of them without a finding", sectors.len());
    assert!(failures.is_empty(), "{name}: {} failures:\n{}", failures.len(), failures.join("\n"));
}

/// All that is seen is as it was, and what is not seen any more is missed by a directory that says so.
fn compare(whole: &Seen, seen: &Seen, fail: &mut dyn FnMut(String)) {
    if whole.partitions != seen.partitions {
        fail(format!("partitions {:?}", seen.partitions));
    }
    let mut lost = 0;
    for (path, content) in &whole.files {
        match (content, seen.files.get(path)) {
            (Some(content), Some(Some(found))) if content != found => fail(format!("{path}: other content")),
            (_, Some(found)) => lost += usize::from(found.is_none() && content.is_some()),
            (_, None) => {
                let said = |path: &str| seen.cut.contains(path) || matches!(seen.files.get(path), Some(None));
                let mut parents = path.match_indices('/').map(|(at, _)| &path[..at]);
                if !parents.any(said) && !seen.complaint {
                    fail(format!("{path}: is missing without a word"));
                }
                lost += 1;
            }
        }
    }
    if lost > 2 && !seen.complaint && seen.cut.is_empty() {
        fail(format!("{lost} files are lost"));
    }
    // Where the root is lost, the orphans are listed instead.
    let is_new = |path: &&String| !whole.files.contains_key(*path) && !path.contains("/.orphans");
    if let Some(path) = seen.files.keys().find(is_new) {
        fail(format!("{path}: was not there before"));
    }
}

#[test]
fn fat_volumes_survive_any_unreadable_sector() {
    if have(&["mkfs.fat", "mmd", "mcopy", "mdel", "mdeltree"]) {
        let folder = scratch();
        survives("FAT12", read(&fat(folder.path(), "12", "1440")), &|_| false);
        survives("FAT32", read(&fat(folder.path(), "32", "34000")), &|_| false);
    }
}

#[test]
fn ntfs_volume_survives_any_unreadable_sector() {
    if have(&["mkntfs", "ntfscp", "ntfscat"]) {
        survives("NTFS", read(&ntfs(scratch().path())), &|_| false);
    }
}

#[test]
fn partition_tables_survive_any_unreadable_sector() {
    if have(&["mkfs.fat", "mmd", "mcopy", "mdel", "mdeltree", "sgdisk"]) {
        let folder = scratch();
        let volume = read(&fat(folder.path(), "12", "1440"));
        // Nothing else says what an MBR and its extended boot record say.
        survives("MBR", mbr_disk(&volume), &|at| at == 0 || at == 3 << 20);
        survives("GPT", gpt_disk(folder.path(), &volume), &|_| false);
    }
}

#[test]
fn containers_survive_any_unreadable_sector() {
    if have(&["mkfs.fat", "mmd", "mcopy", "mdel", "mdeltree", "qemu-img"]) {
        let folder = scratch();
        let volume = fat(folder.path(), "12", "1440");
        let fixed = convert(&volume, "vpc", "subformat=fixed,force_size=on");
        // Without its only footer a fixed VHD is a raw disk that is one sector larger.
        let footer = fixed.len() as u64 - SECTOR;
        survives("fixed VHD", fixed, &|at| at == footer);
        // The header and the block table exist once.
        let dynamic = convert(&volume, "vpc", "subformat=dynamic,force_size=on");
        survives("dynamic VHD", dynamic, &|at| (512..2048).contains(&at));
        let vhdx = convert(&volume, "vhdx", "subformat=dynamic,block_size=1M");
        // So do the metadata: the first sector of their table, and that of the items.
        let table = vhdx.windows(8).position(|bytes| bytes == b"metadata").expect("a metadata table") as u64;
        survives("dynamic VHDX", vhdx, &|at| at == table || at == table + (64 << 10));
    }
}
