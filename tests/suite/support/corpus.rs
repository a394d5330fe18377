//! Real images made by others, kept outside the project: `$VHDMOUNT_CORPUS/catalog.tsv` lists them, and beside each lies
//! what several other programs read from it.

use std::{
    ffi::OsStr,
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use flate2::read::MultiGzDecoder;

use super::{have, tool};

/// An image of the catalog.
#[derive(Debug)]
pub(crate) struct CatalogEntry {
    pub(crate) id: String,
    packed: PathBuf,
    /// The file is packed here but not at its origin.
    packed_here: bool,
    /// Its path at the origin.
    path: String,
    /// Size in bytes, unpacked.
    pub(crate) size: u64,
    pub(crate) sha256: String,
    pub(crate) container: String,
    /// Volume (`p1`; `p0` without a table) and its filesystem.
    pub(crate) filesystems: Vec<(String, String)>,
    pub(crate) features: String,
}

/// The content that other programs read.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) files: Vec<FileRow>,
    /// Volume and path.
    pub(crate) directories: Vec<(String, String)>,
    /// Volume and path; some programs report links as files.
    pub(crate) links: Vec<(String, String)>,
}

/// A file or stream on whose content at least two programs agree.
#[derive(Debug)]
pub(crate) struct FileRow {
    pub(crate) volume: String,
    /// True for `path:stream`, false for a path.
    pub(crate) stream: bool,
    pub(crate) sha256: String,
    pub(crate) path: String,
}

/// Reads the catalog; `None` (SKIPPED) without a corpus or without a program to unpack it.
pub(crate) fn catalog() -> Option<Vec<CatalogEntry>> {
    let Some(folder) = std::env::var_os("VHDMOUNT_CORPUS").map(PathBuf::from) else {
        // Not `skip`: the images are no part of the project, so missing ones are no failure.
        writeln!(std::io::stderr(), "SKIPPED: VHDMOUNT_CORPUS does not name a folder of real images")
            .expect("stderr is open");
        return None;
    };
    // Without those programs, the images may still be available, unpacked earlier.
    if unpacked().is_none() && !have(&["xz", "7z", "zstd", "tar"]) {
        return None;
    }
    let text = read_lossy(&folder.join("catalog.tsv"));
    let mut lines = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let header = lines.next().expect("the catalog has a header");
    let column = |name| header.iter().position(|field| *field == name).unwrap_or_else(|| panic!("no {name}"));
    let [id, packed, how, path, size, sha256, container, fs, features] =
        ["id", "packed", "how", "path", "size", "sha256", "container", "fs", "ntfs_features"].map(column);
    Some(
        lines
            .map(|row| {
                let filesystems = row[fs].split(',').filter_map(|part| part.split_once(':'));
                CatalogEntry {
                    id: row[id].into(),
                    packed: folder.join(row[packed]),
                    packed_here: row[how] == "xz of the file",
                    path: row[path].into(),
                    size: row[size].parse().expect("a number"),
                    sha256: row[sha256].into(),
                    container: row[container].into(),
                    filesystems: filesystems.map(|(v, f)| (v.into(), f.into())).collect(),
                    features: row[features].into(),
                }
            })
            .collect(),
    )
}

