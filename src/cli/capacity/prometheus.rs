//! The fleet in Prometheus' text exposition format 0.0.4, for the textfile collector: every family with its help and
//! type, base units in the names, gauges only, as figures go up and down.

use std::fmt::Write;

use vhdmount::{
    capacity::{FleetReport, HostVolume, Member, VolumeReport},
    printable::{REPLACEMENT, is_harmful},
};

type Figure<T> = (&'static str, &'static str, fn(&T) -> u64);

const DISKS: [Figure<Member>; 7] = [
    ("virtual_bytes", "The size of the disk that the guest sees.", |disk| disk.report.virtual_size),
    ("allocated_bytes", "What the image file occupies on its host.", |disk| disk.report.allocated_on_host),
    ("backed_bytes", "Bytes of the disk that need no growth of the image.", |disk| disk.report.backed),
    ("growth_to_full_bytes", "Host bytes until all of the disk is backed.", |disk| {
        disk.report.growth_to_full
    }),
    ("achievable_bytes", "The size that the disk can reach if it grows alone.", |disk| {
        disk.report.achievable_size
    }),
    (
        "achievable_equal_growth_bytes",
        "The size that the disk reaches if all on its host volume grow equally.",
        |disk| disk.equal_growth.achievable_size,
    ),
    ("shortfall_bytes", "What was promised and cannot be had now.", |disk| disk.report.shortfall),
];

const VOLUMES: [Figure<VolumeReport>; 4] = [
    ("volume_size_bytes", "Size of a volume on the disk.", |volume| volume.size),
    ("volume_free_reported_bytes", "Free on the volume as the guest believes.", |volume| {
        volume.free_reported
    }),
    ("volume_free_backed_bytes", "Free on the volume without growth of the image.", |volume| {
        volume.free_backed
    }),
    ("volume_free_achievable_bytes", "Free on the volume as far as the host can follow.", |volume| {
        volume.free_achievable
    }),
];

const HOSTS: [Figure<HostVolume>; 5] = [
    ("host_promised_bytes", "The sizes that the guests on the host volume see, in all.", |host| {
        host.promised
    }),
    ("host_allocated_bytes", "What the images occupy, each file once.", |host| host.allocated_on_host),
    ("host_free_bytes", "What may still be taken on the host volume.", |host| host.host_free),
    ("host_growth_to_full_bytes", "What the disks together may still ask for.", |host| host.growth_to_full),
    ("host_disks", "Disks on the host volume, parents not counted.", |host| host.disks.len() as u64),
];

/// The metrics; write them to a temporary file and rename it, as the collector may read at any time.
pub(super) fn text(fleet: &FleetReport) -> String {
    let mut out = String::new();
    let disks = || fleet.host_volumes.iter().flat_map(|host| host.disks.iter().map(move |disk| (host, disk)));
    for (name, help, figure) in DISKS {
        let samples = disks().map(|(host, disk)| {
            (vec![("image", disk.image.as_str()), ("host", host.host.as_str())], figure(disk).to_string())
        });
        family(&mut out, name, help, samples);
    }
    for (name, help, figure) in VOLUMES {
        let volumes =
            disks().flat_map(|(_, disk)| disk.report.volumes.iter().map(move |volume| (disk, volume)));
        let known = volumes.filter(|(_, volume)| volume.problem.is_empty());
        let samples = known.map(|(disk, volume)| {
            let labels = vec![
                ("image", disk.image.as_str()),
                ("volume", volume.name.as_str()),
                ("label", volume.label.as_str()),
                ("filesystem", volume.filesystem),
            ];
            (labels, figure(volume).to_string())
        });
        family(&mut out, name, help, samples);
    }
    for (name, help, figure) in HOSTS {
        let samples = fleet
            .host_volumes
            .iter()
            .map(|host| (vec![("host", host.host.as_str())], figure(host).to_string()));
        family(&mut out, name, help, samples);
    }
    let ratios = fleet.host_volumes.iter().map(|host| {
        let ratio = host.overcommitment.map_or_else(|| "+Inf".to_owned(), |ratio| ratio.to_string());
        (vec![("host", host.host.as_str())], ratio)
    });
    family(&mut out, "host_overcommitment_ratio", "What may still be asked for / what is free.", ratios);
    push_readable(&mut out, fleet);
    out
}

fn push_readable(out: &mut String, fleet: &FleetReport) {
    let mut read: Vec<_> = fleet
        .host_volumes
        .iter()
        .flat_map(|host| &host.disks)
        .map(|disk| (disk.image.as_str(), "1"))
        .collect();
    let mut failed: Vec<_> = fleet.errors.iter().map(|failure| (failure.image.as_str(), "0")).collect();
    // One image may fail twice, as a path given and as a file found.
    failed.sort_unstable();
    failed.dedup();
    failed.retain(|(image, _)| read.iter().all(|(other, _)| other != image));
    read.append(&mut failed);
    let samples = read.into_iter().map(|(image, value)| (vec![("image", image)], value.to_owned()));
    family(
        out,
        "image_readable",
        "1 when the image could be examined, 0 when it or the folder could not.",
        samples,
    );
}

/// One metric with all its samples; one without samples is left out.
fn family<'a>(
    out: &mut String,
    name: &str,
    help: &str,
    samples: impl Iterator<Item = (Vec<(&'static str, &'a str)>, String)>,
) {
    let mut samples = samples.peekable();
    if samples.peek().is_none() {
        return;
    }
    let _ = write!(out, "# HELP vhdmount_{name} {help}\n# TYPE vhdmount_{name} gauge\n");
    for (labels, value) in samples {
        let labels: Vec<_> =
            labels.iter().map(|(name, text)| format!("{name}=\"{}\"", escaped(text))).collect();
        let _ = writeln!(out, "vhdmount_{name}{{{}}} {value}", labels.join(","));
    }
}

/// A label's value: backslash, quote and line feed are escaped, other controls replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c if is_harmful(c) => out.push(REPLACEMENT),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_hold_any_name() {
        let mut out = String::new();
        family(
            &mut out,
            "x_bytes",
            "What.",
            [(vec![("image", "a\"b\\c\nd\u{1b}ä")], "1".to_owned())].into_iter(),
        );
        assert_eq!(
            out,
            "# HELP vhdmount_x_bytes What.\n# TYPE vhdmount_x_bytes gauge\n\
             vhdmount_x_bytes{image=\"a\\\"b\\\\c\\nd\u{fffd}ä\"} 1\n"
        );
        family(&mut out, "none", "None.", std::iter::empty());
        assert!(!out.contains("none"));
    }
}
