//! What `info` reports, as data: the container and its chain, the partition table, each volume, and everything that is not
//! well.

use std::fmt;

use serde::Serialize;

use super::Opened;
use crate::{
    container::{Format, Kind, LayerInfo},
    fs::{FsKind, VolumeInfo, probe::Probe},
    identity::DiskId,
    json::Document,
    partition::{Partition, Scheme},
    printable::quoted,
    size::human,
};

/// A disk as `info` shows it.
#[derive(Debug, Serialize)]
pub struct DiskInfo {
    /// The image file.
    pub path: String,
    /// Its format.
    pub format: Format,
    /// How it stores the disk.
    pub kind: Kind,
    /// Length of the image file in bytes.
    pub file_size: u64,
    /// The size that the guest sees, in bytes.
    pub virtual_size: u64,
    /// The end of the last partition: the disk could be cut down to this. `null` without partitions.
    pub minimum_size: Option<u64>,
    /// Allocation unit in bytes; 0 for fixed and raw.
    pub block_size: u64,
    /// Bytes; 0 when the format does not say.
    pub logical_sector_size: u32,
    /// Bytes; 0 when the format does not say.
    pub physical_sector_size: u32,
    /// GPT disk GUID or MBR signature.
    pub disk_identifier: Option<DiskId>,
    /// The parent of a differencing disk, where it was found; `null` for other disks.
    pub parent_path: Option<String>,
    /// The files of a split image, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pieces: Vec<String>,
    /// The image files, top first.
    pub layers: Vec<LayerInfo>,
    /// `gpt`, `mbr` or `none`.
    pub partition_scheme: Scheme,
    /// Bytes per sector in which the table counts.
    pub sector_size: u32,
    /// Every partition, readable or not.
    pub partitions: Vec<PartitionInfo>,
    /// What is not well with the chain and the table; layers and partitions have their own.
    pub problems: Vec<String>,
}

/// A partition and what it holds.
#[derive(Debug, Serialize)]
pub struct PartitionInfo {
    /// What its volume is called: `p3`.
    #[serde(skip)]
    pub volume_name: String,
    /// What the table says.
    #[serde(flatten)]
    pub partition: Partition,
    /// What it holds.
    pub volume: VolumeState,
}

/// What a partition holds.
#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum VolumeState {
    /// A filesystem that is shown as a directory.
    Readable(VolumeSummary),
    /// Known, not readable.
    Unsupported {
        /// What it is.
        name: &'static str,
        /// Why, and what to do.
        hint: &'static str,
    },
    /// Too damaged to open.
    Damaged {
        /// What it is.
        name: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// By the type of its partition it never holds a filesystem.
    NoFilesystem {
        /// What it holds instead.
        hint: &'static str,
    },
    /// Nothing but zeros where a filesystem begins.
    Unformatted,
    /// Nothing that is known.
    Unknown,
}

/// A readable volume: what it says of itself, and its free space.
#[derive(Debug, Serialize)]
pub struct VolumeSummary {
    /// What the filesystem says.
    #[serde(flatten)]
    pub info: VolumeInfo,
    /// Free bytes as the guest believes; `null` when the bitmap cannot be read, or was not asked for.
    pub free: Option<u64>,
}

impl VolumeState {
    /// What a partition holds; where nothing is recognized its type may still say so (Microsoft reserved, LDM).
    pub(crate) fn of_partition(partition: &Partition, content: &Probe) -> Self {
        Self::within(u64::MAX, partition, content)
    }

    /// As [`Self::of_partition`], without the free space of a volume where counting it takes more than `limit` bytes.
    fn within(limit: u64, partition: &Partition, content: &Probe) -> Self {
        match (content, partition.type_hint()) {
            (Probe::Unknown | Probe::Unformatted, Some(hint)) => Self::NoFilesystem { hint },
            _ => Self::of(limit, content),
        }
    }

