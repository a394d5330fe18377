//! What `info` tells: the container and its chain, the partition table, each volume, and everything that is not well.

use serde::Serialize;

use super::Opened;
use crate::{
    capacity::human,
    container::{Format, Kind, LayerInfo},
    fs::{
        FsKind, VolumeInfo,
        probe::{self, Probe},
    },
    partition::{Partition, Scheme},
    printable::printable,
};

/// The name of what lies in a partition whose type never holds a filesystem.
pub const NO_FILESYSTEM: &str = "no filesystem";

/// A disk as `info` shows it. The first fields have the names of PowerShell's `Get-VHD`, which administrators know.
#[derive(Debug, Serialize)]
pub struct DiskInfo {
    /// The image file.
    #[serde(rename = "Path")]
    pub path: String,
    /// `VHD`, `VHDX` or `RAW`.
    #[serde(rename = "VhdFormat")]
    pub format: &'static str,
    /// `Fixed`, `Dynamic` or `Differencing`.
    #[serde(rename = "VhdType")]
    pub kind: &'static str,
    /// Length of the image file in bytes.
    #[serde(rename = "FileSize")]
    pub file_size: u64,
    /// What the guest is told, in bytes.
    #[serde(rename = "Size")]
    pub size: u64,
    /// The end of the last partition: the disk could be cut down to this. `null` without partitions.
    #[serde(rename = "MinimumSize")]
    pub minimum_size: Option<u64>,
    /// Allocation unit in bytes; 0 for fixed and raw.
    #[serde(rename = "BlockSize")]
    pub block_size: u64,
    /// Bytes; 0 when the format does not say.
    #[serde(rename = "LogicalSectorSize")]
    pub logical_sector_size: u32,
    /// Bytes; 0 when the format does not say.
    #[serde(rename = "PhysicalSectorSize")]
    pub physical_sector_size: u32,
    /// GPT disk GUID or MBR signature.
    #[serde(rename = "DiskIdentifier")]
    pub disk_identifier: String,
    /// The parent of a differencing disk, where it was found.
    #[serde(rename = "ParentPath")]
    pub parent_path: String,
    /// The files of a split image, in order.
    #[serde(rename = "Pieces", skip_serializing_if = "Vec::is_empty")]
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
#[serde(tag = "state", rename_all = "lowercase")]
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
    /// What a partition holds; where nothing is recognized its type may still tell (Microsoft reserved, LDM).
    pub(crate) fn of_partition(partition: &Partition, content: &Probe) -> Self {
        Self::within(u64::MAX, partition, content)
    }

    /// As [`Self::of_partition`], without the free space of a volume where more than `limit` bytes tell it.
    fn within(limit: u64, partition: &Partition, content: &Probe) -> Self {
        match (content, partition.type_hint()) {
            (Probe::Unknown | Probe::Recognized { name: probe::UNFORMATTED, .. }, Some(hint)) => {
                Self::Unsupported { name: NO_FILESYSTEM, hint }
            }
            _ => Self::of(limit, content),
        }
    }

    /// What a volume holds; see [`Self::within`].
    pub(super) fn of(limit: u64, content: &Probe) -> Self {
        match content {
            Probe::Readable(fs) => {
                let mut info: VolumeInfo = fs.volume();
                let usage = (allocation_table(&info) <= limit).then(|| fs.usage());
                if let Some(Err(error)) = &usage {
                    info.problems.push(format!("free space is unknown: {error}"));
                }
                let free = usage.and_then(Result::ok).map(|usage| usage.free);
                Self::Readable(VolumeSummary { info, free })
            }
            Probe::Recognized { name, hint } => Self::Unsupported { name, hint },
            Probe::Damaged { name, error } => Self::Damaged { name, problem: error.to_string() },
            Probe::Unknown => Self::Unknown,
        }
    }

    /// One line for people.
    pub fn describe(&self) -> String {
        match self {
            Self::Readable(volume) => {
                let mut text = volume.info.filesystem.name().to_owned();
                if !volume.info.label.is_empty() {
                    text += &format!(" {}", quoted(&volume.info.label));
                }
                if let Some(free) = volume.free {
                    text += &format!(", {} free", human(free));
                }
                if volume.info.hibernated {
                    text += ", HIBERNATED: newer data may be in hiberfil.sys";
                } else if volume.info.dirty {
                    text += ", DIRTY: not cleanly unmounted";
                }
                text
            }
            Self::Unsupported { name: NO_FILESYSTEM, hint } => format!("{NO_FILESYSTEM}: {hint}"),
            Self::Unsupported { name, hint } => format!("{name}: not shown; {hint}"),
            Self::Damaged { name, problem } => format!("{name}, DAMAGED: {problem}"),
            Self::Unknown => "unformatted or unknown: not shown".into(),
        }
    }

