//! Workloads on virtual disks: an image in a recording, its redo file beside it, its parent below; and what each state must be.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex},
};

use super::{Model, Recording, Shape, State, Step, stamp};
use crate::{
    Result,
    bytes::{
        Backing, ByteSink, ByteSource, MemorySource, read_vec,
        testing::{MemoryFile, Sparse},
    },
    check::{Finding, FindingSink, Severity},
    container::{
        Disk, Format, Kind, Layer, OpenOptions, Plan,
        check::Subjects,
        create::Writer,
        raw, redo, vhd, vhdx,
        write::{Below, Publish, WritableDisk, WriteOptions},
    },
};

const SECTOR: u64 = 512;
/// What the parent holds: the same version everywhere.
const BELOW: u32 = 7;

/// A workload on a new image.
pub struct Workload {
    /// Its name in reports.
    pub name: String,
    /// The image; one with a parent gets a parent that is as large as three quarters of it.
    pub plan: Plan,
    /// How it is written. The redo file is added.
    pub options: WriteOptions,
    /// What is done.
    pub steps: Vec<Step>,
}

impl Workload {
    /// The disk's shape, for [`super::steps`].
    pub fn shape(plan: &Plan, most: u64, commits: bool) -> Shape {
        let sectors = plan.virtual_size / SECTOR;
        let flat = plan.format == Format::Raw || plan.format == Format::Vhd && plan.kind == Kind::Fixed;
        Shape {
            sectors,
            block: if flat { 64 } else { plan.block_size / SECTOR },
            unit: u64::from(plan.logical_sector_size) / SECTOR,
            most,
            commits,
        }
    }

    fn parent(&self) -> Option<Arc<dyn ByteSource>> {
        let sectors = self.parent_sectors();
        (sectors > 0).then(|| below(sectors))
    }

    fn parent_sectors(&self) -> u64 {
        match self.plan.kind {
            Kind::Differencing => self.plan.virtual_size / SECTOR * 3 / 4,
            _ => 0,
        }
    }

    /// Does the steps until one fails; returns what the disk may hold, and the failure.
    ///
    /// # Panics
    /// When the image cannot be made or opened although nothing fails.
    pub fn run(&self, recording: &Recording) -> (Model, Result<()>) {
        let made = MemoryFile::default();
        let made_it = Writer::new(&made, &self.plan).and_then(Writer::finish);
        made_it.unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let (image, redo) = (recording.file(made.content()), recording.file(Sparse::new(0)));
        let mut model = Model::default();
        model.holds(0..self.parent_sectors(), BELOW);
        let mut run = Run {
            workload: self,
            recording,
            model,
            image,
            redo,
            disk: None,
            session: BTreeMap::new(),
            version: 1000,
        };
        let result = run.steps();
        (run.model, result)
    }

    fn options(&self, redo: Arc<dyn Backing>) -> WriteOptions {
        WriteOptions { redo: Some(redo), ..self.options.clone() }
    }

    /// Judges a state: it opens, holds what the model accepts, `check` finds nothing; and once more after it was opened for writing
    /// twice, which replays, and after it was closed.
    ///
    /// # Errors
    /// What is wrong.
    pub fn judge(&self, model: &Model, state: &State) -> Result<(), String> {
        let [image, redo] = &state.files[..] else { return Err("not two files".to_owned()) };
        let before = self.read(image, redo)?;
        model.judge(&*before, state.cut)?;
        let image = Arc::new(MemoryFile::new(image.clone()));
        let redo = Arc::new(MemoryFile::new(redo.clone()));
        for opened in ["opened once", "opened twice", "closed"] {
            let disk = WritableDisk::open(
                image.clone(),
                self.parent().map(Below::unverified),
                &self.options(redo.clone()),
            );
            let disk = disk.map_err(|error| format!("for writing: {error}"))?;
            if opened == "closed" {
                disk.close().map_err(|error| format!("closing: {error}"))?;
            }
            let after =
                self.read(&image.content(), &redo.content()).map_err(|error| format!("{opened}: {error}"))?;
            same(&*before, &*after).map_err(|error| format!("{opened}: {error}"))?;
        }
        Ok(())
    }

