//! Paths: what is found in any case, and why what is not found is not.

use super::{
    mounted_demo,
    rights::{access, option},
    volume::{How, Refused, Volume},
    wire::Status,
};

/// What comes of opening.
fn status(volume: &Volume, path: &str, how: How) -> Status {
    match volume.open_as(path, how) {
        Ok(_) => Status::SUCCESS,
        Err(Refused::Error(status)) => status,
        Err(elsewhere) => panic!("{path}: {elsewhere:?}"),
    }
}

#[test]
fn case_does_not_matter() {
    let Some((volume, _folder)) = mounted_demo(&[]) else { return };
    let asked = volume.open(r"\P3\users\ADA\Documents\read me first.TXT").unwrap();
    let spelled = volume.open(r"\p3\Users\Ada\Documents\READ ME FIRST.txt").unwrap();
    assert_eq!(asked.info, spelled.info);
    assert_eq!(asked.content(), spelled.content());
    // The name is returned in the volume's spelling, or not at all.
    let spelling = String::from_utf16(&asked.normalized).unwrap();
    assert!(["", r"\p3\Users\Ada\Documents\READ ME FIRST.txt"].contains(&spelling.as_str()), "{spelling}");
    for path in
        [r"\p3\USERS\ADA\DOCUMENTS\ÜBERRASCHUNG\お誕生日 🎉.TXT", r"\P1\efi\BOOT\BOOTX64.EFI", r"\.CAPACITY"]
    {
        assert_eq!(status(&volume, path, How::default()), Status::SUCCESS, "{path}");
    }
    let stream = volume.open(r"\p3\Users\Ada\Downloads\CAT.JPG:zone.IDENTIFIER").unwrap();
    assert!(stream.content().unwrap().starts_with(b"[ZoneTransfer]"));
}

#[test]
fn what_is_missing_is_distinguished_from_a_missing_folder() {
    let Some((volume, _folder)) = mounted_demo(&[]) else { return };
    for (path, expected) in [
        (r"\nothing", Status::OBJECT_NAME_NOT_FOUND),
        (r"\p3\Windows\nothing.txt", Status::OBJECT_NAME_NOT_FOUND),
        (r"\p3\Users\Ada\Downloads\cat.jpg:nothing", Status::OBJECT_NAME_NOT_FOUND),
        (r"\p3\nothing:stream", Status::OBJECT_NAME_NOT_FOUND),
        (r"\p2\Windows", Status::OBJECT_PATH_NOT_FOUND),
        (r"\p3\nothing\below\it", Status::OBJECT_PATH_NOT_FOUND),
        (r"\p3\Windows\explorer.exe\below", Status::OBJECT_PATH_NOT_FOUND),
    ] {
        assert_eq!(status(&volume, path, How::default()), expected, "{path}");
    }
}

#[test]
fn a_file_is_no_folder_and_a_folder_no_file() {
    let Some((volume, _folder)) = mounted_demo(&[]) else { return };
    let (file, folder) = (r"\p3\Windows\explorer.exe", r"\p3\Windows");
    let (as_folder, as_file) =
        (How::options(option::DIRECTORY_FILE), How::options(option::NON_DIRECTORY_FILE));
    assert_eq!(status(&volume, file, as_file), Status::SUCCESS);
    assert_eq!(status(&volume, folder, as_folder), Status::SUCCESS);
    assert_eq!(status(&volume, file, as_folder), Status::NOT_A_DIRECTORY);
    assert_eq!(status(&volume, folder, as_file), Status::FILE_IS_A_DIRECTORY);
    assert_eq!(status(&volume, r"\p3\Windows\", How::default()), Status::SUCCESS);
    assert!(status(&volume, r"\p3\Windows\explorer.exe\", How::default()).failed());
}

#[test]
fn every_way_of_reading_is_allowed() {
    let Some((volume, _folder)) = mounted_demo(&[]) else { return };
    for path in ["\\", r"\p3", r"\p3\Windows\explorer.exe", r"\.capacity", r"\p1\EFI\Boot\bootx64.efi"] {
        for right in [
            access::READ_DATA,
            access::READ_ATTRIBUTES,
            access::READ_CONTROL,
            access::GENERIC_READ,
            access::GENERIC_EXECUTE,
            access::GENERIC_READ | access::GENERIC_EXECUTE,
            access::MAXIMUM_ALLOWED,
        ] {
            let handle = volume
                .open_as(path, How::access(right))
                .unwrap_or_else(|why| panic!("{path} {right:x}: {why:?}"));
            assert_eq!(
                handle.granted & right & !access::MAXIMUM_ALLOWED,
                right & !access::MAXIMUM_ALLOWED,
                "{path} {right:x}"
            );
        }
    }
}

#[test]
fn the_type_of_a_stream_may_be_given() {
    let Some((volume, _folder)) = mounted_demo(&[]) else { return };
    let plain = volume.open(r"\p3\Users\Ada\Downloads\cat.jpg").unwrap().content();
    assert_eq!(volume.open(r"\p3\Users\Ada\Downloads\cat.jpg::$DATA").unwrap().content(), plain);
    let stream = volume.open(r"\p3\Users\Ada\Downloads\cat.jpg:Zone.Identifier").unwrap().content();
    assert_ne!(stream, plain);
    assert_eq!(
        volume.open(r"\p3\Users\Ada\Downloads\cat.jpg:Zone.Identifier:$DATA").unwrap().content(),
        stream
    );
}
