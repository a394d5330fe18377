//! Many images on their hosts: each host volume with what was promised on it, what is there, and which disk runs out
//! first. A file is identified by device and inode: it counts once, whatever its names and however many children build on it.

mod equal_growth;

use std::collections::{BTreeMap, BTreeSet};

pub use equal_growth::EqualGrowth;
use serde::Serialize;

use super::{Capacity, Report, Status, growth_model::GrowthModel, report};
use crate::{
    Result,
    bytes::FileId,
    host::{Family, HostSpace},
    json::Document,
};

/// Collects images one after the other; none stays open.
#[derive(Default)]
pub struct Fleet {
    images: Vec<Image>,
    /// Where in `images` a file is.
    seen: BTreeMap<FileId, usize>,
    /// Every file that some image builds on.
    parents: BTreeMap<FileId, Parent>,
    names: BTreeSet<String>,
    errors: Vec<Failure>,
}

/// An image file, and what its figures come from.
struct Image {
    id: FileId,
    place: Place,
    name: String,
    aliases: Vec<String>,
    report: Report,
    growth: GrowthModel,
}

struct Parent {
    name: String,
    place: Place,
    space: HostSpace,
    children: usize,
}

/// On which host volume a file lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Device(u64),
    /// Where device numbers say nothing of the space.
    Named(String),
}

/// All of them at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FleetReport {
    /// The worst of the host volumes; `None` when no disk could be examined.
    pub status: Option<Status>,
    /// Each that has a disk or a parent on it; their order is not promised.
    pub host_volumes: Vec<HostVolume>,
    /// Images and folders that could not be examined.
    pub errors: Vec<Failure>,
}

/// A host volume and the images on it; sizes in bytes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HostVolume {
    /// Mount point and filesystem.
    pub host: String,
    /// `ok` when the host can keep all promises together.
    pub status: Status,
    /// The sizes that the guests see, in all.
    pub promised: u64,
    /// What disks and parents occupy, each file once.
    pub allocated_on_host: u64,
    /// What may still be taken: the most that any of the images may.
    pub host_free: u64,
    /// What the disks together may still ask for.
    pub growth_to_full: u64,
    /// `growth_to_full / host_free`; `None` when nothing is free and something needed.
    pub overcommitment: Option<f64>,
    /// Host bytes that each disk has taken when the host is full, if all grow equally; `None`: it is never full.
    pub full_when_each_grew: Option<u64>,
    /// The disk that runs out first if all grow equally.
    pub runs_out_first: Option<String>,
    /// The disks.
    pub disks: Vec<Member>,
    /// Files that are only built on: they do not grow.
    pub parents: Vec<ParentFile>,
}

/// A disk in a fleet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Member {
    /// Its name as given or found.
    pub image: String,
    /// Other names of the same file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// What becomes of it when it is not alone.
    pub equal_growth: EqualGrowth,
    /// What it can reach alone.
    #[serde(flatten)]
    pub report: Report,
}

/// A file that disks build on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ParentFile {
    /// Its name.
    pub image: String,
    /// What it occupies.
    pub allocated_on_host: u64,
    /// Images of the fleet that build on it, directly or not.
    pub children: usize,
}

/// An image or folder that could not be examined, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Image or folder.
    pub image: String,
    /// The reason.
    pub error: String,
}

impl Failure {
    /// One line; most errors name the image themselves.
    pub fn text(&self) -> String {
        if self.error.contains(&self.image) {
            self.error.clone()
        } else {
            format!("{}: {}", self.image, self.error)
        }
    }
}

impl Document for FleetReport {
    const SCHEMA: &'static str = "capacity/1";
}

impl Fleet {
    /// Examines an image. A file that was added before by another name is not counted again.
    ///
    /// # Errors
    /// As [`Capacity::report`]; for the caller to [`Self::fail`].
    pub fn add(&mut self, name: &str, capacity: &Capacity) -> Result<()> {
        let file = capacity.files.first().and_then(Option::as_ref);
        let id = file.map_or_else(|| FileId::Path(name.into()), |file| file.id());
        if let Some(image) = self.seen.get(&id).and_then(|index| self.images.get_mut(*index)) {
            if image.name != name {
                image.aliases.push(name.to_owned());
            }
            return Ok(());
        }
        let growth = GrowthModel::of(capacity)?;
        for parent in capacity.files.iter().skip(1).flatten() {
            let known = self.parents.get_mut(&parent.id());
            match known {
                Some(known) => known.children += 1,
                None => {
                    let space = capacity.host.space(parent)?;
                    let place =
                        Place::of(parent.id(), parent.file().metadata().is_ok_and(|m| m.is_file()), &space);
                    let name = parent.path().display().to_string();
                    self.parents.insert(parent.id(), Parent { name, place, space, children: 1 });
                }
            }
        }
        let report = capacity.report()?;
        let regular = file.is_none_or(|file| file.file().metadata().is_ok_and(|metadata| metadata.is_file()));
        self.seen.insert(id.clone(), self.images.len());
        self.images.push(Image {
            place: Place::of(id.clone(), regular, growth.space()),
            id,
            name: unique(&mut self.names, name),
            aliases: Vec::new(),
            growth,
            report,
        });
        Ok(())
    }

