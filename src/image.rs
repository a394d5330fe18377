//! The only assembler: a path becomes a disk, its partitions, their volumes, and the tree that is mounted.

pub mod bcd;
pub mod boot;
pub mod check;
pub mod diff;
mod find;
mod free;
mod info;
mod live;
mod probe;
pub mod registry;
mod session;
mod synthesis;
pub mod writing;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

pub use find::{Discovery, find};
pub use info::{DiskInfo, PartitionInfo, VolumeState, VolumeSummary};
pub use probe::probe;
use probe::probe_in;
use synthesis::Synthesis;

use crate::{
    Error, Result,
    bytes::ByteSource,
    capacity::{self, Capacity},
    container::{self, Container},
    fs::{Context, FileSystem, Timestamp, probe::Probe},
    host::Host,
    partition::{self, Partition, Scheme, Table},
    tree::{self, Parts, RawView, Tree},
    volume::{self, Origin, Piece, Volume},
};

/// Volumes that are opened: each takes memory for its caches. A GPT has 128 partitions by default.
const MAX_READABLE: usize = 128;
/// A bitmap of this size, of 128 GiB in clusters of 4 KiB, is read and counted in a few milliseconds.
const QUICKLY_COUNTED: u64 = 4 << 20;

/// How an image is opened.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// Parents, log, the host.
    pub container: container::OpenOptions,
    /// What the filesystems show and how.
    pub fs: crate::fs::Options,
}

impl OpenOptions {
    /// The same from any working directory.
    fn absolute(&self) -> Self {
        let absolute = |paths: &[PathBuf]| -> Vec<_> {
            paths.iter().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone())).collect()
        };
        let container = container::OpenOptions {
            parents: absolute(&self.container.parents),
            parent_dirs: absolute(&self.container.parent_dirs),
            // Known since the first time.
            find_children: false,
            ..self.container.clone()
        };
        Self { container, ..self.clone() }
    }
}

/// A disk, its partition table, and what its partitions hold.
pub struct Image {
    opened: Arc<Opened>,
    list_deleted: bool,
    time: Timestamp,
    host: Arc<dyn Host>,
    /// How to open it again, when it is a file of the host.
    origin: Option<(PathBuf, OpenOptions)>,
}

/// Shared with the tree, which computes `info.json` only when it is read: counting the free space may read a whole bitmap.
struct Opened {
    container: Container,
    /// The disk's bytes: those of the container's disk, or of a session that writes.
    bytes: Arc<dyn ByteSource>,
    table: Table,
    /// First one for each partition, in the order of the table; then the volumes that formats make of those.
    volumes: Vec<Arc<Content>>,
    /// The last number that was given to a volume.
    last_number: u64,
}

/// A volume and what it holds.
struct Content {
    volume: Volume,
    probe: Probe,
    /// In node numbers; another one when the volume is opened anew.
    number: u64,
}

impl Content {
    fn readable(&self) -> Option<&Arc<dyn FileSystem>> {
        match &self.probe {
            Probe::Readable(fs) => Some(fs),
            _ => None,
        }
    }
}

impl Opened {
    /// Each partition with the volume that it is.
    fn partitions(&self) -> impl Iterator<Item = (&Partition, &Content)> {
        self.table.partitions.iter().zip(self.volumes.iter().map(|content| &**content))
    }
}

impl Image {
    /// Opens an image file (with the parents of a differencing disk) or a block device.
    ///
    /// # Errors
    /// When the container cannot be opened. Damaged partitions and volumes are no error: see [`Self::info`].
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self> {
        let container = container::open(path, &options.container)?;
        let file = container.files().first().and_then(Option::as_ref);
        let modified =
            file.and_then(|file| file.file().metadata().and_then(|metadata| metadata.modified()).ok());
        let disk: Arc<dyn ByteSource> = container.disk.clone();
        let time = modified.map_or(Timestamp::default(), Timestamp::from);
        let image = Self::assemble(container, disk, time, options)?;
        // A mount changes its working directory, and may look again much later.
        let origin = std::path::absolute(path).ok().map(|path| (path, options.absolute()));
        Ok(Self { origin, ..image })
    }

