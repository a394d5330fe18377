//! The examination of a whole image: container, its parents, partition table, each volume. Every layer reports what it
//! finds; here the findings are put in order, bounded and counted.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use serde::Serialize;

use super::{Content, Image, OpenOptions};
use crate::{
    Error, Remedy, Result,
    bytes::ByteSource,
    check::{Collector, Counts, Finding, FindingSink, More, Severity},
    container::{
        Container, LayerInfo,
        check::{Subject, Subjects},
    },
    fs::probe::Probe,
    json::Document,
    partition::{self, Partition, Scheme},
    printable::quoted,
};

/// What is examined.
#[derive(Debug, Clone)]
pub struct CheckOptions {
    /// How the image is opened.
    pub open: OpenOptions,
    /// Of the volumes only that of this partition.
    pub partition: Option<u32>,
    /// Whether the parents of a differencing disk are looked for and examined. Without them only its own file is.
    pub parents: bool,
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
    /// What can be done: so that the disk is opened, where it is not, and about what was found.
    #[serde(skip)]
    pub remedies: Vec<Remedy>,
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
    /// False where there is nothing that could be examined: another filesystem, none, or one that cannot be opened.
    pub examined: bool,
    /// How many findings there are here.
    pub counts: Counts,
    /// The worst first; of each kind a limited number.
    pub findings: Vec<Finding>,
    /// The others.
    pub more: Vec<More>,
}

