//! Files compressed by WOF: chunks by wimlib, put where Windows has them by ntfs-3g, and compared with what wimlib
//! extracts.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
    sync::Arc,
};

use vhdmount::{
    bytes::{ByteSource, MemorySource},
    cache::Cache,
    fs::{
        FileSystem, NameBuf, NodeKind, Streams, Xattrs,
        ntfs::{
            attributes::standard_information::{ATTRIBUTE_REPARSE_POINT, ATTRIBUTE_SPARSE_FILE},
            content::wof::WofSource,
            reparse::WofAlgorithm,
        },
    },
};

use super::{Ntfs3g, make, noise, open};
use crate::support::{
    have, have_fuse, run, scratch, sha256, sha256_source, tool,
    wim::{self, WOF, capture, wof_stream},
};

/// More runs than fit into one record.
const FRAGMENTED: usize = 5_000_011;

fn algorithm(number: u32) -> WofAlgorithm {
    [WofAlgorithm::Xpress4K, WofAlgorithm::Lzx, WofAlgorithm::Xpress8K, WofAlgorithm::Xpress16K]
        [number as usize]
}

/// Text, machine code (this program's), runs and noise, in turns.
fn mixed(len: usize) -> Vec<u8> {
    let program = fs::read(std::env::current_exe().unwrap()).unwrap();
    let text: Vec<u8> = (0..3000).flat_map(|i| format!("line {i} of {}\n", i % 37).into_bytes()).collect();
    let mut content = Vec::new();
    let mut code = program.chunks(100_000).cycle();
    while content.len() < len {
        content.extend(&text[content.len() % 1000..]);
        content.extend(code.next().unwrap());
        content.resize(content.len() + 70_000, 0);
        content.extend(noise(20_000, content.len() as u64));
    }
    content.truncate(len);
    content
}

/// Files of sizes around those of chunks, no two alike.
fn make_files(folder: &Path, chunk: usize) -> BTreeMap<usize, Vec<u8>> {
    let sizes = [1, 2, 511, chunk - 1, chunk, chunk + 1, 2 * chunk, 3 * chunk + 17, 40 * chunk + 5];
    let mut files: BTreeMap<usize, Vec<u8>> = sizes.map(|size| (size, mixed(size))).into();
    files.insert(3_000_000, mixed(3_000_000));
    files.insert(600_001, vec![0; 600_001]);
    files.insert(300_007, noise(300_007, 5));
    files.insert(0, Vec::new());
    for (size, content) in &files {
        fs::write(folder.join(size.to_string()), content).unwrap();
    }
    files
}

#[test]
fn chunks_of_every_method_are_those_that_wimlib_made() {
    if !have(&["wimcapture", "wimapply"]) {
        return;
    }
    let folder = scratch();
    for (method, chunk, number) in WOF {
        let (files, wim) = (folder.path().join("files"), folder.path().join("test.wim"));
        let extracted = folder.path().join("extracted");
        fs::create_dir_all(&files).unwrap();
        let files_made = make_files(&files, chunk);
        let captured = capture(&files, &wim, method, chunk);
        run(tool("wimapply").arg(&wim).arg("1").arg(&extracted));
        let compressed = captured.values().filter(|stream| stream.is_some()).count();
        assert!(compressed > 8, "{method} {chunk}: only {compressed} files were compressed");
        for (size, stream) in captured {
            let theirs = fs::read(extracted.join(size.to_string())).unwrap();
            assert!(theirs == files_made[&size]);
            let stream = Arc::new(MemorySource(wof_stream(stream, &theirs, chunk)));
            let cache = Arc::new(Cache::new(1 << 20));
            let source = WofSource::new(stream, algorithm(number), size as u64, cache, 1).unwrap();
            let hash = sha256_source(&source).unwrap();
            assert_eq!(hash, sha256(&theirs), "{method} {chunk}, {size} bytes");
            // Small reads go through the cache.
            let mut buf = [0; 700];
            for at in (0..size.saturating_sub(buf.len())).step_by(3001).take(100) {
                source.read_exact_at(at as u64, &mut buf).unwrap();
                assert!(buf[..] == theirs[at..at + buf.len()], "{method} {chunk}, {size} bytes at {at}");
            }
        }
        fs::remove_dir_all(files).unwrap();
        fs::remove_dir_all(extracted).unwrap();
    }
}