    /// An image inside any source of bytes; a differencing disk has no parents here and is refused.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_source(source: Arc<dyn ByteSource>, options: &OpenOptions) -> Result<Self> {
        Self::of_container(container::open_source(source, &options.container)?, options)
    }

    /// A differencing image inside any source of bytes, with its parents below it.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_chain(sources: Vec<Arc<dyn ByteSource>>, options: &OpenOptions) -> Result<Self> {
        Self::of_container(container::open_chain(sources, &options.container)?, options)
    }

    /// The disk as its parent has it; `None` for an image without a parent.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn below(&self, options: &OpenOptions) -> Result<Option<Self>> {
        self.container().below().map(|parent| Self::of_container(parent, options)).transpose()
    }

    fn of_container(container: Container, options: &OpenOptions) -> Result<Self> {
        let disk: Arc<dyn ByteSource> = container.disk.clone();
        Self::assemble(container, disk, Timestamp::default(), options)
    }

    /// `disk`: the bytes of the container's disk.
    fn assemble(
        container: Container,
        disk: Arc<dyn ByteSource>,
        time: Timestamp,
        options: &OpenOptions,
    ) -> Result<Self> {
        let table = partition::scan(&disk, container.logical_sector_size())?;
        let context = Context { volumes: table.partitions.len(), ..Context::default() };
        let pieces = table.partitions.iter().map(|partition| piece(&table, partition, &disk));
        let mut readable = 0;
        let volumes = volume::expand(pieces.collect()).into_iter().zip(1..).map(|(volume, number)| {
            let probe = match readable {
                // A hostile table may name the same volume a thousand times.
                MAX_READABLE => Probe::Recognized {
                    name: "not examined",
                    hint: "the limit of readable volumes is reached",
                },
                // An unreadable volume must not take the others with it.
                _ => probe_in(&volume.bytes, &options.fs, &context)
                    .unwrap_or_else(|error| Probe::Damaged { name: "unreadable", error }),
            };
            readable += usize::from(matches!(probe, Probe::Readable(_)));
            Arc::new(Content { volume, probe, number })
        });
        let volumes: Vec<_> = volumes.collect();
        introduce(&context, &volumes);
        let last_number = volumes.len() as u64;
        let opened = Arc::new(Opened { container, bytes: disk, table, volumes, last_number });
        let host = options.container.host.clone();
        Ok(Self { opened, list_deleted: options.fs.list_deleted, time, host, origin: None })
    }

    /// The virtual disk.
    pub fn disk(&self) -> &Arc<container::Disk> {
        &self.opened.container.disk
    }

    /// The disk's bytes: those of [`Self::disk`], or of a session that writes.
    pub fn bytes(&self) -> &Arc<dyn ByteSource> {
        &self.opened.bytes
    }

    /// The container: layers, warnings.
    pub fn container(&self) -> &Container {
        &self.opened.container
    }

    /// The partition table.
    pub fn table(&self) -> &Table {
        &self.opened.table
    }

    /// Each partition with what it holds.
    pub fn partitions(&self) -> impl Iterator<Item = (&Partition, &Probe)> {
        self.opened.partitions().map(|(partition, content)| (partition, &content.probe))
    }

    /// Each volume with what it holds: first the partitions, in the order of their table.
    pub fn volumes(&self) -> impl Iterator<Item = (&Volume, &Probe)> {
        self.opened.volumes.iter().map(|content| (&content.volume, &content.probe))
    }

    /// Everything that `info` reports.
    pub fn info(&self) -> DiskInfo {
        self.opened.info(u64::MAX)
    }

    /// The same without the free space of large volumes, so that it takes as long for 64 TiB as for 64 GiB.
    pub fn quick_info(&self) -> DiskInfo {
        self.opened.info(QUICKLY_COUNTED)
    }

    /// The capacity of this image, asked of the host that it was opened with.
    pub fn capacity(&self) -> Capacity {
        let volumes =
            self.readable().map(|(volume, fs)| capacity::Readable { volume: volume.clone(), fs: fs.clone() });
        Capacity::new(
            self.disk().clone(),
            self.opened.container.files().to_vec(),
            volumes.collect(),
            self.host.clone(),
        )
    }

    /// The tree that is mounted. `only` is a partition number: that volume becomes the root.
    ///
    /// # Errors
    /// When partition `only` does not exist or cannot be read; the text says what it holds instead.
    pub fn tree(&self, only: Option<u32>) -> Result<Tree> {
        let esp = |volume: &Volume| match volume.origin {
            Origin::Partition(number) => {
                self.opened.table.partitions.iter().any(|found| found.number == number && found.esp)
            }
            Origin::WholeDisk => false,
        };
        let numbers = self.opened.volumes.iter().filter(|content| content.readable().is_some());
        let numbers = numbers.map(|content| content.number).collect();
        let volumes = self.readable().map(|(volume, fs)| tree::Volume {
            name: volume.name.clone(),
            id: volume.id,
            esp: esp(volume),
            fs: fs.clone(),
        });
        let only = only.map(|number| self.only(number)).transpose()?;
        let views = self
            .volumes()
            .map(|(volume, _)| RawView { name: format!("{}.raw", volume.name), bytes: volume.bytes.clone() });
        let whole = RawView { name: "disk.raw".into(), bytes: self.opened.bytes.clone() };
        let hidden = self.opened.partitions().filter(|(_, content)| content.readable().is_none());
        let hidden = hidden.map(|(partition, content)| {
            let state = VolumeState::of_partition(partition, &content.probe);
            tree::HiddenVolume {
                name: content.volume.name.clone(),
                esp: partition.esp,
                has_files: !matches!(state, VolumeState::NoFilesystem { .. }),
                why: state.to_string(),
            }
        });
        let generator = Synthesis::new(self);
        let tree = Tree::new(Parts {
            volumes: volumes.collect(),
            hidden: hidden.collect(),
            only,
            raw_views: std::iter::once(whole).chain(views).collect(),
            generator: Box::new(generator),
            list_deleted: self.list_deleted,
            time: self.time,
        });
        Ok(tree.with_numbers(numbers))
    }

    fn readable(&self) -> impl Iterator<Item = (&Volume, &Arc<dyn FileSystem>)> {
        self.opened.volumes.iter().filter_map(|content| Some((&content.volume, content.readable()?)))
    }

    /// The place of partition `number` among the readable volumes.
    fn only(&self, number: u32) -> Result<usize> {
        let there = self.opened.partitions().find(|(partition, _)| partition.number == number);
        let Some((_, content)) = there else { return Err(self.no_partition(number)) };
        let index = self.readable().position(|(volume, _)| volume.name == content.volume.name);
        index.ok_or_else(|| {
            let state = VolumeState::of(0, &content.probe);
            Error::unsupported(format!("partition {number} cannot be read: {state}"))
        })
    }

    /// The error for a partition that the table does not have.
    fn no_partition(&self, number: u32) -> Error {
        let numbers: Vec<_> = self.opened.table.partitions.iter().map(|p| p.number.to_string()).collect();
        Error::not_found(match numbers.is_empty() {
            true => format!("there is no partition {number}: the disk has none"),
            false => format!("there is no partition {number}; the disk has {}", numbers.join(", ")),
        })
    }
}

