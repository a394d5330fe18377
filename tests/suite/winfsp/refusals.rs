//! Each request that would write is refused as on a write-protected medium, and nothing changes.

use super::{
    handle::Handle,
    mounted_demo,
    rights::{access, disposition, option},
    volume::{How, Refused},
    wire::{Kind, Request, Status},
};
use crate::support::sha256;

const FILE: &str = r"\p3\Users\Ada\Documents\READ ME FIRST.txt";
const STREAM: &str = r"\p3\Users\Ada\Documents\READ ME FIRST.txt:postscript";
const FOLDER: &str = r"\p3\Users\Ada\Documents";
const REPORT: &str = r"\.capacity";

/// `FILE_INFORMATION_CLASS`.
mod class {
    pub(super) const BASIC: u32 = 4;
    pub(super) const RENAME: u32 = 10;
    pub(super) const DISPOSITION: u32 = 13;
    pub(super) const ALLOCATION: u32 = 19;
    pub(super) const END_OF_FILE: u32 = 20;
    pub(super) const DISPOSITION_EX: u32 = 64;
    pub(super) const RENAME_EX: u32 = 65;
}

const FSCTL_SET_REPARSE_POINT: u32 = 0x9_00A4;
const FSCTL_DELETE_REPARSE_POINT: u32 = 0x9_00AC;

#[test]
fn opening_to_write_is_refused() {
    let Some((volume, _folder)) = mounted_demo(&[]) else { return };
    let refused = Err(Refused::Error(Status::MEDIA_WRITE_PROTECTED));
    for path in [FILE, STREAM, FOLDER, REPORT, r"\p1\EFI\Boot\bootx64.efi", "\\"] {
        for right in [
            access::WRITE_DATA,
            access::APPEND_DATA,
            access::WRITE_EA,
            access::WRITE_ATTRIBUTES,
            access::DELETE,
            access::WRITE_DAC,
            access::WRITE_OWNER,
            access::GENERIC_WRITE,
            access::ALL,
            access::GENERIC_READ | access::WRITE_DATA,
        ] {
            let opened = volume.open_as(path, How::access(right)).map(drop);
            assert_eq!(opened, refused, "{path} {right:x}");
        }
    }
    let how = How::options(option::DELETE_ON_CLOSE);
    let how = How { access: how.access | access::DELETE, ..how };
    assert_eq!(volume.open_as(FILE, how).map(drop), refused);
}

#[test]
fn creating_and_overwriting_is_refused() {
    let Some((volume, _folder)) = mounted_demo(&[]) else { return };
    let refused = Err(Refused::Error(Status::MEDIA_WRITE_PROTECTED));
    let new = [r"\new.txt", r"\p3\new.txt", r"\p3\Users\Ada\new folder", r"\p3\Windows\explorer.exe:new"];
    for path in new {
        for disposition in
            [disposition::CREATE, disposition::OPEN_IF, disposition::OVERWRITE_IF, disposition::SUPERSEDE]
        {
            let how = How { access: access::GENERIC_WRITE, disposition, ..How::default() };
            assert_eq!(volume.open_as(path, how).map(drop), refused, "{path} {disposition}");
            let how = How { access: access::GENERIC_READ, disposition, ..How::default() };
            assert_eq!(volume.open_as(path, how).map(drop), refused, "{path} {disposition}, to read");
        }
        let folder =
            How { options: option::DIRECTORY_FILE, disposition: disposition::CREATE, ..How::default() };
        if !path.contains(':') {
            assert_eq!(volume.open_as(path, folder).map(drop), refused, "folder {path}");
        }
        let gone = volume.open_as(path, How::default()).map(drop);
        assert_eq!(gone, Err(Refused::Error(Status::OBJECT_NAME_NOT_FOUND)), "{path}");
    }
    for path in [FILE, STREAM, REPORT] {
        for disposition in [disposition::OVERWRITE, disposition::OVERWRITE_IF, disposition::SUPERSEDE] {
            let how = How { access: access::GENERIC_WRITE, disposition, ..How::default() };
            assert_eq!(volume.open_as(path, how).map(drop), refused, "{path} {disposition}");
            let how = How { access: access::GENERIC_READ, disposition, ..How::default() };
            assert_eq!(volume.open_as(path, how).map(drop), refused, "{path} {disposition}, to read");
        }
    }
    // To open what is there, and to create it only if not, changes nothing.
    let how = How { disposition: disposition::OPEN_IF, ..How::default() };
    assert!(volume.open_as(FILE, how).is_ok());
}