impl Area {
    /// True for a volume that was not examined, though it may hold something: its format is not read, or nothing of it is known.
    pub fn is_left_out(&self) -> bool {
        !self.examined && !self.findings.is_empty()
    }
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
/// When there is nothing to examine: no such file, no right to read it, a format that is not read, no such partition.
pub fn check(
    path: &Path,
    options: &CheckOptions,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Examination> {
    Examinable::open(path, options)?.examine(options, progress)
}

/// An image that is open to be examined, with the parents that were found: from here on no file is opened.
pub struct Examinable {
    name: String,
    subjects: Subjects,
}

impl Examinable {
    /// Opens an image file and looks for its parents.
    ///
    /// # Errors
    /// As [`check`], but for a partition that is not there.
    pub fn open(path: &Path, options: &CheckOptions) -> Result<Self> {
        let subjects = Subjects::open(path, &options.open.container, options.parents)?;
        Ok(Self { name: path.display().to_string(), subjects })
    }

    /// The disk, where it can be opened.
    pub fn container(&self) -> Option<&Container> {
        self.subjects.container.as_ref().ok()
    }

    /// Examines everything, with the options that it was opened with.
    ///
    /// # Errors
    /// When there is no such partition.
    pub fn examine(
        self,
        options: &CheckOptions,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Examination> {
        examine(self.name, self.subjects, options, progress)
    }
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
    let subjects = Subjects::of_source(source, &options.open.container)?;
    examine(String::new(), subjects, options, progress)
}

/// As [`check`], for a chain of images that are not files of the host, top first.
///
/// # Errors
/// As [`check`].
pub fn check_chain(
    sources: Vec<Arc<dyn ByteSource>>,
    options: &CheckOptions,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Examination> {
    let subjects = Subjects::of_sources(sources, &options.open.container)?;
    examine(String::new(), subjects, options, progress)
}

fn examine(
    name: String,
    subjects: Subjects,
    options: &CheckOptions,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Examination> {
    let mut run = Run { areas: Vec::new(), remedies: Vec::new(), progress };
    let Subjects { files, container } = subjects;
    let infos: Vec<_> = container.iter().flat_map(Container::infos).cloned().collect();
    for (depth, (subject, links)) in files.iter().enumerate() {
        run.container(depth, subject, infos.get(depth), links, options);
    }
    match container {
        Ok(container) => run.disk(&Image::of_container(container, &options.open)?, options)?,
        Err(error) => {
            run.not_opened(&error);
            run.remedies.extend_from_slice(error.remedies());
        }
    }
    let counts = run.areas.iter().fold(Counts::default(), |sum, area| sum.plus(area.counts));
    Ok(Examination {
        image: name,
        verdict: Verdict::of(counts),
        counts,
        areas: run.areas,
        remedies: run.remedies,
    })
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

/// The areas examined so far, and the receiver of progress.
struct Run<'a> {
    areas: Vec<Area>,
    /// In the order in which they came, each once.
    remedies: Vec<Remedy>,
    progress: &'a mut dyn FnMut(Progress<'_>),
}

impl Run<'_> {
    /// Examines one area. Where the examination breaks off, that is a finding, too: the others go on.
    fn area(&mut self, name: &str, what: String, examine: impl FnOnce(&mut dyn FindingSink) -> Result<()>) {
        let mut reporter = Reporter {
            collector: Collector::default(),
            area: name,
            remedies: &mut self.remedies,
            progress: self.progress,
        };
        reporter.progress("", 0, 0);
        if let Err(error) = examine(&mut reporter) {
            let meaning = "the examination of this part ends here: what follows is not known";
            reporter.finding(Finding::of(&error, Severity::Error, name, meaning));
        }
        let counts = reporter.collector.counts();
        let (findings, more) = reporter.collector.into_parts();
        self.areas.push(Area { area: name.to_owned(), what, examined: true, counts, findings, more });
    }

    fn container(
        &mut self,
        depth: usize,
        subject: &Subject,
        info: Option<&LayerInfo>,
        links: &[Finding],
        options: &CheckOptions,
    ) {
        let name = if depth == 0 { "container".to_owned() } else { format!("parent {depth}") };
        let mut what = subject.describe(info);
        // The first one's path is the image's.
        if depth > 0 {
            what += &format!(", {}", subject.path().display());
        }
        self.area(&name, what, |report| {
            links.iter().for_each(|finding| report.finding(finding.clone()));
            subject.check(options.open.container.replay, report)
        });
    }

    /// Reports why the content of the container was not examined.
    fn not_opened(&mut self, error: &Error) {
        let damaged = self.areas.iter().any(|area| area.counts.errors > 0);
        let Some(container) = self.areas.first_mut() else { return };
        // Whatever keeps the disk from being opened is an error, also if its cause was not found.
        let severity = match (damaged, error) {
            (true, _) | (_, Error::NotFound(_) | Error::MissingParent { .. }) => Severity::Note,
            _ => Severity::Error,
        };
        let problem = format!("the disk is not opened: {error}");
        let problem = if damaged { "the disk cannot be opened".to_owned() } else { problem };
        let meaning = "its partition table and its volumes are not examined";
        container.findings.push(Finding::new(severity, "container", problem, meaning));
        container.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        container.counts.add(severity, 1);
    }

    fn disk(&mut self, image: &Image, options: &CheckOptions) -> Result<()> {
        if let Some(only) = options.partition
            && !image.partitions().any(|(partition, _)| partition.number == only)
        {
            return Err(image.no_partition(only));
        }
        let scheme = match image.table().scheme {
            Scheme::Gpt => "GPT",
            Scheme::Mbr => "MBR",
            Scheme::None => "none: one volume, or empty",
        };
        self.area("partition table", scheme.to_owned(), |report| {
            let disk: Arc<dyn ByteSource> = image.disk().clone();
            partition::check(&disk, image.table(), report);
            Ok(())
        });
        // A hostile table may name the same volume a thousand times.
        let mut examined = BTreeMap::new();
        for (partition, content) in image.opened.partitions() {
            if options.partition.is_none_or(|only| only == partition.number) {
                let same = *examined.entry(partition.start).or_insert(partition.number);
                self.volume(partition, content, Some(same).filter(|same| *same != partition.number));
            }
        }
        Ok(())
    }

    /// Examines what a partition holds; `same` is one that begins where it does.
    fn volume(&mut self, partition: &Partition, content: &Content, same: Option<u32>) {
        let (name, content) = (&content.volume.name, &content.probe);
        let what = match content {
            Probe::Readable(fs) => {
                let volume = fs.volume();
                let label = if volume.label.is_empty() {
                    String::new()
                } else {
                    format!(" {}", quoted(&volume.label))
                };
                format!("{}{label}", volume.filesystem)
            }
            Probe::Unknown | Probe::Unformatted if partition.type_hint().is_some() => {
                format!("{}: no filesystem", partition.type_name)
            }
            Probe::Unknown => format!("{}: unknown", partition.type_name),
            Probe::Unformatted => "unformatted".to_owned(),
            Probe::Recognized { name, .. } | Probe::Damaged { name, .. } => (*name).to_owned(),
        };
        self.area(name, what, |report| match content {
            Probe::Readable(_) if same.is_some() => {
                let problem = format!("begins where partition {} does", same.unwrap_or_default());
                report.finding(Finding::note("volume", problem, "it is examined once, there"));
                Ok(())
            }
            Probe::Readable(fs) => crate::fs::check(&**fs, report),
            // Nothing to examine.
            Probe::Unformatted => Ok(()),
            Probe::Unknown if partition.type_hint().is_some() => Ok(()),
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
                let meaning = "unformatted, encrypted without a header, or its beginning is lost";
                let problem = "holds no filesystem that is known: nothing is examined";
                report.finding(Finding::note("volume", problem, meaning));
                Ok(())
            }
        });
        if let Some(area) = self.areas.last_mut() {
            area.examined = matches!(content, Probe::Readable(_)) && same.is_none();
        }
    }
}

/// Collects the findings of one area and passes its progress on.
struct Reporter<'a> {
    collector: Collector,
    area: &'a str,
    remedies: &'a mut Vec<Remedy>,
    progress: &'a mut dyn FnMut(Progress<'_>),
}

impl FindingSink for Reporter<'_> {
    fn finding(&mut self, finding: Finding) {
        self.collector.finding(finding);
    }

    fn remedy(&mut self, remedy: Remedy) {
        if !self.remedies.contains(&remedy) {
            self.remedies.push(remedy);
        }
    }

    fn progress(&mut self, step: &str, done: u64, total: u64) {
        (self.progress)(Progress { area: self.area, step, done, total });
    }
}

impl Document for Examination {
    const SCHEMA: &'static str = "check/1";
}
