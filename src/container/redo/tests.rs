use super::*;
use crate::bytes::{
    ByteSink, read_vec,
    testing::{MemoryFile, Sparse},
};

const SIZE: u64 = 64 << 10;

fn image() -> Arc<MemoryFile> {
    let mut content = Sparse::new(SIZE);
    content.write(0, &[1; 4096]);
    Arc::new(MemoryFile::new(content))
}

/// An entry that was written, and nothing of it in the image.
fn interrupted() -> (Arc<MemoryFile>, Arc<MemoryFile>) {
    let (scratch, redo) = (image(), Arc::new(MemoryFile::default()));
    let mut sectors = Sectors::default();
    sectors.write(512, &[2; 1024]).unwrap();
    sectors.write(8192, &[3; 512]).unwrap();
    Redo::open(redo.clone(), &*scratch).unwrap().commit(&*scratch, &sectors).unwrap();
    assert_eq!(read_vec(&*scratch, 8192, 512).unwrap(), [3; 512]);
    (image(), redo)
}

fn applied(image: &dyn ByteSource) -> bool {
    let all = read_vec(image, 0, 8704).unwrap();
    all[..512] == [1; 512]
        && all[512..1536] == [2; 1024]
        && all[1536..4096] == [1; 2560]
        && all[8192..] == [3; 512]
}

#[test]
fn interrupted_commit_is_applied_when_the_image_is_opened_for_writing() {
    let (image, redo) = interrupted();
    Redo::open(redo.clone(), &*image).unwrap();
    assert!(applied(&*image) && redo.size() == 0);
}

#[test]
fn readers_lay_an_interrupted_commit_over_the_image() {
    let (image, redo) = interrupted();
    let over = laid_over(image.clone(), &*redo).unwrap().unwrap();
    assert!(applied(&*over) && !applied(&*image));
    // Also where some sectors are new already.
    image.write_all_at(512, &[2; 512]).unwrap();
    assert!(applied(&*laid_over(image.clone(), &*redo).unwrap().unwrap()));
    assert!(laid_over(image, &Sparse::new(0)).unwrap().is_none());
}

#[test]
fn image_that_changed_since_is_not_touched() {
    let (image, redo) = interrupted();
    image.write_all_at(8192 + 100, b"by another program").unwrap();
    let before = read_vec(&*image, 0, usize::try_from(SIZE).unwrap()).unwrap();
    let error = Redo::open(redo.clone(), &*image).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("0x2000") && error.contains("neither as it was"), "{error}");
    assert!(laid_over(image.clone(), &*redo).is_err());
    assert!(before == read_vec(&*image, 0, usize::try_from(SIZE).unwrap()).unwrap() && redo.size() > 0);
}

#[test]
fn entry_that_is_not_whole_counts_for_nothing() {
    let (image, redo) = interrupted();
    let bytes = read_vec(&*redo, 0, usize::try_from(redo.size()).unwrap()).unwrap();
    for at in (0..bytes.len()).step_by(97) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        let mut file = Sparse::new(0);
        file.write(0, &damaged);
        let over = laid_over(image.clone(), &file);
        // Only the filling behind the descriptors' last sector counts for nothing, and it is part of the hash as well.
        assert!(matches!(over, Ok(None)), "byte {at}");
        file.truncate(at as u64);
        assert!(matches!(laid_over(image.clone(), &file), Ok(None)), "cut off at {at}");
    }
}

#[test]
fn file_beside_an_image_is_removed_once_it_is_retired() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("disk.vhd");
    let redo = open_beside(&image).unwrap();
    assert!(folder.path().join("disk.vhd.redo").exists());
    redo.write_all_at(0, b"entry").unwrap();
    remove_retired(&image).unwrap();
    assert!(path_beside(&image).exists());
    redo.set_len(0).unwrap();
    drop(redo);
    remove_retired(&image).unwrap();
    assert!(!path_beside(&image).exists());
    remove_retired(&image).unwrap();
}