impl CatalogEntry {
    /// True when both lie in one folder: one may be the other's parent.
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
        self.id != other.id && self.packed.parent() == other.packed.parent()
    }

    /// This image's folder below `VHDMOUNT_UNPACKED`: different images may have the same id.
    pub(crate) fn unpacked_name(&self) -> String {
        format!("{}-{}", self.id, self.sha256)
    }

    /// Unpacks the image into `folder`, under its original name, by which children find their parents.
    pub(crate) fn unpack(&self, folder: &Path) -> PathBuf {
        let inner = self.id.rsplit("__").next().unwrap_or(&self.id);
        let original = Path::new(&self.path);
        let name = match original.extension().and_then(OsStr::to_str) {
            Some("gz" | "xz" | "bz2" | "zst") => original.file_stem(),
            Some(_) => original.file_name(),
            None => None,
        };
        if let Some(unpacked) = unpacked() {
            return copy_only_file(&unpacked.join(self.unpacked_name()), folder);
        }
        let target = folder.join(name.unwrap_or_else(|| OsStr::new(inner)));
        let extension = self.packed.extension().and_then(OsStr::to_str).unwrap_or_default();
        let archive = match extension {
            "zip" => true,
            "tgz" => true,
            _ => {
                !self.packed_here
                    && self.packed.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with(".tar"))
            }
        };
        if archive {
            return self.extract(extension == "zip", inner, folder, &target);
        }
        let packed = || File::open(&self.packed).unwrap_or_else(|e| panic!("{}: {e}", self.packed.display()));
        match extension {
            "gz" => write_sparse(&mut MultiGzDecoder::new(packed()), &target),
            "xz" | "bz2" | "zst" => {
                let program = if extension == "zst" {
                    "zstd"
                } else if extension == "xz" {
                    "xz"
                } else {
                    "bzip2"
                };
                let child = tool(program).arg("-dcq").stdin(packed()).stdout(Stdio::piped()).spawn();
                from_child(child.expect(program), &target);
            }
            _ => write_sparse(&mut packed(), &target),
        }
        target
    }

    /// Extracts one member of an archive, found by its file name (with `_` for blanks).
    fn extract(&self, zip: bool, inner: &str, folder: &Path, target: &Path) -> PathBuf {
        let list = if zip {
            tool("7z").args(["l", "-ba", "-slt"]).arg(&self.packed).output()
        } else {
            tool("tar").arg("-tf").arg(&self.packed).output()
        };
        let list = String::from_utf8_lossy(&list.expect("the archive's list").stdout).into_owned();
        let paths =
            list.lines().filter_map(|line| if zip { line.strip_prefix("Path = ") } else { Some(line) });
        let is_it = |path: &&str| path.rsplit('/').next().unwrap_or(path).replace(' ', "_") == inner;
        let member = paths
            .into_iter()
            .find(is_it)
            .unwrap_or_else(|| panic!("no {inner} in {}", self.packed.display()));
        if zip {
            let child =
                tool("7z").args(["e", "-so"]).arg(&self.packed).arg(member).stdout(Stdio::piped()).spawn();
            from_child(child.expect("7z"), target);
            return target.to_owned();
        }
        // Tar preserves holes itself: such images may be huge.
        super::run(tool("tar").arg("-xSf").arg(&self.packed).arg("-C").arg(folder).arg(member));
        folder.join(member)
    }

    /// The content that other programs read; empty where none could.
    pub(crate) fn truth(&self) -> Truth {
        let name = self.packed.file_name().expect("a file");
        let folder = self.packed.with_file_name("truth").join(name);
        let mut truth = Truth::default();
        if !folder.is_dir() {
            return truth;
        }
        for line in read_lossy(&folder.join("TREE.tsv")).lines() {
            match &line.split('\t').collect::<Vec<_>>()[..] {
                [volume, "dir", path, _] => truth.directories.push(((*volume).into(), (*path).into())),
                [volume, "link", path, _] => truth.links.push(((*volume).into(), (*path).into())),
                _ => {}
            }
        }
        for line in read_lossy(&folder.join("FINAL.tsv")).lines().skip(1) {
            let [volume, kind, sha256, _, path, confidence] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{}: {line}", folder.display());
            };
            if confidence.starts_with("agreed") && !truth.links.contains(&(volume.into(), path.into())) {
                truth.files.push(FileRow {
                    volume: volume.into(),
                    stream: kind == "ad",
                    sha256: sha256.into(),
                    path: path.into(),
                });
            }
        }
        truth
    }
}

/// A folder that holds every image unpacked, each in a folder of its own.
fn unpacked() -> Option<PathBuf> {
    std::env::var_os("VHDMOUNT_UNPACKED").map(PathBuf::from)
}

fn copy_only_file(from: &Path, to: &Path) -> PathBuf {
    let mut entries = std::fs::read_dir(from).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
    let entry = entries.next().expect("the image").expect("the image");
    let target = to.join(entry.file_name());
    write_sparse(&mut File::open(entry.path()).expect("the image opens"), &target);
    target
}

fn from_child(mut child: Child, target: &Path) {
    write_sparse(&mut child.stdout.take().expect("piped"), target);
    assert!(child.wait().expect("its status").success(), "unpacking to {}", target.display());
}

/// Copies a file, with holes for zeros: some images are a GiB of little else.
fn write_sparse(source: &mut dyn Read, target: &Path) {
    let mut file = File::create(target).unwrap_or_else(|e| panic!("{}: {e}", target.display()));
    let mut piece = Vec::new();
    let mut size = 0;
    loop {
        piece.clear();
        source.take(1 << 20).read_to_end(&mut piece).expect("the image unpacks");
        if piece.is_empty() {
            break;
        }
        if piece.iter().any(|byte| *byte != 0) {
            file.seek(SeekFrom::Start(size))
                .and_then(|_| file.write_all(&piece))
                .expect("space for the image");
        }
        size += piece.len() as u64;
    }
    file.set_len(size).expect("space for the image");
}

fn read_lossy(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    String::from_utf8_lossy(&bytes).into_owned()
}
