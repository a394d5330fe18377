//! Split images: one disk in files `disk.001`, `disk.002`, … as FTK Imager, dd and Arsenal Image Mounter write them. Any of
//! the files names the set. Only names that follow each other in one folder count, and only pieces that can be halves of
//! one file: all of one size, but for the last.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::host_file::open_file;
use crate::{
    Error, Result,
    bytes::{ByteSource, FileSource, Joined, read_vec},
    host::Host,
};

/// Each piece takes a descriptor; a disk of 2 TB in the customary pieces of 2 GB has a thousand.
const MAX_PIECES: usize = 4096;

/// What a path leads to: the bytes, and the files of the host that hold them.
pub(super) struct Opened {
    pub(super) source: Arc<dyn ByteSource>,
    /// At least one, in order.
    pub(super) files: Vec<Arc<FileSource>>,
}

/// Opens the file at `path`, or the split image of which it is a piece.
///
/// # Errors
/// As [`open_file`]; [`Error::NotFound`] for a set with a gap.
pub(super) fn open(path: &Path, host: &dyn Host) -> Result<Opened> {
    let Some(set) = Set::around(path) else { return single(path, host) };
    let mut files = vec![Arc::new(open_file(&set.path(set.first), host)?)];
    for number in set.first + 1.. {
        if !is_file(&set.path(number)) {
            break;
        }
        if files.len() == MAX_PIECES {
            let text = format!("{}: a split image of more than {MAX_PIECES} pieces", path.display());
            return Err(Error::unsupported(text));
        }
        files.push(Arc::new(open_file(&set.path(number), host)?));
    }
    if let [first] = &files[..] {
        // The second piece is missing, if what comes behind it is a piece.
        let later = if set.number > set.first { set.number } else { set.first.saturating_add(2) };
        let later = Arc::new(open_file(&set.path(later), host)?);
        return match are_pieces(&[first.clone(), later]) {
            true => Err(missing(&set.path(set.first + 1))),
            false => single(path, host),
        };
    }
    if let Some(short) = short_piece(&files) {
        let problem = "this piece of a split image is shorter than those beside it: an unfinished copy";
        return Err(Error::corrupt(files[short].path().display().to_string(), None, problem));
    }
    if !are_pieces(&files) {
        return single(path, host);
    }
    // Where the set ends, a later piece must not follow: the disk would end too early without a word.
    let next = set.first + u32::try_from(files.len()).unwrap_or(u32::MAX);
    if is_file(&set.path(next.saturating_add(1))) || set.number > next {
        return Err(missing(&set.path(next)));
    }
    let parts: Vec<Arc<dyn ByteSource>> = files.iter().map(|file| file.clone() as _).collect();
    Ok(Opened { source: Arc::new(Joined::new(parts)?), files })
}

fn missing(piece: &Path) -> Error {
    Error::not_found(format!(
        "{}: this piece of a split image is missing; later pieces exist",
        piece.display()
    ))
}

/// A piece, not the last one, that is shorter than the first, where another one has that one's size.
fn short_piece(files: &[Arc<FileSource>]) -> Option<usize> {
    let [first, middle @ .., _] = files else { return None };
    let whole = |file: &&Arc<FileSource>| file.size() == first.size();
    let pieces: Vec<_> = files.iter().filter(whole).cloned().collect();
    let short = middle.iter().position(|file| file.size() < first.size())? + 1;
    (are_pieces(&pieces) && files.iter().all(|file| file.size() <= first.size())).then_some(short)
}

fn single(path: &Path, host: &dyn Host) -> Result<Opened> {
    let file = Arc::new(open_file(path, host)?);
    Ok(Opened { source: file.clone(), files: vec![file] })
}

/// Whether the files can be parts of one image: of one size but for the last, which may be shorter, and not several copies
/// of a disk that a backup program has numbered: those begin alike.
fn are_pieces(files: &[Arc<FileSource>]) -> bool {
    let [first, .., last] = files else { return false };
    let sizes = files[..files.len() - 1].iter().all(|file| file.size() == first.size());
    let head = |file: &FileSource| read_vec(file, 0, 512).ok();
    let alike = |head: &Vec<u8>| head.iter().any(|byte| *byte != 0);
    let copies = head(first).filter(alike).is_some_and(|own| head(&files[1]) == Some(own));
    first.size() > 0 && sizes && last.size() > 0 && last.size() <= first.size() && !copies
}