/// Makes the readable volumes of a disk known to each other.
fn introduce(context: &Context, volumes: &[Arc<Content>]) {
    let known =
        volumes.iter().filter_map(|content| Some((content.volume.id?, Arc::downgrade(content.readable()?))));
    context.neighbours.set(known);
}

/// A partition as a volume.
fn piece(table: &Table, partition: &Partition, disk: &Arc<dyn ByteSource>) -> Piece {
    Piece {
        id: table.partition_id(partition),
        name: format!("p{}", partition.number),
        origin: match table.scheme {
            Scheme::None => Origin::WholeDisk,
            Scheme::Mbr | Scheme::Gpt => Origin::Partition(partition.number),
        },
        bytes: partition.window(disk),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::fs::{FileSystem, Name, NameBuf};

    /// A FAT32 volume of 64 GiB whose table has 64 MiB, all zeros but the boot sector; counts what is read.
    #[derive(Default)]
    struct Large(AtomicU64);

    impl ByteSource for Large {
        fn size(&self) -> u64 {
            64 << 30
        }
        fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
            let mut boot = [0; 512];
            boot[..11].copy_from_slice(b"\xeb\x58\x90mkfs.fat");
            boot[11..22].copy_from_slice(&[0, 2, 8, 32, 0, 1, 0, 0, 0, 0, 0xf8]);
            boot[32..36].copy_from_slice(&(1_u32 << 27).to_le_bytes());
            boot[36..40].copy_from_slice(&(1_u32 << 17).to_le_bytes());
            boot[44] = 2;
            boot[510..].copy_from_slice(&[0x55, 0xaa]);
            for (to, at) in buf.iter_mut().zip(offset..) {
                *to = usize::try_from(at).ok().and_then(|at| boot.get(at)).copied().unwrap_or(0);
            }
            self.0.fetch_add(buf.len() as u64, Ordering::Relaxed);
            Ok(())
        }
    }

    #[test]
    fn free_space_is_counted_only_when_it_is_asked_for() {
        let source = Arc::new(Large::default());
        let read = || source.0.load(Ordering::Relaxed);
        let image = Image::open_source(source.clone(), &OpenOptions::default()).unwrap();
        let tree = image.tree(None).unwrap();
        let lookup = |dir, name| tree.lookup(dir, NameBuf::literal(name).as_name()).unwrap();
        assert!(lookup(Tree::ROOT, "p1").is_some());
        assert!(read() < 8 << 20, "{} bytes are read", read());
        assert!(image.quick_info().partitions[0].volume.to_string().contains("fat32") && read() < 8 << 20);
        let hidden = lookup(Tree::ROOT, ".vhdmount").unwrap();
        let info = tree.open(lookup(hidden, "info.json").unwrap()).unwrap();
        assert!(info.size() > 0 && read() > 32 << 20);
        assert_eq!(tree.lookup(hidden, Name(&[])).unwrap(), None);
    }
}