/// Makes `path` what Windows makes of a compressed file.
fn put(path: &Path, size: usize, stream: &[u8], number: u32) {
    fs::File::create(path).unwrap().set_len(size as u64).unwrap();
    let name = format!("{}:WofCompressedData", path.display());
    let file = fs::File::create(&name).unwrap();
    if size == FRAGMENTED {
        // Each cluster of the stream beside one of another file.
        let twin = fs::File::create(path.with_extension("twin")).unwrap();
        for (i, cluster) in stream.chunks(4096).enumerate() {
            file.write_all_at(cluster, i as u64 * 4096).unwrap();
            twin.write_all_at(cluster, i as u64 * 4096).unwrap();
        }
    } else {
        file.write_all_at(stream, 0).unwrap();
    }
    drop(file);
    xattr::set(path, "system.ntfs_reparse_data", &wim::wof_reparse_point(number)).unwrap();
}

#[test]
fn files_on_a_volume_are_read_and_look_like_ordinary_ones() {
    if !have(&["mkntfs", "ntfs-3g", "wimcapture"]) || !have_fuse() {
        return;
    }
    let folder = scratch();
    let image = make(folder.path(), 128 << 20, 512, 4096);
    let mut expected = BTreeMap::new();
    let mounted = Ntfs3g::mount(&image, "streams_interface=windows");
    for (method, chunk, number) in WOF {
        let files = folder.path().join(number.to_string());
        fs::create_dir_all(&files).unwrap();
        let mut contents = make_files(&files, chunk);
        let mut captured = capture(&files, &folder.path().join("test.wim"), method, chunk);
        if number == 3 {
            contents.insert(FRAGMENTED, noise(FRAGMENTED, 9));
        }
        for (size, content) in contents {
            let stream = captured.remove(&size).flatten();
            let stream = if size == 0 { Vec::new() } else { wof_stream(stream, &content, chunk) };
            let name = format!("{number}-{size}");
            put(&mounted.folder.join(&name), size, &stream, number);
            expected.insert(name, content);
        }
    }
    drop(mounted);
    let oracle = Ntfs3g::mount(&image, "ro,streams_interface=windows");
    let volume = open(&image);
    for (name, content) in &expected {
        let id = NameBuf::literal(name);
        let node = volume.lookup(volume.root(), id.as_name()).unwrap().unwrap();
        let stat = volume.stat(node).unwrap();
        assert_eq!((stat.kind, stat.size), (NodeKind::File, content.len() as u64), "{name}");
        assert_eq!(stat.attributes & (ATTRIBUTE_REPARSE_POINT | ATTRIBUTE_SPARSE_FILE), 0, "{name}");
        assert!(volume.streams().list_streams(node).unwrap().is_empty(), "{name}");
        assert_eq!(volume.xattrs().xattr(node, "ntfs.streams.list").unwrap().unwrap(), b"", "{name}");
        let source = volume.open(node).unwrap();
        assert_eq!(sha256_source(&*source).unwrap(), sha256(content), "{name}");
        for xattr in ["system.ntfs_reparse_data", "system.ntfs_attrib"] {
            let theirs = xattr::get(oracle.folder.join(name), xattr).unwrap();
            assert_eq!(volume.xattrs().xattr(node, xattr).unwrap(), theirs, "{name} {xattr}");
        }
        // Windows counts what the compressed stream takes.
        let stream = fs::metadata(oracle.folder.join(format!("{name}:WofCompressedData"))).unwrap();
        if stream.len() > 1024 {
            assert_eq!(stat.allocated, stream.blocks() * 512, "{name}");
        } else {
            assert!(stat.allocated <= 4096, "{name}: {}", stat.allocated);
        }
    }
    let fragmented = format!("3-{FRAGMENTED}");
    let node = volume.lookup(volume.root(), NameBuf::literal(&fragmented).as_name()).unwrap().unwrap();
    read_in_parallel(&*volume.open(node).unwrap(), &expected[&fragmented]);
}

fn read_in_parallel(source: &dyn ByteSource, content: &[u8]) {
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                let mut buf = vec![0; 150_000];
                for at in (thread * 37_777..content.len() - buf.len()).step_by(290_001) {
                    source.read_exact_at(at as u64, &mut buf).unwrap();
                    assert!(buf[..] == content[at..at + buf.len()], "at {at}");
                }
            });
        }
    });
}
