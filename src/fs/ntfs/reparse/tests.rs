use super::*;

fn point(tag: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = tag.to_le_bytes().to_vec();
    bytes.extend(u16::try_from(data.len()).unwrap().to_le_bytes());
    bytes.extend([0, 0]);
    bytes.extend(data);
    bytes
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// Offsets and lengths of two names, the second stored first, then the bytes `between`, then the names.
fn names(substitute: &str, print: &str, between: &[u8]) -> Vec<u8> {
    let (substitute, print) = (utf16(substitute), utf16(print));
    let len = |name: &[u8]| u16::try_from(name.len()).unwrap();
    let fields = [len(&print), len(&substitute), 0, len(&print)];
    [fields.map(u16::to_le_bytes).as_flattened(), between, &print, &substitute].concat()
}

fn parse(tag: u32, data: &[u8]) -> Data {
    Reparse::parse(&point(tag, data)).unwrap().data
}

#[test]
fn symbolic_links() {
    let link = |flags: u8| {
        Reparse::parse(&point(0xa000_000c, &names(r"\??\C:\x", r"C:\x", &[flags, 0, 0, 0]))).unwrap()
    };
    let target = |relative| LinkTarget::Windows {
        path: NameBuf::literal(r"\??\C:\x"),
        print: NameBuf::literal(r"C:\x"),
        relative,
    };
    assert_eq!(link(0).target(), Some(target(false)));
    assert_eq!(link(1).target(), Some(target(true)));
    assert_eq!((link(0).kind(), link(0).undecodable()), (Some(NodeKind::Symlink), None));
    let junction = Reparse::parse(&point(0xa000_0003, &names(r"\??\C:\x", r"C:\x", &[]))).unwrap();
    assert_eq!(junction.target(), Some(target(false)));
}

#[test]
fn posix_links_and_special_files() {
    assert_eq!(parse(0xa000_001d, b"\x02\0\0\0/etc/x\xff"), Data::LxSymlink(b"/etc/x\xff".to_vec()));
    let nfs =
        |kind: &[u8; 8], data: &[u8]| Reparse::parse(&point(0x8000_0014, &[kind, data].concat())).unwrap();
    let link = nfs(b"LNK\x01\0\0\0\0", &utf16("../grün"));
    assert_eq!(link.target(), Some(LinkTarget::Posix("../grün".into())));
    assert_eq!(nfs(b"BLK\0\0\0\0\0", &[8, 0, 0, 0, 1, 0, 0, 0]).kind(), Some(NodeKind::BlockDevice(8, 1)));
    assert_eq!(nfs(b"FIFO\0\0\0\0", &[]).kind(), Some(NodeKind::Fifo));
    for (tag, kind) in [
        (0x8000_0023, NodeKind::Socket),
        (0x8000_0024, NodeKind::Fifo),
        (0x8000_0025, NodeKind::CharDevice(0, 0)),
        (0x8000_0026, NodeKind::BlockDevice(0, 0)),
    ] {
        assert_eq!(Reparse::parse(&point(tag, &[])).unwrap().kind(), Some(kind));
    }
}

#[test]
fn content_held_elsewhere_is_named() {
    let wof = |algorithm| [1_u32, 2, 1, algorithm].map(u32::to_le_bytes).concat();
    assert_eq!(parse(0x8000_0017, &wof(0)), Data::Wof(Wof::File(WofAlgorithm::Xpress4K)));
    assert_eq!(parse(0x8000_0017, &wof(1)), Data::Wof(Wof::File(WofAlgorithm::Lzx)));
    assert!(Reparse::parse(&point(0x8000_0017, &wof(4))).is_err());
    let wim = [&[1_u32, 1, 2, 0].map(u32::to_le_bytes).concat()[..], &7_u64.to_le_bytes(), &[9; 20]].concat();
    assert_eq!(parse(0x8000_0017, &wim), Data::Wof(Wof::Wim { data_source: 7, hash: [9; 20] }));
    let why = |tag| Reparse::parse(&point(tag, &[])).unwrap().undecodable().unwrap();
    assert!(why(0x8000_0013).contains("deduplication"));
    assert!(why(0x9000_601a).contains("cloud"));
    assert!(why(0x8000_001e).contains("Azure File Sync"));
    assert!(why(0x8000_7777).contains("unknown Microsoft reparse (tag 0x80007777)"));
    for (tag, name) in [
        (0x8000_0018, "Windows container isolation"),
        (0x9000_1018, "Windows container isolation"),
        (0xa000_1027, "Windows container link"),
        (0x9000_f01a, "cloud file"),
        (0x1234, "third-party reparse"),
    ] {
        assert_eq!(describe(tag), name, "{tag:#x}");
    }
}

#[test]
fn application_alias() {
    let data = [&[3, 0, 0, 0][..], &utf16("Pkg_1\0Pkg!App\0C:\\app.exe\x000\0")].concat();
    let Data::AppExecLink { strings } = parse(0x8000_001b, &data) else { panic!() };
    assert_eq!(strings, ["Pkg_1", "Pkg!App", r"C:\app.exe", "0"].map(NameBuf::literal));
}

#[test]
fn points_of_others_have_a_guid() {
    let bytes = point(0x0000_1234, &[]);
    assert!(Reparse::parse(&bytes).is_err());
    let point = Reparse::parse(&[&bytes[..], &[0x11; 16]].concat()).unwrap();
    assert_eq!(point.guid, Some(Guid([0x11; 16])));
    assert!(point.undecodable().unwrap().contains("11111111-1111-1111-1111-111111111111"));
}

#[test]
fn cut_off_or_contradicting_points_are_errors() {
    let link = point(0xa000_000c, &names(r"\??\C:\x", r"C:\x", &[0; 4]));
    for len in 0..link.len() {
        assert!(Reparse::parse(&link[..len]).is_err(), "{len}");
        let mut short = link[..len].to_vec();
        if let Some(length) = short.get_mut(4) {
            *length = u8::try_from(len.saturating_sub(8)).unwrap();
            assert!(Reparse::parse(&short).is_err(), "{len}");
        }
    }
    for at in 8..16 {
        let mut bad = link.clone();
        bad[at] ^= 0x81;
        assert!(Reparse::parse(&bad).is_err(), "{at}");
    }
    // Bytes behind the stated length are padding.
    assert!(Reparse::parse(&[&link[..], &[0; 4]].concat()).is_ok());
}
