//! Files with special reparse points: cloud files, aliases, links of the first WSL.

use super::*;
use crate::fs::{LinkTarget, NodeKind, Xattrs};

fn information(attributes: u32) -> Vec<u8> {
    let mut value = vec![0; 72];
    value[32..36].copy_from_slice(&attributes.to_le_bytes());
    resident(code::STANDARD_INFORMATION, "", &value)
}

fn point(tag: u32, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap().to_le_bytes();
    resident(code::REPARSE_POINT, "", &[&tag.to_le_bytes()[..], &length, &[0; 2], data].concat())
}

fn cloud(attributes: u32, data: Vec<u8>) -> Result<Vec<u8>> {
    let mut image = Image::new();
    image.put(90 * CLUSTER, &[0x42; CLUSTER]);
    image.file(&[information(attributes), data, point(0x9000_601a, b"FeRp")]);
    content(&image.open())
}

#[test]
fn cloud_files_are_read_when_all_of_them_is_there() {
    let stored = || data(0..=0, &[0x11, 1, 90, 0], 1000);
    let resident = || resident(code::DATA, "", b"small");
    let placeholder = || data(0..=0, &[0x01, 1, 0], 1000);
    assert_eq!(cloud(0x20, stored()).unwrap(), [0x42; 1000]);
    assert_eq!(cloud(0x8_0020, resident()).unwrap(), b"small");
    // OFFLINE, RECALL_ON_OPEN, RECALL_ON_DATA_ACCESS: the stored content is not complete.
    for bit in [0x1000, 0x4_0000, 0x40_0000] {
        for data in [stored(), resident(), placeholder()] {
            let refused = cloud(0x20 | bit, data);
            assert!(matches!(&refused, Err(Error::Unsupported(why)) if why.contains("cloud")), "{refused:?}");
        }
    }
    // The bits are clear, but no content is stored: never zeros.
    let refused = cloud(0x20, placeholder());
    assert!(matches!(&refused, Err(Error::Unsupported(why)) if why.contains("byte 0x0")), "{refused:?}");
    let half = Extent { vcns: 0..=0, pairs: &[0x11, 1, 90, 0], size: 1000, valid: 500, flags: 0, unit: 0 };
    assert!(matches!(cloud(0, non_resident(code::DATA, "", &half)), Err(Error::Unsupported(_))));
    assert_eq!(cloud(0x40_0000, super::resident(code::DATA, "", b"")).unwrap(), b"");
}

#[test]
fn links_of_the_first_wsl_have_their_target_as_content() {
    let mut image = Image::new();
    let target = "../Grüße";
    image.file(&[resident(code::DATA, "", target.as_bytes()), point(0xa000_001d, &1_u32.to_le_bytes())]);
    let volume = image.open();
    assert_eq!(volume.stat(NodeId(FILE)).unwrap().kind, NodeKind::Symlink);
    assert_eq!(volume.read_link(NodeId(FILE)).unwrap(), LinkTarget::Posix(target.into()));
    // A target longer than any path.
    image.file(&[
        data(0..=9, &[0x11, 10, 90, 0], 10 * CLUSTER as u64),
        point(0xa000_001d, &1_u32.to_le_bytes()),
    ]);
    assert!(image.open().read_link(NodeId(FILE)).is_err());
}

#[test]
fn an_alias_names_what_it_starts() {
    let mut image = Image::new();
    let text = "Pkg_1\0Pkg!App\0C:\\Program Files\\app.exe\0@\0";
    let data: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let data = [&3_u32.to_le_bytes()[..], &data].concat();
    image.file(&[resident(code::DATA, "", b""), point(0x8000_001b, &data)]);
    let volume = image.open();
    let stat = volume.stat(NodeId(FILE)).unwrap();
    assert_eq!((stat.kind, stat.size), (NodeKind::File, 0));
    let refused = content(&volume);
    assert!(matches!(&refused, Err(Error::Unsupported(why)) if why.contains("app.exe")), "{refused:?}");
    let named = volume.xattrs().xattr(NodeId(FILE), "system.ntfs_app_exec_link").unwrap();
    assert_eq!(named.as_deref(), Some(&br"C:\Program Files\app.exe"[..]));
    image.file(&[resident(code::DATA, "", b"")]);
    assert_eq!(image.open().xattr(NodeId(FILE), "system.ntfs_app_exec_link").unwrap(), None);
}