    /// True when the partition is shown as a directory.
    pub fn is_readable(&self) -> bool {
        matches!(self, Self::Readable(_))
    }
}

/// About how many bytes tell which clusters are free: a bit for each, or in FAT up to 32.
fn allocation_table(info: &VolumeInfo) -> u64 {
    let clusters = info.size / info.cluster_size.max(1);
    match info.filesystem {
        FsKind::Ntfs => clusters / 8,
        _ => clusters.saturating_mul(4),
    }
}

impl Opened {
    /// Everything that `info` tells, but the free space of volumes where more than `limit` bytes tell it.
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
            format: match top.format {
                Format::Raw => "RAW",
                Format::Vhd => "VHD",
                Format::Vhdx => "VHDX",
            },
            kind: match top.kind {
                Kind::Fixed => "Fixed",
                Kind::Dynamic => "Dynamic",
                Kind::Differencing => "Differencing",
            },
            file_size: top.file_size,
            size: top.virtual_size,
            minimum_size: ends.max(),
            block_size: top.block_size,
            logical_sector_size: top.logical_sector_size,
            physical_sector_size: top.physical_sector_size,
            disk_identifier: self.table.disk_id.map(|id| id.to_string()).unwrap_or_default(),
            parent_path: layers.get(1).map(|parent| parent.path.clone()).unwrap_or_default(),
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

impl DiskInfo {
    /// As JSON.
    ///
    /// # Panics
    /// Never: every field is a plain value.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain values always serialize") + "\n"
    }

    /// A short table of the volumes: what a mount prints.
    pub fn volume_table(&self) -> String {
        let mut rows = vec![["".into(), "partition".into(), "size".into(), "volume".into()]];
        rows.extend(self.partitions.iter().map(|PartitionInfo { volume_name, partition, volume }| {
            let kind = match partition.name.as_str() {
                name if says_nothing_new(name, &partition.type_name) => partition.type_name.clone(),
                name => format!("{} ({name:?})", partition.type_name),
            };
            let (kind, volume) = (printable(&kind).into_owned(), printable(&volume.describe()).into_owned());
            [volume_name.clone(), kind, human(partition.size), volume]
        }));
        let width =
            |column: usize| rows.iter().map(|row: &[String; 4]| columns(&row[column])).max().unwrap_or(0);
        let (first, second, third) = (width(0), width(1), width(2));
        let lines = rows.iter().map(|row| {
            let gap = " ".repeat(second - columns(&row[1]));
            format!("{:first$}  {}{gap}  {:>third$}  {}\n", row[0], row[1], row[2], row[3])
        });
        lines.collect()
    }

    /// Everything for people.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        for (depth, layer) in self.layers.iter().enumerate() {
            push_layer(&mut out, depth, layer);
        }
        if let [first, .., last] = &self.pieces[..] {
            let text = format!("{} files joined: {first} to {last}", self.pieces.len());
            push(&mut out, "split image", &text);
        }
        let scheme = match self.partition_scheme {
            Scheme::Gpt => "GPT",
            Scheme::Mbr => "MBR",
            Scheme::None => "none (one filesystem, or empty)",
        };
        push(&mut out, "partition table", &format!("{scheme}, {}-byte sectors", self.sector_size));
        if !self.disk_identifier.is_empty() {
            push(&mut out, "disk identifier", &self.disk_identifier);
        }
        self.problems.iter().for_each(|problem| push(&mut out, "PROBLEM", problem));
        out.push('\n');
        out += &self.volume_table();
        out.push('\n');
        self.partitions.iter().for_each(|info| out += &info.details());
        for PartitionInfo { volume_name, partition, volume } in &self.partitions {
            let of_volume = match volume {
                VolumeState::Readable(volume) => &volume.info.problems[..],
                _ => &[],
            };
            let of_partition = partition.problems.iter().map(|problem| &problem.text);
            for problem in of_partition.chain(of_volume) {
                out += &format!("{volume_name}: PROBLEM: {}\n", printable(problem));
            }
        }
        out
    }
}

