//! The report of `info` as text: the layers, the partition table, a table of the volumes, and all problems.

use vhdmount::{
    container::LayerInfo,
    image::{DiskInfo, PartitionInfo, VolumeState},
    partition::Scheme,
    printable::printable,
    size::human,
};

/// The short table of volumes that a mount prints.
pub(in crate::cli) fn volume_table(info: &DiskInfo) -> String {
    let mut rows = vec![["".into(), "partition".into(), "size".into(), "volume".into()]];
    rows.extend(info.partitions.iter().map(|PartitionInfo { volume_name, partition, volume }| {
        let kind = match partition.name.as_str() {
            name if says_nothing_new(name, &partition.type_name) => partition.type_name.clone(),
            name => format!("{} ({name:?})", partition.type_name),
        };
        let (kind, volume) = (printable(&kind).into_owned(), printable(&volume.to_string()).into_owned());
        [volume_name.clone(), kind, human(partition.size), volume]
    }));
    let width = |column: usize| rows.iter().map(|row: &[String; 4]| columns(&row[column])).max().unwrap_or(0);
    let (first, second, third) = (width(0), width(1), width(2));
    let lines = rows.iter().map(|row| {
        let gap = " ".repeat(second - columns(&row[1]));
        format!("{:first$}  {}{gap}  {:>third$}  {}\n", row[0], row[1], row[2], row[3])
    });
    lines.collect()
}

/// The whole report.
pub(in crate::cli) fn of(info: &DiskInfo) -> String {
    let mut out = of_layers(&info.layers);
    if let [first, .., last] = &info.pieces[..] {
        let text = format!("{} files joined: {first} to {last}", info.pieces.len());
        push(&mut out, "split image", &text);
    }
    let scheme = match info.partition_scheme {
        Scheme::Gpt => "GPT",
        Scheme::Mbr => "MBR",
        Scheme::None => "none (one filesystem, or empty)",
    };
    push(&mut out, "partition table", &format!("{scheme}, {}-byte sectors", info.sector_size));
    if let Some(id) = info.disk_identifier {
        push(&mut out, "disk identifier", &id.to_string());
    }
    info.problems.iter().for_each(|problem| push(&mut out, "PROBLEM", problem));
    out.push('\n');
    out += &volume_table(info);
    out.push('\n');
    info.partitions.iter().for_each(|partition| out += &details(partition));
    for partition in &info.partitions {
        for problem in partition.problems() {
            out += &format!("{}: PROBLEM: {}\n", partition.volume_name, printable(problem));
        }
    }
    out
}

/// What each image of a chain says of itself.
pub(in crate::cli) fn of_layers(layers: &[LayerInfo]) -> String {
    let mut out = String::new();
    for (depth, layer) in layers.iter().enumerate() {
        push_layer(&mut out, depth, layer);
    }
    out
}

/// One line with the details that do not fit the table: offset, identifiers, attributes, the filesystem's own figures.
fn details(info: &PartitionInfo) -> String {
    let PartitionInfo { volume_name, partition, volume } = info;
    let mut parts = vec![format!("at byte {}", partition.start)];
    parts.extend(partition.type_id.map(|id| format!("type {id}")));
    parts.extend(partition.id.map(|id| format!("id {id}")));
    parts.extend(partition.attribute_names().into_iter().map(str::to_owned));
    if let VolumeState::Readable(volume) = volume {
        let name = format!("{} {}", volume.info.filesystem, volume.info.version);
        parts.push(format!("{} in clusters of {} bytes", name.trim_end(), volume.info.cluster_size));
        parts.extend(volume.info.serial.map(|serial| format!("serial {serial}")));
    }
    format!("{volume_name}: {}\n", printable(&parts.join(", ")))
}

/// True for partition names that partitioning tools set by default: "Basic data partition", "EFI system partition".
fn says_nothing_new(name: &str, type_name: &str) -> bool {
    let name = name.to_lowercase();
    type_name.to_lowercase().contains(name.strip_suffix(" partition").unwrap_or(&name))
}

/// The width of a text on a terminal in columns: East Asian wide characters and most emoji take two.
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
    if !layer.creator.is_empty() {
        push(out, "created by", &layer.creator);
    }
    for (name, id) in [("disk id", layer.disk_id), ("data id", layer.data_id), ("parent id", layer.parent_id)]
    {
        if let Some(id) = id {
            push(out, name, &id.to_string());
        }
    }
    if let Some(log) = layer.log {
        push(out, "log", &log.to_string());
    }
    layer.parent_paths.iter().for_each(|path| push(out, "names parent", path));
    layer.problems.iter().for_each(|problem| push(out, "PROBLEM", problem));
    out.push('\n');
}

/// Appends one line. Some values come from the image, and the text goes to terminals, so escape sequences are removed.
fn push(out: &mut String, name: &str, value: &str) {
    let value = printable(value);
    *out += &format!("{name:16} {value}\n");
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
