//! Sessions on files of the host: made, used again, refused.

use std::path::{Path, PathBuf};

use super::*;
use crate::{
    bytes::{FileSink, read_vec},
    container::{self, Format, Plan, create},
};

const MIB: u64 = 1 << 20;

/// An image whose first MiB holds `byte`.
fn image(folder: &Path, name: &str, format: Format, byte: u8) -> PathBuf {
    let path = folder.join(name);
    let sink = FileSink::new(std::fs::File::create_new(&path).unwrap(), &path);
    let mut writer = create::Writer::new(&sink, &Plan::new(format, 16 * MIB, 0)).unwrap();
    writer.write(0, &vec![byte; 1 << 20]).unwrap();
    writer.finish().unwrap();
    path
}

fn overlay(image: &Path, child: &Path) -> Result<WritingSession> {
    WritingSession::overlay(image, child, &OpenOptions::default(), &SessionOptions::default())
}

fn read(path: &Path, at: u64, len: usize) -> Vec<u8> {
    let opened = container::open(path, &OpenOptions::default()).unwrap();
    read_vec(&*opened.disk, at, len).unwrap()
}

/// What is refused, and why.
fn refusal(opened: Result<WritingSession>) -> String {
    opened.map(|_| ()).unwrap_err().to_string()
}

#[test]
fn overlay_is_made_and_used_again_and_the_image_stays_as_it_is() {
    for (format, name) in [(Format::Vhdx, "base.vhdx"), (Format::Vhd, "base.vhd"), (Format::Raw, "base.img")]
    {
        let folder = tempfile::tempdir().unwrap();
        let image = image(folder.path(), name, format, 7);
        let before = std::fs::read(&image).unwrap();
        let child = folder.path().join("fix");
        for round in 1..4_u8 {
            let session = overlay(&image, &child).unwrap();
            session.disk().write_all_at(u64::from(round) * 4096, &[round; 4096]).unwrap();
            assert_eq!(read_vec(&**session.disk(), 0, 512).unwrap(), [7; 512]);
            session.checkpoint().unwrap();
            session.close().unwrap();
        }
        for round in 1..4_u8 {
            assert_eq!(read(&child, u64::from(round) * 4096, 4096), [round; 4096], "{name}");
        }
        assert_eq!(read(&child, 5 * 4096, 512), [7; 512]);
        assert!(std::fs::read(&image).unwrap() == before);
        let mut names: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [name, "fix"]);
    }
}

#[test]
fn file_that_is_no_overlay_of_the_image_is_refused_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let one = image(folder.path(), "one.vhdx", Format::Vhdx, 1);
    let other = image(folder.path(), "other.vhdx", Format::Vhdx, 2);
    let child = folder.path().join("fix.vhdx");
    overlay(&other, &child).unwrap().close().unwrap();
    let before = std::fs::read(&child).unwrap();
    assert!(refusal(overlay(&one, &child)).contains("is an overlay of another image"));
    assert!(refusal(overlay(&one, &other)).contains("an image of its own"));
    assert!(refusal(overlay(&one, &one)).contains("the image itself"));
    // A session in place gives the image a new identity.
    let session =
        WritingSession::in_place(&other, &OpenOptions::default(), &SessionOptions::default()).unwrap();
    session.disk().write_all_at(0, &[3; 512]).unwrap();
    session.close().unwrap();
    assert!(refusal(overlay(&other, &child)).contains("has changed since"));
    assert!(std::fs::read(&child).unwrap() == before);
}

#[test]
fn nothing_is_left_of_an_overlay_that_cannot_be_made() {
    let folder = tempfile::tempdir().unwrap();
    let child = folder.path().join("fix.vhdx");
    let missing = folder.path().join("missing.vhdx");
    assert!(overlay(&missing, &child).is_err() && !child.exists());
    let broken = folder.path().join("broken.vhdx");
    std::fs::write(&broken, b"vhdxfile").unwrap();
    assert!(overlay(&broken, &child).is_err() && !child.exists());
}

#[test]
fn closed_session_is_read_but_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), "base.vhdx", Format::Vhdx, 7);
    let session = overlay(&image, &folder.path().join("fix.vhdx")).unwrap();
    let disk = session.disk().clone();
    session.close().unwrap();
    assert_eq!(read_vec(&*disk, 0, 512).unwrap(), [7; 512]);
    assert!(disk.write_all_at(0, &[1; 512]).unwrap_err().to_string().contains("closed"));
}

#[test]
fn raw_image_that_was_written_since_is_another_parent() {
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), "base.img", Format::Raw, 7);
    let child = folder.path().join("fix.vhdx");
    let session = overlay(&image, &child).unwrap();
    session.disk().write_all_at(4096, &[1; 512]).unwrap();
    session.close().unwrap();
    // Found by the child's own locator as well.
    assert_eq!(read(&child, 4096, 512), [1; 512]);
    assert_eq!(read(&child, 0, 512), [7; 512]);
    // Closed each time: on Windows an image that is open for writing is no parent.
    let open = || std::fs::File::options().write(true).open(&image).unwrap();
    let modified = open().metadata().unwrap().modified().unwrap();
    open().set_modified(modified + std::time::Duration::from_secs(1)).unwrap();
    assert!(refusal(overlay(&image, &child)).contains("another time"));
    open().set_modified(modified).unwrap();
    overlay(&image, &child).unwrap().close().unwrap();
    FileSink::new(open(), &image).write_all_at(512, &[9; 512]).unwrap();
    open().set_modified(modified).unwrap();
    assert!(refusal(overlay(&image, &child)).contains("has changed since"));
    assert!(container::open(&child, &OpenOptions::default()).is_err());
}

