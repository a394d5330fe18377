//! `vhdmount demo`: reads a small built-in disk and verifies it against its manifest.

use std::{
    io::{Read, Write},
    ops::ControlFlow,
    path::Path,
    sync::Arc,
};

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};
use vhdmount::{
    bytes::ByteSource,
    fs::{DirCursor, FileSystem, NodeId, NodeKind},
    image::{Image, OpenOptions},
    tree::{Namespace, Resolver, Tree},
};

use super::{Failure, args::Demo, system};

/// As `println!`, but a closed pipe is no failure.
macro_rules! say {
    ($($text:tt)*) => {{
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

/// GPT with an ESP (FAT32), MSR and NTFS in a dynamic VHDX; made by `demo/make.sh`.
const IMAGE: &[u8] = include_bytes!("../../demo/demo.vhdx.gz");
/// Volume, kind, size, SHA-256 and path of every file, as the programs that made the disk read them back.
const MANIFEST: &str = include_str!("../../demo/manifest.tsv");

pub(super) fn run(command: &Demo) -> Result<(), Failure> {
    let setup = |error: std::io::Error| Failure::usage(format_args!("setting up the demo: {error}"));
    let folder = tempfile::Builder::new().prefix("vhdmount-demo.").tempdir().map_err(setup)?;
    let path = folder.path().join("demo.vhdx");
    unpack(&path).map_err(setup)?;
    let before = digest(&std::fs::read(&path).map_err(setup)?);
    let fail = |error| Failure::image(&path, &error);
    let image = Image::open(&path, &OpenOptions::default()).map_err(fail)?;
    say!("A small Windows-like disk, as a dynamic VHDX:\n\n{}", super::info::text::of(&image.info()));
    let tree = Arc::new(image.tree(None).map_err(fail)?);
    say!("What is in it:\n");
    show_tree(&tree, Tree::ROOT, 0);
    say!();

    let mountpoint = folder.path().join("mnt");
    std::fs::create_dir(&mountpoint).map_err(setup)?;
    let checked = match mounted(command, &mountpoint, tree.clone()) {
        // Unmounted after the verification.
        Some(_session) => {
            say!("Mounted at {}. Its .capacity says:\n", mountpoint.display());
            print_file(&mountpoint.join(".capacity"))?;
            check(|file| digest_file(&mountpoint.join(file)))?
        }
        None => {
            say!("Not mounted; the same without a mount. Its .capacity says:\n");
            let node = Resolver::new(&*tree).resolve(b".capacity", true).map_err(fail)?.node;
            let report = read(&*tree.open(node).map_err(fail)?).map_err(fail)?;
            let _ = write!(std::io::stdout(), "{}", String::from_utf8_lossy(&report));
            check(|file| {
                let node =
                    Resolver::new(&*tree).resolve(file.as_bytes(), true).map_err(|e| e.to_string())?.node;
                read(&*tree.open(node).map_err(|e| e.to_string())?)
                    .map(|bytes| digest(&bytes))
                    .map_err(|e| e.to_string())
            })?
        }
    };
    say!("\n{checked} files read, each SHA-256 as in the manifest.");
    let unchanged = digest(&std::fs::read(&path).map_err(setup)?) == before;
    say!("The image itself is {}.", if unchanged { "unchanged" } else { "CHANGED" });
    if unchanged { Ok(()) } else { Err(Failure::inside("demo.vhdx", "the image was changed")) }
}

/// Mounts the tree where that is possible and wanted; otherwise prints why not.
fn mounted(command: &Demo, mountpoint: &Path, tree: Arc<Tree>) -> Option<system::Session> {
    if command.no_mount {
        return None;
    }
    match system::session("demo.vhdx", mountpoint, tree) {
        Ok(session) => Some(session),
        Err(error) => {
            say!("It cannot be mounted here: {error}\n");
            None
        }
    }
}

/// Writes the image, with holes for zeros.
pub(super) fn unpack(path: &Path) -> std::io::Result<()> {
    use std::io::{Seek, SeekFrom};
    let mut file = std::fs::File::create_new(path)?;
    let (mut packed, mut piece, mut size) = (GzDecoder::new(IMAGE), vec![0; 64 << 10], 0);
    loop {
        let mut filled = 0;
        while filled < piece.len() {
            match packed.read(&mut piece[filled..])? {
                0 => break,
                got => filled += got,
            }
        }
        if filled == 0 {
            return file.set_len(size);
        }
        if piece[..filled].iter().any(|byte| *byte != 0) {
            file.seek(SeekFrom::Start(size))?;
            file.write_all(&piece[..filled])?;
        }
        size += filled as u64;
    }
}

/// Prints the tree to a depth that fits a screen; deeper directories are counted.
fn show_tree(tree: &Tree, dir: NodeId, depth: usize) {
    let mut entries = Vec::new();
    let listed = tree.read_dir(dir, DirCursor::default(), &mut |entry| {
        entries.push((entry.name.to_string(), entry.node, entry.kind));
        ControlFlow::Continue(())
    });
    entries.sort();
    for (name, node, kind) in entries {
        let indent = "  ".repeat(depth + 1);
        match (kind, tree.stat(node)) {
            (NodeKind::Directory, _) => {
                say!("{indent}{name}/");
                if depth < 2 {
                    show_tree(tree, node, depth + 1);
                }
            }
            (_, Ok(stat)) if stat.kind == NodeKind::Symlink => {
                let target = tree.read_link_text(node).unwrap_or_default();
                say!("{indent}{name} -> {}", String::from_utf8_lossy(&target));
            }
            (_, Ok(stat)) => say!("{indent}{name}  {}", vhdmount::size::human(stat.size)),
            (_, Err(error)) => say!("{indent}{name}  {error}"),
        }
    }
    if let Err(error) = listed {
        say!("  {error}");
    }
}

/// Compares each file of the manifest with the hash from `digest_of`; returns the number of files.
fn check(digest_of: impl Fn(&str) -> Result<String, String>) -> Result<usize, Failure> {
    let mut checked = 0;
    for line in MANIFEST.lines().filter(|line| !line.starts_with('#')) {
        let &[volume, "file", _, sha256, path] = &line.split('\t').collect::<Vec<_>>()[..] else { continue };
        let file = format!("{volume}/{path}");
        let got = digest_of(&file).map_err(|error| Failure::inside(&file, error))?;
        if got != sha256 {
            return Err(Failure::inside(&file, format_args!("SHA-256 is {got}, should be {sha256}")));
        }
        checked += 1;
    }
    Ok(checked)
}

fn read(file: &dyn ByteSource) -> vhdmount::Result<Vec<u8>> {
    vhdmount::bytes::read_vec(file, 0, usize::try_from(file.size()).unwrap_or(usize::MAX))
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest_file(path: &Path) -> Result<String, String> {
    std::fs::read(path).map(|bytes| digest(&bytes)).map_err(|error| format!("{}: {error}", path.display()))
}

fn print_file(path: &Path) -> Result<(), Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::inside(path.display(), error))?;
    let _ = write!(std::io::stdout(), "{text}");
    Ok(())
}
