use super::*;

/// Writes a file of `len` bytes, each computed from its offset.
fn file(folder: &Path, name: &str, len: usize) -> PathBuf {
    let path = folder.join(name);
    let bytes: Vec<u8> = (0..len).map(|n| (n ^ n >> 8 ^ n >> 16).to_le_bytes()[0]).collect();
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn threads_read_at_their_own_offsets() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "disk.raw", 3 << 20);
    let (source, whole) = (FileSource::open(&path).unwrap(), std::fs::read(&path).unwrap());
    std::thread::scope(|scope| {
        for thread in 0..8_usize {
            let (source, whole) = (&source, &whole);
            scope.spawn(move || {
                for n in 0..300 {
                    let (offset, len) = ((n * 40_009 + thread * 7777) % 3_000_000, 1 + (n * 517) % 70_000);
                    let mut buf = vec![0; len];
                    source.read_exact_at(offset as u64, &mut buf).unwrap();
                    assert!(buf == whole[offset..offset + len], "{len} bytes at {offset}");
                }
            });
        }
    });
}

#[test]
fn long_paths_are_opened() {
    let folder = tempfile::tempdir().unwrap();
    // Windows' old limit is 260 for the whole path.
    let deep = folder.path().join("n".repeat(120)).join("m".repeat(120));
    std::fs::create_dir_all(&deep).unwrap();
    let path = file(&deep, &"i".repeat(120), 4096);
    assert!(path.as_os_str().len() > 360);
    assert_eq!(FileSource::open(&path).unwrap().size(), 4096);
}

#[test]
fn an_open_image_can_be_written_renamed_and_removed_by_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "disk.raw", 4096);
    let writer = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let source = FileSource::open(&path).unwrap();
    writer.set_len(8192).unwrap();
    let renamed = folder.path().join("renamed.raw");
    std::fs::rename(&path, &renamed).unwrap();
    std::fs::remove_file(&renamed).unwrap();
    let mut byte = [0];
    source.read_exact_at(1, &mut byte).unwrap();
    assert_eq!(byte, [1]);
    // No more than the size at opening.
    assert_eq!(source.size(), 4096);
}

#[test]
fn a_folder_is_no_image() {
    let folder = tempfile::tempdir().unwrap();
    assert!(FileSource::open(folder.path()).is_err());
}

#[cfg(windows)]
#[test]
fn slashes_and_prefixes_lead_to_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "disk.raw", 4096);
    let text = path.to_str().unwrap();
    for other in [text.replace('\\', "/"), format!(r"\\?\{text}"), format!(r"\\.\{text}")] {
        assert_eq!(FileSource::open(other.as_ref()).unwrap().size(), 4096, "{other}");
    }
}

#[cfg(windows)]
#[test]
fn a_disk_that_is_not_there_is_an_error_of_the_host() {
    let error = FileSource::open(r"\\.\PhysicalDrive97".as_ref()).err().unwrap();
    assert!(matches!(error, Error::Io { .. }), "{error}");
}
