//! Real images, damaged ones among them, read in process: every file on whose content other programs agree.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use vhdmount::{
    Error,
    bytes::FileSource,
    fs::{FileSystem, NameBuf, NodeId, NodeKind, Streams, probe::Probe},
    image::{
        Image, OpenOptions,
        check::{self, CheckOptions, Verdict},
    },
};

use crate::support::{
    self, conformance,
    corpus::{CatalogEntry, FileRow, catalog},
    run, scratch, sha256_source,
};

/// What is read; everything else is recognised by name at best.
const READABLE: [&str; 4] = ["ntfs", "fat12", "fat16", "fat32"];
/// Reported of one image; the rest is counted.
const MAX_REPORTED: usize = 6;

#[test]
fn every_image_reads_as_other_programs_read_it() {
    let Some(entries) = catalog() else { return };
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    let rows = AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get().min(4));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(entry) = entries.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let checked = catch_unwind(AssertUnwindSafe(|| check(entry, &entries)));
                    let problems = match checked {
                        Ok((compared, problems)) => {
                            rows.fetch_add(compared, Ordering::Relaxed);
                            problems
                        }
                        Err(panic) => {
                            let text = panic.downcast_ref::<String>().cloned();
                            let text = text.or(panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                            vec![format!("PANIC: {}", text.unwrap_or_default())]
                        }
                    };
                    if !problems.is_empty() {
                        let more = problems.len().saturating_sub(MAX_REPORTED);
                        let shown = problems.iter().take(MAX_REPORTED).map(|p| format!("\n    {p}"));
                        let more = if more > 0 { format!("\n    … {more} more") } else { String::new() };
                        let text = format!("{}{}{more}", entry.id, shown.collect::<String>());
                        failures.lock().expect("no panic while locked").push(text);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("no panic while locked");
    let rows = rows.into_inner();
    println!("{} images, {rows} rows compared, {} images with failures", entries.len(), failures.len());
    assert!(failures.is_empty(), "{} of {} images:\n{}", failures.len(), entries.len(), failures.join("\n"));
    assert!(rows > 0, "the catalog has nothing to compare");
}

/// For a run of these tests where the programs that unpack the images are not found: under Wine.
#[test]
#[ignore = "unpacks the images to VHDMOUNT_UNPACK_TO, for another run"]
fn unpacks_for_another_run() {
    let to = std::env::var_os("VHDMOUNT_UNPACK_TO").expect("VHDMOUNT_UNPACK_TO names a folder");
    for entry in catalog().unwrap_or_default() {
        let (to, folder) = (Path::new(&to).join(entry.unpacked_name()), scratch());
        std::fs::create_dir_all(&to).unwrap();
        let path = entry.unpack(folder.path());
        // Alone, wherever in an archive it was. Copied with its holes.
        run(support::tool("cp").args(["--sparse=always", "--"]).arg(&path).arg(&to));
    }
}

/// How many rows were compared, and what differs.
fn check(entry: &CatalogEntry, all: &[CatalogEntry]) -> (usize, Vec<String>) {
    let folder = scratch();
    let path = entry.unpack(folder.path());
    let mut options = options();
    if entry.container.contains("differencing") {
        // Any image of the same origin may be the parent. Some have the same name: each gets a folder.
        for (number, other) in all.iter().filter(|other| entry.is_beside(other)).enumerate() {
            let beside = folder.path().join(number.to_string());
            std::fs::create_dir(&beside).expect("scratch is writable");
            other.unpack(&beside);
            options.container.parent_dirs.push(beside);
        }
    }
    let mut problems = Vec::new();
    let opened = Image::open(&path, &options);
    problems.extend(examine(&path, &options, &opened));
    let compared = match opened {
        Err(e) if entry.container.contains("qcow2") => {
            if !e.to_string().contains("qcow2") {
                problems.push(format!("refused without the format's name: {e}"));
            }
            0
        }
        Ok(_) if entry.container.contains("qcow2") => {
            problems.push("qcow2 taken for a raw image".into());
            0
        }
        Err(e) => {
            problems.push(format!("refused: {e}"));
            0
        }
        Ok(image) => compare(entry, &image, &mut problems),
    };
    if hash(&path) != entry.sha256 {
        problems.push("THE IMAGE CHANGED".into());
    }
    (compared, problems)
}

/// An examination goes through, whatever is wrong with the image, and finds an error in what cannot be opened.
fn examine(path: &Path, options: &OpenOptions, opened: &vhdmount::Result<Image>) -> Option<String> {
    let options = CheckOptions { open: options.clone(), partition: None, parents: true };
    match (opened, check::check(path, &options, &mut |_| {})) {
        (Ok(_), Err(e)) => Some(format!("can be opened, but not examined: {e}")),
        (Err(e), Ok(found)) if matches!(e.cause(), Error::Corrupt(_)) && found.verdict != Verdict::Errors => {
            Some(format!("{e}, but the examination finds nothing"))
        }
        _ => None,
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::default();
    options.container.replay = true;
    options
}

fn hash(path: &Path) -> String {
    FileSource::open(path).and_then(|file| sha256_source(&file)).unwrap_or_else(|e| e.to_string())
}

fn compare(entry: &CatalogEntry, image: &Image, problems: &mut Vec<String>) -> usize {
    let mut compared = 0;
    let truth = entry.truth();
    for (volume, kind) in &entry.filesystems {
        // Without a table the whole disk is partition 1.
        let number = if volume == "p0" { "1" } else { &volume[1..] };
        let found = image.partitions().find(|(partition, _)| partition.number.to_string() == number);
        let state = match found {
            Some((_, Probe::Readable(fs))) => Ok(fs),
            Some((_, Probe::Damaged { name, error })) => Err(format!("{name}, damaged: {error}")),
            Some((_, Probe::Recognized { name, .. })) => Err((*name).to_owned()),
            Some((_, Probe::Unformatted)) => Err("unformatted".to_owned()),
            Some((_, Probe::Unknown)) => Err("unknown".to_owned()),
            None => Err("no such partition".to_owned()),
        };
        match (READABLE.contains(&&**kind), state) {
            (true, Ok(fs)) => {
                let here = |(v, path): &&(String, String)| v == volume && !path.is_empty();
                let directories =
                    truth.directories.iter().filter(here).map(|(_, path)| (path, NodeKind::Directory));
                let links = truth.links.iter().filter(here).map(|(_, path)| (path, NodeKind::Symlink));
                for (path, kind) in directories.chain(links) {
                    compared += 1;
                    // Programs differ in what is a link; it must be there.
                    match find(fs, path).and_then(|node| fs.stat(node)) {
                        Ok(stat) if stat.kind == kind || kind == NodeKind::Symlink => {}
                        Ok(stat) => {
                            problems.push(format!("{volume}/{path} is {:?}, not {kind:?}", stat.kind))
                        }
                        Err(e) => problems.push(format!("{volume}/{path}: {e}")),
                    }
                }
                for row in truth.files.iter().filter(|row| row.volume == *volume) {
                    compared += 1;
                    problems.extend(compare_file(fs, row, &entry.features));
                }
                // Whatever else there is reads like any volume; a failed check of it panics.
                conformance::check(&**fs);
            }
            (true, Err(state)) => {
                let wanted = truth.files.iter().filter(|row| row.volume == *volume).count();
                if wanted > 0 {
                    problems.push(format!("{volume} with {wanted} files is not readable: {state}"));
                }
            }
            (false, Ok(fs)) => {
                problems.push(format!("{volume} is {kind}, read as {}", fs.volume().filesystem))
            }
            (false, Err(_)) => {}
        }
    }
    // Volumes that the catalog does not know of, too.
    let fs = image
        .partitions()
        .filter_map(|(_, probe)| if let Probe::Readable(fs) = probe { Some(fs) } else { None });
    if entry.filesystems.is_empty() {
        fs.for_each(|fs| drop(conformance::tree_listing(&**fs)));
    }
    compared
}

fn compare_file(fs: &Arc<dyn FileSystem>, row: &FileRow, features: &str) -> Option<String> {
    let content = if row.stream {
        let (path, name) = row.path.rsplit_once(':').expect("path:stream");
        find(fs, path)
            .and_then(|node| fs.streams().lookup_stream(node, NameBuf::literal(name).as_name()))
            .and_then(|found| fs.open(found.ok_or_else(|| Error::not_found("no such stream"))?))
    } else {
        find(fs, &row.path).and_then(|node| fs.open(node))
    };
    match content.and_then(|content| sha256_source(&*content)) {
        Ok(hash) if hash == row.sha256 => None,
        Ok(_) => Some(format!("{}/{} DIFFERS", row.volume, row.path)),
        Err(Error::Unsupported(_)) if ["efs", "dedup"].iter().any(|f| features.contains(f)) => None,
        Err(e) => Some(format!("{}/{}: {e}", row.volume, row.path)),
    }
}

fn find(fs: &Arc<dyn FileSystem>, path: &str) -> vhdmount::Result<NodeId> {
    path.split('/').filter(|part| !part.is_empty()).try_fold(fs.root(), |dir, part| {
        let absent = || Error::not_found(format!("no {part}"));
        let name = NameBuf::from_text(part.as_bytes()).ok_or_else(absent)?;
        fs.lookup(dir, name.as_name())?.ok_or_else(absent)
    })
}
