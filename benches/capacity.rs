//! Measures the capacity of a huge thin disk: time, bytes read and memory.
//!
//! `cargo bench --bench capacity [-- IMAGE…]`: measures a VHDX of 64 TiB with an NTFS volume of 16 TiB (made with mkntfs,
//! in the folder for temporary files: about a GiB in sparse files), a checkered allocation map, or the given images.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a measurement: rounding does not matter, and sizes are small"
)]

use std::{
    env,
    fs::File,
    io::{Seek, SeekFrom, Write},
    ops::{ControlFlow, Range},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use vhdmount::{
    Error, Result,
    bytes::{ByteSource, Extent, ExtentKind, FileSource, Window},
    capacity::{Capacity, Readable},
    container,
    fs::{DirCursor, DirEntry, FileSystem, LinkTarget, Name, NodeId, Space, Stat, Usage, VolumeInfo},
    host::System,
    image::{Image, OpenOptions},
    volume::{Origin, Piece},
};

#[path = "../tests/suite/support/vhdx_writer.rs"]
mod vhdx_writer;

const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;
const CLUSTER: u64 = 4096;

fn main() {
    // Cargo passes options of its own.
    let images: Vec<_> = env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    for image in &images {
        measure(image, Path::new(image));
    }
    if !images.is_empty() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    match huge(folder.path()) {
        Ok(image) => measure("VHDX of 64 TiB, NTFS of 16 TiB", &image),
        Err(problem) => println!("VHDX of 64 TiB with NTFS: not measured: {problem}"),
    }
    for block in [1, 32] {
        checkered(folder.path(), block * MIB);
    }
}

/// Measures one image: the time of two reports, and the reads of the first one.
fn measure(name: &str, path: &Path) {
    let start = Instant::now();
    let image = Image::open(path, &OpenOptions::default()).expect("an image");
    let opened = start.elapsed();
    let capacity = image.capacity();
    let start = Instant::now();
    let report = capacity.report().expect("a report");
    let first = start.elapsed();
    let start = Instant::now();
    let again = capacity.report().expect("a report");
    let second = start.elapsed();
    assert_eq!(report.backed, again.backed);

    let source =
        Arc::new(Counting { inner: FileSource::open(path).expect("a file"), read: AtomicU64::new(0) });
    let counted = Image::open_source(source.clone(), &OpenOptions::default()).expect("an image");
    counted.capacity().report().expect("a report");
    let read = source.read.load(Ordering::Relaxed) as f64 / MIB as f64;
    println!(
        "{name}: opened in {opened:.1?}, first report {first:.1?}, next {second:.1?}; {read:.0} MiB read of {:.0} GiB \
         promised, {:.0} GiB backed; {} MiB of memory at most",
        report.virtual_size as f64 / (1 << 30) as f64,
        report.backed as f64 / (1 << 30) as f64,
        peak_memory(),
    );
}

/// Makes the huge disk; the error names what is missing.
fn huge(folder: &Path) -> std::result::Result<PathBuf, String> {
    const BLOCK: u64 = 32 * MIB;
    /// Offset of the first block, after headers and table.
    const FIRST: u64 = 64 * MIB;
    let (raw, vhdx) = (folder.join("volume.ntfs"), folder.join("huge.vhdx"));
    let file = File::create(&raw).map_err(|error| error.to_string())?;
    // NTFS allows at most 2^32 - 1 clusters, so the volume is 1 GiB smaller than 16 TiB.
    file.set_len(16 * TIB - (1 << 30)).map_err(|error| error.to_string())?;
    let mut mkntfs = Command::new("mkntfs");
    let made = mkntfs.args(["-F", "-Q", "-q", "-c", "4096", "-s", "512"]).arg(&raw).output();
    let made = made.map_err(|error| format!("mkntfs: {error}"))?;
    if !made.status.success() {
        return Err(format!("mkntfs: {}", String::from_utf8_lossy(&made.stderr)));
    }
    let volume = FileSource::open(&raw).expect("a file");
    let (mut blocks, mut offset) = (Vec::new(), 0);
    while offset < volume.size() {
        let extent = volume.extent_at(offset).expect("extents");
        let end = (offset + extent.len).min(volume.size());
        if extent.kind == ExtentKind::Data {
            blocks.extend(offset / BLOCK..end.div_ceil(BLOCK));
        }
        offset = end;
    }
    blocks.dedup();
    let places = || blocks.iter().zip((FIRST..).step_by(BLOCK as usize));
    let mut recipe = vhdx_writer::Recipe::dynamic(64 * TIB, BLOCK);
    for (number, place) in places() {
        recipe = recipe.block(*number, vhdx_writer::Block::Entry(place | 6));
    }
    let mut image = recipe.build();
    image.size = FIRST + blocks.len() as u64 * BLOCK;
    image.save(&vhdx);
    let mut file = File::options().write(true).open(&vhdx).expect("just made");
    let mut buf = vec![0; MIB as usize];
    for (number, place) in places() {
        for within in (0..BLOCK.min(volume.size() - number * BLOCK)).step_by(MIB as usize) {
            volume.read_exact_at(number * BLOCK + within, &mut buf).expect("a file");
            let written = file.seek(SeekFrom::Start(place + within)).and_then(|_| file.write_all(&buf));
            written.map_err(|error| error.to_string())?;
        }
    }
    std::fs::remove_file(&raw).map_err(|error| error.to_string())?;
    Ok(vhdx)
}

/// Measures a volume of 1 TiB of which every other cluster is free, on a disk of which every other block is allocated.
fn checkered(folder: &Path, block: u64) {
    let mut recipe = vhdx_writer::Recipe::dynamic(64 * TIB, block);
    for number in (0..TIB / block).step_by(2) {
        // A place for each block, far beyond the table, in a file that is a single hole.
        recipe = recipe.block(number, vhdx_writer::Block::Entry((TIB + number * block) | 6));
    }
    let path = folder.join("checkered.vhdx");
    let mut image = recipe.build();
    image.size = 2 * TIB;
    image.save(&path);
    let container = container::open(&path, &container::OpenOptions::default()).expect("our own image");
    let disk = container.disk.clone();
    let bytes = Window::new(disk.clone(), 0, u64::MAX);
    let piece = Piece { id: None, name: "p1".into(), origin: Origin::WholeDisk, bytes };
    let volume = Readable { volume: piece.into(), fs: Arc::new(Checkered) };
    let capacity = Capacity::new(disk, container.files().to_vec(), vec![volume], Arc::new(System));
    let start = Instant::now();
    let report = capacity.report().expect("a report");
    let elapsed = start.elapsed();
    assert_eq!(report.volumes[0].problem, "");
    let ranges = TIB / CLUSTER / 2;
    println!(
        "64 TiB in blocks of {} MiB, {ranges} free ranges: {elapsed:.1?}, {:.1} ns for each; {} MiB of memory at most",
        block / MIB,
        elapsed.as_secs_f64() * 1e9 / ranges as f64,
        peak_memory(),
    );
}

/// The peak memory of this process so far, in MiB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) >> 10
}

