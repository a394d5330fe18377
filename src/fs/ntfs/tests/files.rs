//! Tests of files over several records, with a part that is lost, and of streams.

use super::*;

#[test]
fn a_bad_entry_of_an_attribute_list_costs_what_lies_behind_it() {
    let damaged = |bad: usize| {
        let mut list = [
            list_entry(code::FILE_NAME, 0, 1 << 48 | FILE),
            list_entry(code::DATA, 0, 1 << 48 | FILE),
            list_entry(code::DATA, 2, 1 << 48 | 22),
        ];
        list[bad][4] = 0;
        let mut image = Image::new();
        image.listed(&list, &[data(0..=1, &[0x11, 2, 90, 0], 4 * CLUSTER as u64)]);
        image.record(22, 1, 1 << 48 | FILE, &[data(2..=3, &[0x11, 2, 92, 0], 0)]);
        image.put(90 * CLUSTER, &[0x42; 4 * CLUSTER]);
        image.open()
    };
    let volume = damaged(2);
    assert_eq!(volume.stat(NodeId(FILE)).unwrap().size, 4 * CLUSTER as u64);
    let source = volume.open(NodeId(FILE)).unwrap();
    let mut buf = [0; 2 * CLUSTER];
    source.read_exact_at(0, &mut buf).unwrap();
    assert_eq!(buf, [0x42; 2 * CLUSTER]);
    assert!(is_corrupt(source.read_exact_at(1, &mut buf)));
    assert_eq!(source.missing_from(), Some(2 * CLUSTER as u64));
    // Attributes in the base record itself are readable without the list.
    assert_eq!(damaged(1).open(NodeId(FILE)).unwrap().missing_from(), Some(2 * CLUSTER as u64));
    // If all of the content is behind the damage, the file is not an empty one.
    let mut list = [list_entry(code::FILE_NAME, 0, 1 << 48 | FILE), list_entry(code::DATA, 0, 1 << 48 | 22)];
    let mut image = Image::new();
    image.record(22, 1, 1 << 48 | FILE, &[data(0..=1, &[0x11, 2, 92, 0], 2 * CLUSTER as u64)]);
    image.listed(&list, &[]);
    assert_eq!(content(&image.open()).unwrap().len(), 2 * CLUSTER);
    list[1][4] = 0;
    image.listed(&list, &[]);
    let volume = image.open();
    assert!(is_corrupt(volume.stat(NodeId(FILE))) && is_corrupt(volume.open(NodeId(FILE)).map(drop)));
}

#[test]
fn what_a_file_lacks_is_an_error_where_it_is_read() {
    let mut image = Image::new();
    // The list names an extent that no record has.
    let list = [
        list_entry(code::FILE_NAME, 0, 1 << 48 | FILE),
        list_entry(code::DATA, 0, 1 << 48 | FILE),
        list_entry(code::DATA, 2, 1 << 48 | 22),
    ];
    image.file(&[
        resident(code::ATTRIBUTE_LIST, "", &list.concat()),
        data(0..=1, &[0x11, 2, 90, 0], 4 * CLUSTER as u64),
    ]);
    image.put(90 * CLUSTER, &[0x42; 2 * CLUSTER]);
    let volume = image.open();
    let source = volume.open(NodeId(FILE)).unwrap();
    let mut buf = [0; 2 * CLUSTER];
    source.read_exact_at(0, &mut buf).unwrap();
    assert_eq!(buf, [0x42; 2 * CLUSTER]);
    assert!(is_corrupt(source.read_exact_at(1, &mut buf)));
    assert_eq!(volume.stat(NodeId(FILE)).unwrap().size, 4 * CLUSTER as u64);

    // Runs beyond the volume.
    image.file(&[data(0..=1, &[0x11, 1, 90, 0x21, 1, 0, 0x10, 0], 2 * CLUSTER as u64)]);
    let source = image.open().open(NodeId(FILE)).unwrap();
    source.read_exact_at(0, &mut buf[..CLUSTER]).unwrap();
    assert!(is_corrupt(source.read_exact_at(CLUSTER as u64, &mut buf[..1])));
}

#[test]
fn bytes_beyond_the_initialized_size_are_zeros() {
    let mut image = Image::new();
    image.put(90 * CLUSTER, &[0x42; CLUSTER]);
    let extent = Extent { vcns: 0..=0, pairs: &[0x11, 1, 90, 0], size: 1000, valid: 3, flags: 0, unit: 0 };
    image.file(&[non_resident(code::DATA, "", &extent)]);
    let mut expected = vec![0; 1000];
    expected[..3].fill(0x42);
    assert_eq!(content(&image.open()).unwrap(), expected);
}

