//! WIM files built by the tests: raw resources need no compressor. Compressed ones come from wimlib, in the suite.

use super::*;
use crate::bytes::{
    MemorySource,
    wrapper::tests::{Below, check_hints},
};

const CHUNK: usize = 4096;

fn hash(number: u8) -> Hash {
    [number; 20]
}

fn resource_header(stored: usize, flags: u8, offset: usize, size: usize) -> Vec<u8> {
    let stored = stored as u64 | u64::from(flags) << 56;
    [stored, offset as u64, size as u64].into_iter().flat_map(u64::to_le_bytes).collect()
}

/// A WIM of raw resources: flags, bytes, uncompressed length; their hashes are their numbers from 1.
fn wim(resources: &[(u8, Vec<u8>, usize)]) -> Vec<u8> {
    let mut file = vec![0; HEADER_LEN];
    let mut table = Vec::new();
    for (number, (flags, stored, size)) in (1..).zip(resources) {
        table.extend(resource_header(stored.len(), *flags, file.len(), *size));
        table.extend([1, 0, 1, 0, 0, 0]);
        table.extend(hash(number));
        file.extend(stored);
    }
    let place = resource_header(table.len(), 0, file.len(), table.len());
    file.extend(table);
    file[..8].copy_from_slice(b"MSWIM\0\0\0");
    let mut put = |at: usize, value: u32| file[at..at + 4].copy_from_slice(&value.to_le_bytes());
    put(8, 208);
    put(12, 0x10d00);
    put(16, 0x2_0002);
    put(20, 4096);
    put(40, 0x1_0001);
    file[48..72].copy_from_slice(&place);
    file
}

/// `content` in chunks that are all stored raw.
fn raw_chunks(content: &[u8]) -> Vec<u8> {
    let starts = (CHUNK..content.len()).step_by(CHUNK);
    let table = starts.flat_map(|at| u32::try_from(at).unwrap().to_le_bytes());
    table.chain(content.iter().copied()).collect()
}

fn open(file: Vec<u8>) -> Result<Wim> {
    Wim::open(Arc::new(MemorySource(file)))
}

fn blob(wim: &Wim, number: u8) -> Result<Option<Resource>> {
    wim.blob(&hash(number), Arc::new(Cache::new(1 << 20)), number.into())
}

fn read(resource: &Resource, piece: usize) -> Result<Vec<u8>> {
    let mut content = vec![0; usize::try_from(resource.size()).unwrap()];
    for (number, buf) in content.chunks_mut(piece).enumerate() {
        resource.read_exact_at((number * piece) as u64, buf)?;
    }
    Ok(content)
}

fn content() -> Vec<u8> {
    (0..3 * CHUNK + 1000).map(|at| (at / 7 % 251).to_le_bytes()[0]).collect()
}

#[test]
fn blobs_are_found_by_their_hash() {
    let (small, large) = (b"as it is".to_vec(), content());
    let wim =
        open(wim(&[(0, small.clone(), 8), (4, raw_chunks(&large), large.len()), (4, vec![], 0)])).unwrap();
    assert_eq!(read(&blob(&wim, 1).unwrap().unwrap(), 3).unwrap(), small);
    for piece in [1, 1000, CHUNK, CHUNK + 1, large.len()] {
        assert_eq!(read(&blob(&wim, 2).unwrap().unwrap(), piece).unwrap(), large, "{piece}");
    }
    assert_eq!(blob(&wim, 3).unwrap().unwrap().size(), 0);
    assert!(blob(&wim, 4).unwrap().is_none());
    assert!(blob(&wim, 2).unwrap().unwrap().read_exact_at(large.len() as u64, &mut [0]).is_err());
}