    /// The disk as a reader sees it.
    fn read(&self, image: &Sparse, redo: &Sparse) -> Result<Arc<dyn ByteSource>, String> {
        let image: Arc<dyn ByteSource> = Arc::new(image.clone());
        let text = |error: crate::Error| error.to_string();
        let laid_over = redo::laid_over(image.clone(), redo).map_err(text)?;
        let image = laid_over.unwrap_or(image);
        if self.plan.format != Format::Raw {
            let found = problems(&image).map_err(text)?;
            if !found.is_empty() {
                return Err(format!("check: {}", found.join("; ")));
            }
        }
        let top: Arc<dyn Layer> = match self.plan.format {
            Format::Raw => Arc::new(raw::open(image, "", None)),
            Format::Vhd => Arc::new(vhd::open(image, "").map_err(text)?),
            Format::Vhdx => {
                Arc::new(vhdx::open(image, "", &vhdx::OpenOptions { replay: true }).map_err(text)?)
            }
        };
        let parent = self.parent().map(|parent| Arc::new(raw::open(parent, "", None)) as Arc<dyn Layer>);
        Ok(Arc::new(Disk::new([Some(top), parent].into_iter().flatten().collect())))
    }
}

/// A disk of so many sectors, each of the version below. It is made once: states read it again and again.
fn below(sectors: u64) -> Arc<dyn ByteSource> {
    static MADE: Mutex<BTreeMap<u64, Arc<MemorySource>>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().expect("no holder of the lock panics");
    let make = || Arc::new(MemorySource((0..sectors).flat_map(|sector| stamp(BELOW, sector)).collect()));
    made.entry(sectors).or_insert_with(make).clone()
}

/// What `check` finds in an image without its parents, but for notes and a log to replay.
///
/// # Errors
/// Those of `check`.
pub(crate) fn problems(image: &Arc<dyn ByteSource>) -> Result<Vec<String>> {
    struct Found(Vec<String>);
    impl FindingSink for Found {
        fn finding(&mut self, finding: Finding) {
            let replayed = finding.structure == "VHDX log" && finding.severity != Severity::Error;
            if finding.severity != Severity::Note && !replayed {
                self.0.push(format!("{}: {}", finding.structure, finding.problem));
            }
        }

        fn progress(&mut self, _: &str, _: u64, _: u64) {}
    }
    let mut found = Found(Vec::new());
    for (subject, _) in &Subjects::of_source(image.clone(), &OpenOptions::default())?.files {
        subject.check(true, &mut found)?;
    }
    Ok(found.0)
}

fn same(one: &dyn ByteSource, other: &dyn ByteSource) -> Result<(), String> {
    const PIECE: u64 = 256 << 10;
    for at in (0..one.size()).step_by(256 << 10) {
        let len = usize::try_from(PIECE.min(one.size() - at)).expect("a piece");
        let read = |disk| read_vec(disk, at, len).map_err(|error| error.to_string());
        let (before, after) = (read(one)?, read(other)?);
        if before == after {
            continue;
        }
        if let Some(differs) = (0..len).find(|index| before[*index] != after[*index]) {
            return Err(format!("byte {:#x} is another one", at + differs as u64));
        }
    }
    Ok(())
}

/// What pieces are written with.
fn content(pieces: &[(Range<u64>, bool)], version: u32) -> Vec<u8> {
    let of = |sector, zeros: bool| stamp(if zeros { 0 } else { version }, sector);
    pieces.iter().flat_map(|(sectors, zeros)| sectors.clone().flat_map(|sector| of(sector, *zeros))).collect()
}

/// The first sector of pieces.
fn start(pieces: &[(Range<u64>, bool)]) -> u64 {
    pieces.first().map_or(0, |(sectors, _)| sectors.start)
}

/// A workload that runs.
struct Run<'a> {
    workload: &'a Workload,
    recording: &'a Recording,
    model: Model,
    image: Arc<dyn Backing>,
    redo: Arc<dyn Backing>,
    disk: Option<WritableDisk>,
    /// What a session that is published at its end has written: the version of each sector.
    session: BTreeMap<u64, u32>,
    /// The next version of such a session.
    version: u32,
}