    /// What a volume holds; see [`Self::within`].
    pub(super) fn of(limit: u64, content: &Probe) -> Self {
        match content {
            Probe::Readable(fs) => {
                let mut info: VolumeInfo = fs.volume();
                let usage = (allocation_table(&info) <= limit).then(|| fs.space().usage());
                if let Some(Err(error)) = &usage {
                    info.problems.push(format!("free space is unknown: {error}"));
                }
                let free = usage.and_then(Result::ok).map(|usage| usage.free);
                Self::Readable(VolumeSummary { info, free })
            }
            Probe::Recognized { name, hint } => Self::Unsupported { name, hint },
            Probe::Damaged { name, error } => Self::Damaged { name, problem: error.to_string() },
            Probe::Unformatted => Self::Unformatted,
            Probe::Unknown => Self::Unknown,
        }
    }

    /// True when the partition is shown as a directory.
    pub fn is_readable(&self) -> bool {
        matches!(self, Self::Readable(_))
    }
}

impl PartitionInfo {
    /// What is not well with the partition and its volume.
    pub fn problems(&self) -> impl Iterator<Item = &str> {
        let of_volume = match &self.volume {
            VolumeState::Readable(volume) => &volume.info.problems[..],
            _ => &[],
        };
        let of_partition = self.partition.problems.iter().map(|problem| &*problem.text);
        of_partition.chain(of_volume.iter().map(|problem| &**problem))
    }
}

/// One line: what the volume holds, and why it is not shown.
impl fmt::Display for VolumeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Readable(volume) => {
                f.write_str(volume.info.filesystem.name())?;
                if !volume.info.label.is_empty() {
                    write!(f, " {}", quoted(&volume.info.label))?;
                }
                if let Some(free) = volume.free {
                    write!(f, ", {} free", human(free))?;
                }
                if volume.info.hibernated {
                    f.write_str(", HIBERNATED: newer data may be in hiberfil.sys")?;
                } else if volume.info.dirty {
                    f.write_str(", DIRTY: not cleanly unmounted")?;
                }
                Ok(())
            }
            Self::Unsupported { name, hint } => write!(f, "{name}: not shown; {hint}"),
            Self::Damaged { name, problem } => write!(f, "{name}, DAMAGED: {problem}"),
            Self::NoFilesystem { hint } => write!(f, "no filesystem: {hint}"),
            Self::Unformatted => {
                f.write_str("unformatted: not shown; holds nothing but zeros where a filesystem begins")
            }
            Self::Unknown => f.write_str("unformatted or unknown: not shown"),
        }
    }
}

/// About how many bytes say which clusters are free: a bit for each, or in FAT up to 32.
fn allocation_table(info: &VolumeInfo) -> u64 {
    let clusters = info.size / info.cluster_size.max(1);
    match info.filesystem {
        FsKind::Ntfs => clusters / 8,
        _ => clusters.saturating_mul(4),
    }
}

impl Opened {
    /// Everything that `info` reports, but the free space of volumes where counting it takes more than `limit` bytes.
    pub(super) fn info(&self, limit: u64) -> DiskInfo {
        let layers: Vec<LayerInfo> = self.container.infos().cloned().collect();
        let top = &layers[0];
        let ends =
            self.table.partitions.iter().map(|partition| partition.start.saturating_add(partition.size));
        let partitions = self.partitions().map(|(partition, content)| PartitionInfo {
            volume_name: content.volume.name.clone(),
            partition: partition.clone(),
            volume: VolumeState::within(limit, partition, &content.probe),
        });
        DiskInfo {
            path: top.path.clone(),
            format: top.format,
            kind: top.kind,
            file_size: top.file_size,
            virtual_size: top.virtual_size,
            minimum_size: ends.max(),
            block_size: top.block_size,
            logical_sector_size: top.logical_sector_size,
            physical_sector_size: top.physical_sector_size,
            disk_identifier: self.table.disk_id,
            parent_path: layers.get(1).map(|parent| parent.path.clone()),
            pieces: self.container.pieces().iter().map(|file| file.path().display().to_string()).collect(),
            partition_scheme: self.table.scheme,
            sector_size: self.table.sector_size,
            partitions: partitions.collect(),
            problems: self
                .container
                .warnings
                .iter()
                .cloned()
                .chain(self.table.problems.iter().map(ToString::to_string))
                .collect(),
            layers,
        }
    }
}

impl Document for DiskInfo {
    const SCHEMA: &'static str = "info/1";
}