#[test]
fn what_cannot_be_decoded_is_named() {
    let mut image = Image::new();
    let mut with = |flags, unit, more: &[Vec<u8>]| {
        let extent = Extent { vcns: 0..=0, pairs: &[0x11, 1, 90, 0], size: 1000, valid: 1000, flags, unit };
        image.file(&[vec![non_resident(code::DATA, "", &extent)], more.to_vec()].concat());
        let volume = image.open();
        assert_eq!(volume.stat(NodeId(FILE)).unwrap().size, 1000);
        content(&volume)
    };
    assert!(matches!(with(0x4000, 0, &[]), Err(Error::Denied(_))));
    assert!(matches!(with(0x0002, 4, &[]), Err(Error::Unsupported(_))));
    for unit in [0, 11, 63, 64, 255] {
        assert!(is_corrupt(with(0x0001, unit, &[])));
    }
    let mut wof = [0x8000_0017_u32.to_le_bytes(), [16, 0, 0, 0]].concat();
    [1_u32, 2, 1, 0].iter().for_each(|field| wof.extend(field.to_le_bytes()));
    // Without the stream.
    assert!(is_corrupt(with(0, 0, &[resident(code::REPARSE_POINT, "", &wof)])));
    // A damaged reparse point: the type of the file is unknown.
    image.file(&[resident(code::REPARSE_POINT, "", &wof[..12])]);
    assert!(content(&image.open()).is_err());
}

#[test]
fn streams_are_nodes_of_their_own() {
    let mut image = Image::new();
    image.file(&[
        resident(code::DATA, "", b"unnamed"),
        resident(code::DATA, "first", b"1"),
        resident(code::DATA, "Second", b"22"),
    ]);
    let volume = image.open();
    let streams = volume.streams().list_streams(NodeId(FILE)).unwrap();
    assert_eq!(
        streams.iter().map(|stream| (stream.name.to_string(), stream.size)).collect::<Vec<_>>(),
        [("first".into(), 1), ("Second".into(), 2)]
    );
    let second =
        volume.streams().lookup_stream(NodeId(FILE), NameBuf::literal("SECOND").as_name()).unwrap().unwrap();
    assert_eq!(second, NodeId(FILE | 2 << super::super::records::RECORD_BITS));
    assert_eq!((volume.stat(second).unwrap().size, volume.open(second).unwrap().size()), (2, 2));
    assert!(matches!(
        volume.stat(NodeId(FILE | 3 << super::super::records::RECORD_BITS)),
        Err(Error::NotFound(_))
    ));
    assert!(matches!(volume.lookup(second, NameBuf::literal("x").as_name()), Err(Error::Invalid(_))));
    assert_eq!(
        volume.streams().lookup_stream(NodeId(FILE), NameBuf::literal("third").as_name()).unwrap(),
        None
    );
}

#[test]
fn streams_keep_their_numbers_when_others_cannot_be_read() {
    let streams = ["in the base", "one", "two", "three"];
    let volume = |lost: &[u64]| {
        let segments = [FILE, 22, 22, 23];
        let named = streams
            .iter()
            .zip(segments)
            .map(|(name, record)| named_list_entry(code::DATA, name, 1 << 48 | record));
        let list: Vec<_> =
            [list_entry(code::FILE_NAME, 0, 1 << 48 | FILE)].into_iter().chain(named).collect();
        let content = |name: &str| resident(code::DATA, name, name.as_bytes());
        let mut image = Image::new();
        image.listed(&list, &[content(streams[0])]);
        image.record(22, 1, 1 << 48 | FILE, &[content(streams[1]), content(streams[2])]);
        image.record(23, 1, 1 << 48 | FILE, &[content(streams[3])]);
        lost.iter().for_each(|record| image.put(Image::at(*record), b"BAAD"));
        image.open()
    };
    let find = |volume: &Ntfs, name: &str| {
        volume.streams().lookup_stream(NodeId(FILE), NameBuf::literal(name).as_name())
    };
    let whole = volume(&[]);
    let nodes = streams.map(|name| find(&whole, name).unwrap().unwrap());
    for lost in [&[][..], &[22], &[23], &[22, 23]] {
        let volume = volume(lost);
        for (name, node) in streams.iter().zip(nodes) {
            let is_lost = match *name {
                "one" | "two" => lost.contains(&22),
                "three" => lost.contains(&23),
                _ => false,
            };
            // A number that was found while all could be read leads to the same stream, or to an error.
            match volume.open(node) {
                Ok(source) => {
                    assert!(!is_lost, "{name} without {lost:?}");
                    let bytes = crate::bytes::read_vec(&*source, 0, usize::try_from(source.size()).unwrap());
                    assert_eq!(bytes.unwrap(), name.as_bytes(), "without {lost:?}");
                }
                Err(error) => assert!(is_lost, "{name} without {lost:?}: {error}"),
            }
            match find(&volume, name) {
                Ok(found) => assert_eq!(found, Some(node), "{name} without {lost:?}"),
                // Whether a stream is hidden depends on another one, which may be lost.
                Err(_) => assert!(!lost.is_empty(), "{name}"),
            }
        }
    }
}