impl Run<'_> {
    fn steps(&mut self) -> Result<()> {
        let workload = self.workload;
        if workload.options.publish == Publish::Unmount {
            workload.steps.iter().try_for_each(|step| self.step_of_session(step))?;
            return self.end_session();
        }
        workload.steps.iter().try_for_each(|step| self.step(step))?;
        self.disk()?.flush()?;
        self.model.flushed(self.recording.position());
        Ok(())
    }

    fn disk(&mut self) -> Result<&WritableDisk> {
        if self.disk.is_none() {
            let options = self.workload.options(self.redo.clone());
            self.disk = Some(WritableDisk::open(
                self.image.clone(),
                self.workload.parent().map(Below::unverified),
                &options,
            )?);
        }
        Ok(self.disk.as_ref().expect("just opened"))
    }

    /// A step of a session that is published at its end: nothing of it may be seen before.
    fn step_of_session(&mut self, step: &Step) -> Result<()> {
        self.version += 1;
        let version = self.version;
        let at = |sectors: &Range<u64>| (sectors.start * SECTOR, (sectors.end - sectors.start) * SECTOR);
        let bytes = |sectors: &Range<u64>| -> Vec<u8> {
            sectors.clone().flat_map(|sector| stamp(version, sector)).collect()
        };
        let mut done: Vec<(Range<u64>, u32)> = Vec::new();
        match step {
            Step::Write(sectors) => {
                self.disk()?.write_all_at(at(sectors).0, &bytes(sectors))?;
                done.push((sectors.clone(), version));
            }
            Step::Pieces(pieces) => {
                let content = content(pieces, version);
                self.disk()?.write_all_at(start(pieces) * SECTOR, &content)?;
                let versions = pieces.iter();
                done.extend(
                    versions.map(|(sectors, zeros)| (sectors.clone(), if *zeros { 0 } else { version })),
                );
            }
            Step::Discard(sectors) => {
                self.disk()?.discard(at(sectors).0, at(sectors).1)?;
                done.push((sectors.clone(), 0));
            }
            Step::Commit(changes) => {
                let mut transaction = self.disk()?.begin();
                for (sectors, discard) in changes {
                    let (offset, len) = at(sectors);
                    match discard {
                        true => transaction.discard(offset, len)?,
                        false => transaction.write(offset, &bytes(sectors))?,
                    }
                    done.push((sectors.clone(), if *discard { 0 } else { version }));
                }
                transaction.commit()?;
            }
            Step::Flush => self.disk()?.flush()?,
            Step::Reopen => return self.end_session(),
        }
        self.session.extend(
            done.into_iter().flat_map(|(sectors, version)| sectors.map(move |sector| (sector, version))),
        );
        Ok(())
    }

    /// Closes the disk: from here on all of the session may be seen, or nothing.
    fn end_session(&mut self) -> Result<()> {
        let changes: Vec<_> = std::mem::take(&mut self.session)
            .into_iter()
            .map(|(sector, version)| (sector..sector + 1, version))
            .collect();
        let number = self.model.commit(self.recording.position(), &changes);
        self.disk()?;
        if let Some(disk) = self.disk.take() {
            disk.close()?;
        }
        self.model.committed(number);
        self.model.flushed(self.recording.position());
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        let now = self.recording.position();
        let version = self.model.next_version();
        let bytes = |sectors: &Range<u64>, version| -> Vec<u8> {
            sectors.clone().flat_map(|sector| stamp(version, sector)).collect()
        };
        let place = |sectors: &Range<u64>| (sectors.start * SECTOR, (sectors.end - sectors.start) * SECTOR);
        match step {
            Step::Write(sectors) => {
                let change = self.model.write(now, sectors.clone(), version);
                let result = self.disk()?.write_all_at(place(sectors).0, &bytes(sectors, version));
                result.inspect_err(|_| self.model.failed(change))
            }
            Step::Pieces(pieces) => {
                let versions = pieces.iter();
                let versions =
                    versions.map(|(sectors, zeros)| (sectors.clone(), if *zeros { 0 } else { version }));
                let changes: Vec<_> =
                    versions.map(|(sectors, version)| self.model.write(now, sectors, version)).collect();
                let content = content(pieces, version);
                let result = self.disk()?.write_all_at(start(pieces) * SECTOR, &content);
                result.inspect_err(|_| changes.into_iter().for_each(|change| self.model.failed(change)))
            }
            Step::Discard(sectors) => {
                let change = self.model.write(now, sectors.clone(), 0);
                let (offset, len) = place(sectors);
                let result = self.disk()?.discard(offset, len);
                result.inspect_err(|_| self.model.failed(change))
            }
            Step::Commit(changes) => {
                let versions = (version..).zip(changes);
                let changes: Vec<_> = versions
                    .map(|(version, (sectors, discard))| {
                        (sectors.clone(), if *discard { 0 } else { version })
                    })
                    .collect();
                let number = self.model.commit(now, &changes);
                let mut transaction = self.disk()?.begin();
                for (sectors, version) in &changes {
                    let (offset, len) = place(sectors);
                    match version {
                        0 => transaction.discard(offset, len)?,
                        _ => transaction.write(offset, &bytes(sectors, *version))?,
                    }
                }
                transaction.commit()?;
                self.model.committed(number);
                Ok(())
            }
            Step::Flush => {
                self.disk()?.flush()?;
                self.model.flushed(self.recording.position());
                Ok(())
            }
            Step::Reopen => {
                self.disk()?;
                if let Some(disk) = self.disk.take() {
                    disk.close()?;
                }
                self.model.flushed(self.recording.position());
                Ok(())
            }
        }
    }
}