    /// Records an image or folder that could not be examined.
    pub fn fail(&mut self, name: &str, error: impl std::fmt::Display) {
        self.errors.push(Failure { image: name.to_owned(), error: error.to_string() });
    }

    /// Everything by host volume.
    pub fn report(self) -> FleetReport {
        let mut places: BTreeMap<Place, (Vec<Image>, Vec<Parent>)> = BTreeMap::new();
        for image in self.images {
            // Writing to a parent would break its children: it does not grow.
            if !self.parents.contains_key(&image.id) {
                places.entry(image.place.clone()).or_default().0.push(image);
            }
        }
        for (_, parent) in self.parents {
            places.entry(parent.place.clone()).or_default().1.push(parent);
        }
        let mut hosts: Vec<_> = places
            .into_iter()
            .map(|(place, (images, parents))| (host_name(&place, &images, &parents), images, parents))
            .collect();
        hosts.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        let mut names = BTreeSet::new();
        let host_volumes: Vec<_> = hosts
            .into_iter()
            .map(|(host, images, parents)| HostVolume::new(unique(&mut names, &host), images, parents))
            .collect();
        // A host volume may have parents alone: those of a disk whose own figures failed.
        let with_disks = host_volumes.iter().filter(|volume| !volume.disks.is_empty());
        let status = with_disks.map(|volume| volume.status).max_by_key(|status| severity(*status));
        FleetReport { status, host_volumes, errors: self.errors }
    }
}

impl HostVolume {
    fn new(host: String, mut images: Vec<Image>, parents: Vec<Parent>) -> Self {
        images.sort_by(|a, b| a.name.cmp(&b.name));
        let sum = |figure: fn(&Report) -> u64| {
            images.iter().map(|image| figure(&image.report)).fold(0, u64::saturating_add)
        };
        let growth_to_full = sum(|report| report.growth_to_full);
        let free =
            images.iter().map(|image| image.report.host_free).chain(parents.iter().map(|p| p.space.free));
        let host_free = free.max().unwrap_or(0);
        let occupied = parents.iter().map(|parent| parent.space.allocated).fold(0, u64::saturating_add);
        let limited = images.iter().map(|image| image.report.status).max_by_key(|status| severity(*status));
        let together = match growth_to_full > host_free {
            false => Status::Ok,
            true if host_free < report::CRITICAL_HOST_FREE => Status::Critical,
            true => Status::Overcommitted,
        };
        let status =
            [limited.unwrap_or(Status::Ok), together].into_iter().max_by_key(|status| severity(*status));
        let (level, shares) = equal_growth::shares(host_free, &images);
        Self {
            host,
            status: status.unwrap_or(Status::Ok),
            promised: sum(|report| report.virtual_size),
            allocated_on_host: sum(|report| report.allocated_on_host).saturating_add(occupied),
            host_free,
            growth_to_full,
            overcommitment: ratio(growth_to_full, host_free),
            full_when_each_grew: level,
            runs_out_first: equal_growth::first(&images, &shares).map(|index| images[index].name.clone()),
            disks: images
                .into_iter()
                .zip(shares)
                .map(|(image, equal_growth)| image.member(equal_growth))
                .collect(),
            parents: parents
                .into_iter()
                .map(|parent| ParentFile {
                    image: parent.name,
                    allocated_on_host: parent.space.allocated,
                    children: parent.children,
                })
                .collect(),
        }
    }
}

/// Mount point and filesystem of a place, from the first of its images in the order of their names.
fn host_name(place: &Place, images: &[Image], parents: &[Parent]) -> String {
    let first = images.iter().min_by(|a, b| a.name.cmp(&b.name));
    let name = match (place, first, parents.first()) {
        (Place::Named(name), ..) => name.clone(),
        (_, Some(image), _) => image.report.host.clone(),
        (_, None, parent) => parent.map(|parent| parent.space.place()).unwrap_or_default(),
    };
    if name.is_empty() { "unknown host volume".into() } else { name }
}

impl Image {
    fn member(self, equal_growth: EqualGrowth) -> Member {
        Member { image: self.name, also: self.aliases, equal_growth, report: self.report }
    }
}

impl Place {
    fn of(id: FileId, regular: bool, space: &HostSpace) -> Self {
        match id {
            _ if !regular => Self::Named("block devices".into()),
            // Each subvolume has a device number of its own, and all share their space.
            FileId::Inode { .. } if space.filesystem.family() == Family::Btrfs => Self::Named(space.place()),
            FileId::Inode { device, .. } => Self::Device(device),
            FileId::Path(_) => Self::Named(space.place()),
        }
    }
}

fn severity(status: Status) -> u8 {
    match status {
        Status::Ok => 0,
        Status::Overcommitted => 1,
        Status::Critical => 2,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for people and monitoring")]
fn ratio(part: u64, whole: u64) -> Option<f64> {
    match (part, whole) {
        (0, _) => Some(0.0),
        (_, 0) => None,
        (part, whole) => Some(part as f64 / whole as f64),
    }
}

/// `name`, or with a number where it is taken: names that differ only in characters that cannot be shown stay distinct.
fn unique(taken: &mut BTreeSet<String>, name: &str) -> String {
    let mut candidate = name.to_owned();
    let mut number = 1;
    while !taken.insert(candidate.clone()) {
        number += 1;
        candidate = format!("{name} #{number}");
    }
    candidate
}