#[test]
fn other_kinds_are_refused_by_name() {
    let file = wim(&[(0x14, vec![0; 100], 100), (0x0c, vec![0; 100], 100)]);
    let refused = |at: usize, bytes: &[u8]| {
        let mut file = file.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        match open(file) {
            Err(Error::Unsupported(why)) => why.into_owned(),
            other => panic!("{:?}", other.err()),
        }
    };
    assert!(refused(0, b"WLPWM").contains("pipable"));
    assert!(refused(12, &0xe00_u32.to_le_bytes()).contains("solid"));
    assert!(refused(12, &0x10c00_u32.to_le_bytes()).contains("version"));
    assert!(refused(16, &0x8_0002_u32.to_le_bytes()).contains("LZMS"));
    assert!(refused(16, &[0x42]).contains("not finished"));
    assert!(refused(16, &[2, 0, 4, 0, 0, 0, 1, 0]).contains("65536"));
    assert!(refused(40, &[2, 0, 3, 0]).contains("part 2 of 3"));
    let wim = open(file.clone()).unwrap();
    assert!(blob(&wim, 1).err().unwrap().to_string().contains("solid"));
    assert!(blob(&wim, 2).err().unwrap().to_string().contains("split"));
}

#[test]
fn damage_is_an_error() {
    let large = content();
    let whole = wim(&[(4, raw_chunks(&large), large.len())]);
    for len in (0..whole.len()).step_by(37).chain([HEADER_LEN, whole.len() - 1]) {
        assert!(matches!(open(whole[..len].to_vec()), Err(Error::Corrupt(_))), "{len}");
    }
    // The chunk table: an offset outside of the resource, a descending one, a chunk that is too long.
    for (entry, value) in [(0, u32::MAX), (1, 0), (0, 0), (2, 4096)] {
        let mut file = whole.clone();
        file[HEADER_LEN + 4 * entry..][..4].copy_from_slice(&value.to_le_bytes());
        let wim = open(file).unwrap();
        let resource = blob(&wim, 1).unwrap().unwrap();
        assert!(matches!(read(&resource, large.len()), Err(Error::Corrupt(_))), "{entry} {value}");
    }
    // More uncompressed bytes than the resource has chunks for.
    let huge = [1 << 20, usize::MAX];
    for size in huge {
        let wim = open(wim(&[(4, raw_chunks(&large[..5000]), size)])).unwrap();
        match blob(&wim, 1) {
            Ok(resource) => assert!(resource.unwrap().read_exact_at(0, &mut [0; 100]).is_err(), "{size}"),
            Err(error) => assert!(matches!(error, Error::Corrupt(_)), "{size}"),
        }
    }
}

#[test]
fn any_changed_byte_is_survived() {
    let large = content();
    let whole = wim(&[(4, raw_chunks(&large), large.len()), (0, b"plain".to_vec(), 5)]);
    let interesting = (0..HEADER_LEN + 20).chain(whole.len() - 100..whole.len());
    for at in interesting {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut file = whole.clone();
            file[at] = value;
            let Ok(wim) = open(file) else { continue };
            for number in [1, 2] {
                let Ok(Some(resource)) = blob(&wim, number) else { continue };
                let mut buf = [0; 9000];
                let take = usize::try_from(resource.size()).unwrap_or(9000).min(9000);
                let _ = resource.read_exact_at(0, &mut buf[..take]);
                let _ = resource.read_exact_at(resource.size() - take as u64, &mut buf[..take]);
            }
        }
    }
}

#[test]
fn hints_are_passed_on_to_the_file() {
    let below = Below::new(vec![0; 4096]);
    let header = Header {
        compression: Compression::None,
        chunk_size: 32 << 10,
        guid: crate::guid::Guid([0; 16]),
        part: 1,
        blob_table: ResourceHeader { stored: 0, flags: 0, offset: 0, size: 0 },
    };
    let place = ResourceHeader { stored: 1000, flags: 0, offset: 100, size: 1000 };
    let file: Arc<dyn ByteSource> = below.clone();
    let resource = Resource::open(&file, &header, &place, Arc::new(ChunkCache::new(0)), 0).unwrap();
    check_hints(&below, &resource, Some(100));
}