/// Every request that changes an open file; the driver sends none of them for a file that was opened to be read.
fn changes(file: &Handle<'_>) -> Vec<(&'static str, Request)> {
    let set = |class| file.named(Kind::SetInformation).u32(32, class);
    let target: Vec<u16> = r"\p3\renamed".encode_utf16().collect();
    let ea = b"\0\0\0\0\0\x03\x03\0NEW\0new";
    let descriptor = crate::ntfs::metadata::descriptor(0x1f_01ff);
    vec![
        ("write", file.request(Kind::Write).buffer(32, 4096).u64(40, 0).u32(48, 4096)),
        ("append", file.request(Kind::Write).buffer(32, 16).u64(40, u64::MAX).u32(48, 16)),
        ("times and attributes", set(class::BASIC).u32(40, 1).u64(48, 1)),
        ("end of file", set(class::END_OF_FILE).u64(40, 0)),
        ("allocation", set(class::ALLOCATION).u64(40, 0)),
        ("delete", set(class::DISPOSITION).u32(40, 1)),
        ("delete, POSIX", set(class::DISPOSITION_EX).u32(40, 3)),
        ("rename", set(class::RENAME).text(40, &target).token(48)),
        ("rename, POSIX", set(class::RENAME_EX).text(40, &target).token(48).u32(56, 3)),
        ("attributes, extended", file.request(Kind::SetEa).blob(32, ea)),
        ("security", file.request(Kind::SetSecurity).u32(32, 4).blob(36, &descriptor)),
        (
            "reparse point",
            file.named(Kind::FileSystemControl).u32(32, FSCTL_SET_REPARSE_POINT).blob(36, &[0; 24]),
        ),
        (
            "no reparse point",
            file.named(Kind::FileSystemControl).u32(32, FSCTL_DELETE_REPARSE_POINT).blob(36, &[0; 8]),
        ),
    ]
}

#[test]
fn changing_what_is_open_is_refused() {
    let Some((volume, folder)) = mounted_demo(&[]) else { return };
    let image = folder.path().join("demo.vhdx");
    let before = sha256(&std::fs::read(&image).unwrap());
    for path in [FILE, STREAM, FOLDER] {
        let file = volume.open(path).unwrap();
        for (what, request) in changes(&file) {
            let status = volume.driver.transact(request).status();
            assert!(status.failed(), "{what} of {path} was allowed");
            let refusals =
                [Status::MEDIA_WRITE_PROTECTED, Status::INVALID_DEVICE_REQUEST, Status::ACCESS_DENIED];
            assert!(refusals.contains(&status), "{what} of {path}: {status:?}");
            if !["reparse point", "no reparse point"].contains(&what) {
                assert_eq!(status, Status::MEDIA_WRITE_PROTECTED, "{what} of {path}");
            }
        }
        assert_eq!(file.info().unwrap(), file.info, "{path}");
    }
    for supersede in [0, 1] {
        let file = volume.open(FILE).unwrap();
        let request = file.named(Kind::Overwrite).u32(48, supersede);
        assert_eq!(volume.driver.transact(request).status(), Status::MEDIA_WRITE_PROTECTED);
        // What cannot be overwritten is closed already.
        file.forget();
    }
    assert_eq!(volume.set_label("mine"), Err(Status::MEDIA_WRITE_PROTECTED));
    // A flush is no write.
    let file = volume.open(FILE).unwrap();
    file.ask(file.request(Kind::FlushBuffers)).unwrap();
    drop(file);
    drop(volume);
    assert_eq!(sha256(&std::fs::read(image).unwrap()), before);
}