fn is_file(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
}

/// The names of a set.
struct Set {
    stem: PathBuf,
    digits: usize,
    /// 0 or 1.
    first: u32,
    /// Of the path that the user gave.
    number: u32,
}

impl Set {
    /// The set to which `path` belongs: its extension is a number of two digits or more, a first piece lies beside it, and
    /// at least one more.
    fn around(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?;
        let digits = extension.len();
        if !(2..=4).contains(&digits) || !extension.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let number = extension.parse().ok()?;
        let set = |first| Self { stem: path.with_extension(""), digits, first, number };
        let zero = set(0);
        let set = if is_file(&zero.path(0)) { zero } else { set(1) };
        let more = number > set.first || [1, 2].iter().any(|behind| is_file(&set.path(set.first + behind)));
        (number >= set.first && more && is_file(&set.path(set.first))).then_some(set)
    }

    fn path(&self, number: u32) -> PathBuf {
        // `with_extension` would take a stem's own dot for the extension's.
        let mut name = self.stem.clone().into_os_string();
        name.push(format!(".{number:0digits$}", digits = self.digits));
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::host::System;

    fn write(folder: &Path, name: &str, byte: u8, len: usize) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, vec![byte; len]).unwrap();
        path
    }

    fn bytes(opened: &Opened) -> Vec<u8> {
        let len = usize::try_from(opened.source.size()).unwrap();
        read_vec(&*opened.source, 0, len).unwrap()
    }

    #[test]
    fn any_piece_opens_the_whole_set() {
        let folder = tempfile::tempdir().unwrap();
        let first = write(folder.path(), "a.b.001", 1, 1024);
        let second = write(folder.path(), "a.b.002", 2, 1024);
        write(folder.path(), "a.b.003", 3, 100);
        let whole = [vec![1; 1024], vec![2; 1024], vec![3; 100]].concat();
        for path in [first, second] {
            let opened = open(&path, &System).unwrap();
            assert_eq!((bytes(&opened), opened.files.len()), (whole.clone(), 3));
        }
    }

    #[test]
    fn numbered_files_that_are_no_pieces_are_opened_alone() {
        let folder = tempfile::tempdir().unwrap();
        let alone = write(folder.path(), "x.001", 1, 512);
        assert_eq!(open(&alone, &System).unwrap().files.len(), 1);
        // Backups of one disk, numbered: equal in size and at the beginning.
        let backup = write(folder.path(), "y.001", 7, 1024);
        write(folder.path(), "y.002", 7, 1024);
        assert_eq!(open(&backup, &System).unwrap().files.len(), 1);
        // The second is larger.
        let first = write(folder.path(), "z.001", 1, 512);
        write(folder.path(), "z.002", 2, 1024);
        assert_eq!(open(&first, &System).unwrap().files.len(), 1);
    }

    #[test]
    fn gap_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let first = write(folder.path(), "d.001", 1, 512);
        write(folder.path(), "d.002", 2, 512);
        let fourth = write(folder.path(), "d.004", 4, 512);
        // The second one, from either side.
        let second = write(folder.path(), "e.001", 1, 512);
        let third = write(folder.path(), "e.003", 3, 100);
        for path in [second, third] {
            let error = open(&path, &System).err().expect("a gap");
            assert!(matches!(error, Error::NotFound(_)) && error.to_string().contains("e.002"), "{error}");
        }
        // One that was not copied whole.
        let whole = write(folder.path(), "f.001", 1, 512);
        write(folder.path(), "f.002", 2, 100);
        write(folder.path(), "f.003", 3, 512);
        let error = open(&whole, &System).err().expect("a short piece").to_string();
        assert!(error.contains("f.002") && error.contains("unfinished"), "{error}");
        for path in [first, fourth] {
            let error = open(&path, &System).err().expect("a gap");
            assert!(matches!(error, Error::NotFound(_)) && error.to_string().contains("d.003"), "{error}");
        }
    }
}