#[test]
fn overlay_is_written_by_one_session_and_its_image_by_none() {
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), "base.vhdx", Format::Vhdx, 7);
    let (one, other) = (folder.path().join("one.vhdx"), folder.path().join("other.vhdx"));
    let session = overlay(&image, &one).unwrap();
    if cfg!(target_os = "linux") {
        assert!(refusal(overlay(&image, &one)).contains("in use"));
        let warned = container::open(&one, &OpenOptions::default()).unwrap().warnings;
        assert!(warned.iter().any(|warning| warning.contains("is being written")), "{warned:?}");
    } else {
        assert!(overlay(&image, &one).is_err());
    }
    let in_place = || WritingSession::in_place(&image, &OpenOptions::default(), &SessionOptions::default());
    assert!(in_place().is_err());
    // Another overlay of the same image is no obstacle.
    overlay(&image, &other).unwrap().close().unwrap();
    session.close().unwrap();
    overlay(&image, &one).unwrap().close().unwrap();
    in_place().unwrap().close().unwrap();
    assert!(container::open(&one, &OpenOptions::default()).unwrap().warnings.is_empty());
}

#[test]
#[cfg(unix)]
fn image_that_changes_below_a_session_ends_it_and_what_was_published_stays() {
    for publish in [Publish::Sync, Publish::Unmount] {
        let folder = tempfile::tempdir().unwrap();
        let image = image(folder.path(), "base.vhdx", Format::Vhdx, 7);
        let child = folder.path().join("fix.vhdx");
        let write = SessionOptions { publish, ..SessionOptions::default() };
        let session = WritingSession::overlay(&image, &child, &OpenOptions::default(), &write).unwrap();
        session.disk().write_all_at(0, &[1; 512]).unwrap();
        session.checkpoint().unwrap();
        session.disk().write_all_at(512, &[2; 512]).unwrap();
        let file = std::fs::File::options().write(true).open(&image).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        let error = session.checkpoint().unwrap_err().to_string();
        assert!(error.contains("has changed below the overlay"), "{error}");
        assert!(session.disk().write_all_at(0, &[3; 512]).is_err());
        assert_eq!(read_vec(&**session.disk(), 512, 512).unwrap(), [2; 512]);
        assert!(session.close().is_err());
        let first = if publish == Publish::Sync { 1 } else { 7 };
        assert_eq!(read(&child, 0, 512), [first; 512]);
        assert_eq!(read(&child, 512, 512), [7; 512]);
    }
}

#[test]
fn session_that_publishes_at_its_end_is_not_seen_before() {
    for (format, name) in [(Format::Vhdx, "base.vhdx"), (Format::Vhd, "base.vhd"), (Format::Raw, "base.img")]
    {
        let folder = tempfile::tempdir().unwrap();
        let image = image(folder.path(), name, format, 7);
        let child = folder.path().join("fix");
        let write = SessionOptions { publish: Publish::Unmount, ..SessionOptions::default() };
        let open = || WritingSession::overlay(&image, &child, &OpenOptions::default(), &write).unwrap();
        for round in 1..4_u8 {
            let session = open();
            session.disk().write_all_at(0, &[round; 4096]).unwrap();
            session.disk().write_all_at(3 * MIB + 512, &[round; 512]).unwrap();
            session.checkpoint().unwrap();
            assert_eq!(read_vec(&**session.disk(), 0, 512).unwrap(), [round; 512]);
            let before = if round == 1 { 7 } else { round - 1 };
            assert_eq!(read(&child, 0, 512), [before; 512], "{name}");
            session.close().unwrap();
            assert_eq!(read(&child, 0, 512), [round; 512], "{name}");
            // One that ends without being closed leaves nothing.
            let lost = open();
            lost.disk().write_all_at(0, &[99; 512]).unwrap();
            lost.checkpoint().unwrap();
            drop(lost);
            assert_eq!(read(&child, 0, 512), [round; 512], "{name}");
        }
        assert_eq!(read(&child, 3 * MIB, 1024), [[0; 512], [3; 512]].concat());
        let in_place = WritingSession::in_place(&image, &OpenOptions::default(), &write).map(|_| ());
        assert_eq!(in_place.is_err(), format == Format::Raw, "{name}");
    }
}

#[test]
fn vhd_that_was_modified_since_is_warned_of_and_a_resized_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), "base.vhd", Format::Vhd, 7);
    let child = folder.path().join("fix.vhd");
    let warnings = |session: WritingSession| {
        let warnings = session.container().warnings.clone();
        session.close().unwrap();
        warnings
    };
    overlay(&image, &child).unwrap().close().unwrap();
    assert!(warnings(overlay(&image, &child).unwrap()).is_empty());
    let file = std::fs::File::options().write(true).open(&image).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    file.set_modified(modified - std::time::Duration::from_secs(60)).unwrap();
    drop(file);
    let warned = warnings(overlay(&image, &child).unwrap());
    assert!(warned.iter().any(|warning| warning.contains("modified at another time")), "{warned:?}");
    // Another size under the same identity, in both footers.
    let mut bytes = std::fs::read(&image).unwrap();
    for footer in [0, bytes.len() - 512] {
        bytes[footer + 48..footer + 56].copy_from_slice(&(15 * MIB).to_be_bytes());
        bytes[footer + 64..footer + 68].fill(0);
        let sum: u32 = bytes[footer..footer + 512].iter().map(|byte| u32::from(*byte)).sum();
        bytes[footer + 64..footer + 68].copy_from_slice(&(!sum).to_be_bytes());
    }
    std::fs::write(&image, bytes).unwrap();
    assert!(refusal(overlay(&image, &child)).contains("was resized since"));
}
