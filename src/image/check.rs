//! The examination of a whole image: container, its parents, partition table, each volume. Every layer reports what it
//! finds; here the findings are put in order, bounded and counted.

use std::{path::Path, sync::Arc};

use serde::Serialize;

use super::{Image, OpenOptions};
use crate::{
    Error, Result,
    bytes::ByteSource,
    check::{Collector, Counts, Finding, More, Report, Severity},
    fs::probe::Probe,
    partition::Partition,
};

/// What is examined.
#[derive(Debug, Clone)]
pub struct CheckOptions {
    /// How the image is opened.
    pub open: OpenOptions,
    /// Of the volumes only that of this partition.
    pub partition: Option<u32>,
}

/// What was found.
#[derive(Debug, Serialize)]
pub struct Examination {
    /// The image file.
    pub image: String,
    /// The worst that was found.
    pub verdict: Verdict,
    /// How many findings there are in all areas.
    pub counts: Counts,
    /// What was examined, in this order: container, its parents, partition table, volumes.
    pub areas: Vec<Area>,
}

/// The worst that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing, or notes only.
    Clean,
    /// Nothing is lost, but not everything is as it should be.
    Warnings,
    /// Something is lost, unreachable or ambiguous.
    Errors,
}

/// One part of an image and what was found there.
#[derive(Debug, Serialize)]
pub struct Area {
    /// `container`, `parent 1`, `partition table`, `p3`.
    pub area: String,
    /// What it is: `dynamic VHDX, disk.vhdx`, `NTFS "Windows"`.
    pub what: String,
    /// How many findings there are here.
    pub counts: Counts,
    /// The worst first; of each kind a limited number.
    pub findings: Vec<Finding>,
    /// The others.
    pub more: Vec<More>,
}

/// Where the examination is.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// [`Area::area`].
    pub area: &'a str,
    /// What is done there.
    pub step: &'a str,
    /// Units (bytes, records, …) that are done.
    pub done: u64,
    /// Units in all; 0 when that is not known.
    pub total: u64,
}

/// Examines an image file and everything in it.
///
/// # Errors
/// When there is nothing to examine: no such file, no right to read it, a format that is not read.
pub fn check(
    path: &Path,
    options: &CheckOptions,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Examination> {
    let opened = Image::open(path, &options.open);
    examine(path.display().to_string(), opened, options, progress)
}

/// As [`check`], for an image that is not a file of the host.
///
/// # Errors
/// As [`check`].
pub fn check_source(
    source: Arc<dyn ByteSource>,
    options: &CheckOptions,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Examination> {
    examine(String::new(), Image::open_source(source, &options.open), options, progress)
}

fn examine(
    name: String,
    opened: Result<Image>,
    options: &CheckOptions,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Examination> {
    let mut run = Run { areas: Vec::new(), progress };
    match opened {
        Ok(image) => run.image(&image, options)?,
        Err(error @ Error::Corrupt(_)) => run.area("container", String::new(), |report| {
            report.finding(Finding::of(&error, Severity::Error, "container", "the disk cannot be opened"));
            Ok(())
        })?,
        Err(error) => return Err(error),
    }
    let counts = run.areas.iter().fold(Counts::default(), |sum, area| sum.plus(area.counts));
    Ok(Examination { image: name, verdict: Verdict::of(counts), counts, areas: run.areas })
}

impl Verdict {
    fn of(counts: Counts) -> Self {
        match counts.worst() {
            None | Some(Severity::Note) => Self::Clean,
            Some(Severity::Warning) => Self::Warnings,
            Some(Severity::Error) => Self::Errors,
        }
    }
}

/// The areas so far, and whom to tell of progress.
struct Run<'a> {
    areas: Vec<Area>,
    progress: &'a mut dyn FnMut(Progress<'_>),
}

impl Run<'_> {
    fn area(
        &mut self,
        name: &str,
        what: String,
        examine: impl FnOnce(&mut dyn Report) -> Result<()>,
    ) -> Result<()> {
        let mut reporter = Reporter { collector: Collector::default(), area: name, progress: self.progress };
        reporter.progress("", 0, 0);
        if let Err(error) = examine(&mut reporter) {
            let meaning = "the examination of this part ends here: what follows is not known";
            reporter.finding(Finding::of(&error, Severity::Error, name, meaning));
        }
        let counts = reporter.collector.counts();
        let (findings, more) = reporter.collector.into_parts();
        self.areas.push(Area { area: name.to_owned(), what, counts, findings, more });
        Ok(())
    }

    fn image(&mut self, image: &Image, options: &CheckOptions) -> Result<()> {
        for (depth, layer) in image.container().infos().enumerate() {
            let name = if depth == 0 { "container".to_owned() } else { format!("parent {depth}") };
            let what = format!("{:?} {:?}", layer.kind, layer.format).to_lowercase();
            self.area(&name, what, |report| {
                for problem in &layer.problems {
                    let meaning = "found while opening; what can be read is read";
                    report.finding(Finding::warning(layer.path.clone(), problem, meaning));
                }
                Ok(())
            })?;
        }
        self.area("partition table", format!("{:?}", image.table().scheme).to_uppercase(), |report| {
            for problem in &image.table().problems {
                report.finding(Finding::warning("partition table", problem, "what can be read is read"));
            }
            Ok(())
        })?;
        if let Some(only) = options.partition
            && !image.partitions().any(|(partition, _)| partition.number == only)
        {
            return Err(image.no_partition(only));
        }
        for (partition, content) in image.partitions() {
            if options.partition.is_none_or(|only| only == partition.number) {
                self.volume(partition, content)?;
            }
        }
        Ok(())
    }

    fn volume(&mut self, partition: &Partition, content: &Probe) -> Result<()> {
        let name = format!("p{}", partition.number);
        let what = match content {
            Probe::Readable(fs) => {
                let volume = fs.volume();
                let label =
                    if volume.label.is_empty() { String::new() } else { format!(" {:?}", volume.label) };
                format!("{}{label}", volume.filesystem)
            }
            Probe::Recognized { name, .. } | Probe::Damaged { name, .. } => (*name).to_owned(),
            Probe::Unknown => partition.type_name.clone(),
        };
        self.area(&name, what, |report| match content {
            Probe::Readable(fs) => fs.check(report),
            Probe::Recognized { name, hint } => {
                report.finding(Finding::note(*name, "its structures are not examined", *hint));
                Ok(())
            }
            Probe::Damaged { name, error } => {
                let meaning = "the volume cannot be opened: nothing in it is reachable";
                report.finding(Finding::of(error, Severity::Error, name, meaning));
                Ok(())
            }
            Probe::Unknown => {
                let meaning =
                    partition.type_hint().unwrap_or("unformatted, encrypted without a header, or lost");
                let problem = "holds no filesystem that is known: nothing is examined";
                report.finding(Finding::note("volume", problem, meaning));
                Ok(())
            }
        })
    }
}

/// Collects the findings of one area and passes its progress on.
struct Reporter<'a> {
    collector: Collector,
    area: &'a str,
    progress: &'a mut dyn FnMut(Progress<'_>),
}

impl Report for Reporter<'_> {
    fn finding(&mut self, finding: Finding) {
        self.collector.finding(finding);
    }

    fn progress(&mut self, step: &str, done: u64, total: u64) {
        (self.progress)(Progress { area: self.area, step, done, total });
    }
}

impl Examination {
    /// As JSON.
    ///
    /// # Panics
    /// Never: every field is a plain value.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain values always serialize") + "\n"
    }
}