struct Counting {
    inner: FileSource,
    read: AtomicU64,
}

impl ByteSource for Counting {
    fn size(&self) -> u64 {
        self.inner.size()
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.read.fetch_add(buf.len() as u64, Ordering::Relaxed);
        self.inner.read_exact_at(offset, buf)
    }
    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.inner.extent_at(offset)
    }
}

/// A volume of 1 TiB of which every other cluster is free.
struct Checkered;

impl FileSystem for Checkered {
    fn volume(&self) -> VolumeInfo {
        VolumeInfo::default()
    }

    fn root(&self) -> NodeId {
        NodeId(0)
    }

    fn stat(&self, _: NodeId) -> Result<Stat> {
        Err(Error::Invalid("no files".into()))
    }

    fn lookup(&self, _: NodeId, _: Name<'_>) -> Result<Option<NodeId>> {
        Ok(None)
    }

    fn read_dir(
        &self,
        _: NodeId,
        _: DirCursor,
        _: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        Ok(())
    }

    fn parent(&self, node: NodeId) -> Result<NodeId> {
        Ok(node)
    }

    fn open(&self, _: NodeId) -> Result<Arc<dyn ByteSource>> {
        Err(Error::Invalid("no files".into()))
    }

    fn read_link(&self, _: NodeId) -> Result<LinkTarget> {
        Err(Error::Invalid("no links".into()))
    }

    fn space(&self) -> &dyn Space {
        self
    }
}

impl Space for Checkered {
    fn usage(&self) -> Result<Usage> {
        Ok(Usage { cluster_size: CLUSTER, total: TIB, free: TIB / 2 })
    }

    fn free_ranges(&self, sink: &mut dyn FnMut(Range<u64>) -> ControlFlow<()>) -> Result<()> {
        let mut offsets = (0..TIB).step_by(2 * CLUSTER as usize);
        let _ = offsets.try_for_each(|offset| sink(offset..offset + CLUSTER));
        Ok(())
    }
}