impl PartitionInfo {
    /// One line with what the table has no room for: place, identities, attributes, the filesystem's own figures.
    fn details(&self) -> String {
        let Self { volume_name, partition, volume } = self;
        let mut parts = vec![format!("at byte {}", partition.start)];
        if !partition.type_id.is_empty() {
            parts.push(format!("type {}", partition.type_id));
        }
        parts.extend(partition.id.map(|id| format!("id {id}")));
        parts.extend(partition.attribute_names().into_iter().map(str::to_owned));
        if let VolumeState::Readable(volume) = volume {
            let name = format!("{} {}", volume.info.filesystem, volume.info.version);
            parts.push(format!("{} in clusters of {} bytes", name.trim_end(), volume.info.cluster_size));
            if !volume.info.serial.is_empty() {
                parts.push(format!("serial {}", volume.info.serial));
            }
        }
        format!("{volume_name}: {}\n", printable(&parts.join(", ")))
    }
}

/// True for the names that partitioning tools give by themselves: "Basic data partition", "EFI system partition".
fn says_nothing_new(name: &str, type_name: &str) -> bool {
    let name = name.to_lowercase();
    type_name.to_lowercase().contains(name.strip_suffix(" partition").unwrap_or(&name))
}

/// The columns that a text takes on a terminal: East Asian wide characters and most emoji take two.
fn columns(text: &str) -> usize {
    let width = |c: char| match u32::from(c) {
        0x300..=0x36f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f => 2,
        0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1f64f | 0x1f680..=0x1faff | 0x2_0000..=0x3_fffd => 2,
        _ => 1,
    };
    text.chars().map(width).sum()
}

fn push_layer(out: &mut String, depth: usize, layer: &LayerInfo) {
    let format = format!("{:?} {:?}", layer.format, layer.kind).to_lowercase();
    let title = if depth == 0 { "image".to_owned() } else { format!("parent {depth}") };
    push(out, &title, &layer.path);
    push(out, "format", format!("{format} {}", layer.version).trim_end());
    push(out, "virtual size", &format!("{} ({} bytes)", human(layer.virtual_size), layer.virtual_size));
    push(out, "file size", &format!("{} ({} bytes)", human(layer.file_size), layer.file_size));
    if layer.block_size > 0 {
        push(out, "block size", &human(layer.block_size));
    }
    if layer.logical_sector_size > 0 {
        push(
            out,
            "sectors",
            &format!("{} logical, {} physical", layer.logical_sector_size, layer.physical_sector_size),
        );
    }
    for (name, value) in [
        ("created by", &layer.creator),
        ("disk id", &layer.disk_id),
        ("data id", &layer.data_id),
        ("parent id", &layer.parent_id),
    ] {
        if !value.is_empty() {
            push(out, name, value);
        }
    }
    if let Some(log) = layer.log {
        push(out, "log", &log.to_string());
    }
    layer.parent_paths.iter().for_each(|path| push(out, "names parent", path));
    layer.problems.iter().for_each(|problem| push(out, "PROBLEM", problem));
    out.push('\n');
}

/// One line. Some values are an image's own words, and the text goes to terminals: no escape sequences.
fn push(out: &mut String, name: &str, value: &str) {
    let value = printable(value);
    *out += &format!("{name:16} {value}\n");
}

/// A label in quotation marks, as it is but for characters that control a terminal.
pub(super) fn quoted(label: &str) -> String {
    format!("\"{}\"", label.replace(char::is_control, "\u{fffd}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_image_says_cannot_control_a_terminal() {
        let mut out = String::new();
        push(&mut out, "names parent", "..\\a\u{1b}]0;owned\u{7}\n.vhdx\u{9b}");
        assert_eq!(out, "names parent     ..\\a\u{fffd}]0;owned\u{fffd}\u{fffd}.vhdx\u{fffd}\n");
    }

    #[test]
    fn names_that_tools_give_are_left_out() {
        for (name, type_name, expected) in [
            ("Basic data partition", "Microsoft basic data", true),
            ("Microsoft reserved partition", "Microsoft reserved", true),
            ("", "Linux filesystem", true),
            ("Daten", "Microsoft basic data", false),
            ("Microsoft basic data 2", "Microsoft basic data", false),
        ] {
            assert_eq!(says_nothing_new(name, type_name), expected, "{name}");
        }
    }

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!((columns("Daten"), columns("u\u{308}"), columns("データ"), columns("🎉")), (5, 1, 6, 2));
    }
}
