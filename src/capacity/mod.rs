//! What a thin disk can really hold: the guest is promised `virtual_size`, but a block that the image file lacks needs
//! host space when it is written. Crosses the top layer's block table with the host's free space, and each volume's
//! allocation bitmap with both.

mod allocation;
mod backing;
mod file_usage;
mod fleet;
mod free;
mod growth_model;
mod host_budget;
mod native_boot;
mod report;
mod self_report;
mod survey;
#[cfg(test)]
pub(crate) mod tests;
mod toml_text;

use std::sync::{Arc, Mutex, PoisonError};

use allocation::Allocation;
use file_usage::FileUsage;
pub use fleet::{EqualGrowth, Failure, Fleet, FleetReport, HostVolume, Member, ParentFile};
use free::Free;
use host_budget::HostBudget;
pub use native_boot::NativeBoot;
use report::{Chain, Figures};
pub use report::{Report, Status, VolumeReport};
pub use self_report::{SelfDisk, SelfReport};
pub use survey::Stored;

use crate::{
    Result,
    bytes::FileSource,
    container::{Disk, Kind, Layer},
    fs::{FileSystem, Usage},
    host::{Expansion, Host, HostMap, HostSpace},
    volume::Volume,
};

/// A volume whose free space is reported.
pub struct Readable {
    /// Its name, and where it lies.
    pub volume: Volume,
    /// Its filesystem.
    pub fs: Arc<dyn FileSystem>,
}

/// Computes the report of one image; asks the host anew each time.
pub struct Capacity {
    disk: Arc<Disk>,
    /// The image files of the chain, top first; only the first grows.
    files: Vec<Option<Arc<FileSource>>>,
    volumes: Vec<Readable>,
    host: Arc<dyn Host>,
    /// What does not change while the image file does not: the scan of the tables.
    scan: Mutex<Option<(HostSpace, Arc<Scan>)>>,
}

struct Scan {
    allocation: Allocation,
    /// The host file has more extents than were examined.
    truncated: bool,
    volumes: Vec<Result<(Usage, Free), String>>,
    /// For each volume, what a Windows on it does with a dynamic disk when it is booted natively.
    expansions: Vec<Option<Expansion>>,
}

impl Capacity {
    /// `files` are the host files of the layers, top first, as far as they have one.
    pub fn new(
        disk: Arc<Disk>,
        files: Vec<Option<Arc<FileSource>>>,
        volumes: Vec<Readable>,
        host: Arc<dyn Host>,
    ) -> Self {
        Self { disk, files, volumes, host, scan: Mutex::new(None) }
    }

    /// The figures of this moment.
    ///
    /// # Errors
    /// When the block table or the host cannot be read. A volume whose bitmap is damaged is named in the report.
    pub fn report(&self) -> Result<Report> {
        self.report_with("")
    }

    /// As [`Self::report`]; `note` is part of [`Report::problem`].
    ///
    /// # Errors
    /// As [`Self::report`].
    pub fn report_with(&self, note: &str) -> Result<Report> {
        let space = self.space()?;
        let scan = self.scan(&space)?;
        let budget = HostBudget::new(self.top(), &space, &scan.allocation);
        let figures = Figures {
            layer: self.top(),
            space: &space,
            allocation: &scan.allocation,
            budget: &budget,
            truncated: scan.truncated,
            note,
        };
        let chain = Chain { parents: self.parents(), hosts: self.parent_hosts() };
        Ok(Report::new(&figures, chain, self.volume_reports(&scan, &space, &budget)))
    }

    /// The achievable space of the whole disk, as `df` reports it: what is backed counts as used.
    ///
    /// # Errors
    /// As [`Self::report`].
    pub fn disk_usage(&self) -> Result<Usage> {
        let report = self.report()?;
        let free = report.achievable_size.saturating_sub(report.backed);
        Ok(Usage { cluster_size: 4096, total: report.achievable_size, free })
    }

    /// The achievable space of one volume, by its place in the list given to [`Self::new`].
    ///
    /// # Errors
    /// As [`Self::report`], and when the volume's bitmap cannot be read.
    pub fn volume_usage(&self, index: usize) -> Result<Usage> {
        let (Ok(space), Some(volume)) = (self.space(), self.volumes.get(index)) else {
            return Err(crate::Error::invalid("no such volume"));
        };
        let Ok(scan) = self.scan(&space) else { return volume.fs.space().usage() };
        match &scan.volumes[index] {
            Ok((usage, free)) => {
                let achievable = free
                    .achievable(&HostBudget::new(self.top(), &space, &scan.allocation), usage.cluster_size);
                Ok(Usage {
                    total: usage.total - (usage.free - achievable.min(usage.free)),
                    free: achievable,
                    ..*usage
                })
            }
            Err(_) => volume.fs.space().usage(),
        }
    }

    fn top(&self) -> &dyn Layer {
        // A disk has at least one layer by construction.
        &*self.disk.layers()[0]
    }

    fn space(&self) -> Result<HostSpace> {
        match self.files.first() {
            Some(Some(file)) => self.host.space(file),
            _ => Ok(HostSpace::none(self.top().source().size())),
        }
    }

    /// Where the image file occupies space; `None` where all of it does.
    fn map(&self, space: &HostSpace) -> Option<HostMap> {
        let file = self.files.first().and_then(Option::as_deref)?;
        self.host.map(file, space)
    }

    fn parents(&self) -> Vec<String> {
        self.disk.layers().iter().skip(1).map(|layer| layer.info().path.clone()).collect()
    }

    /// Where each parent lies, which may be another volume than the child's.
    fn parent_hosts(&self) -> Vec<String> {
        let place = |file: &Option<Arc<FileSource>>| {
            let space = file.as_ref().and_then(|file| self.host.space(file).ok());
            space.map(|space| space.place()).unwrap_or_default()
        };
        self.files.iter().skip(1).map(place).collect()
    }

    /// The scan, repeated only when the image file's length or allocation has changed since the last one.
    fn scan(&self, space: &HostSpace) -> Result<Arc<Scan>> {
        let same = |old: &HostSpace| (old.file_size, old.allocated) == (space.file_size, space.allocated);
        if let Some((old, scan)) = &*self.scan.lock().unwrap_or_else(PoisonError::into_inner)
            && same(old)
        {
            return Ok(scan.clone());
        }
        let map = self.map(space);
        let map = map.as_ref();
        let missing = space.file_size.saturating_sub(space.allocated);
        let vague = map.is_some_and(HostMap::is_vague);
        let top = self.top();
        let file_usage = FileUsage::survey(top, map)?;
        let mut allocation = Allocation::count(top, &file_usage, map)?;
        if vague {
            allocation.split_holes(missing, space);
        }
        let paid = space.file_size.checked_next_multiple_of(space.unit.max(1)).unwrap_or(u64::MAX);
        allocation.beyond_end = map.map_or(0, |map| map.occupied(paid..u64::MAX));
        let volumes = self.volumes.iter().map(|volume| {
            let free = Free::count(top, &file_usage, map, &volume.volume, &*volume.fs);
            let mut free = free.map_err(|e| e.to_string())?;
            if vague {
                free.split_holes(missing, space);
            }
            // The filesystem has counted its free clusters in the pass above: `usage` does not read the map again.
            Ok((volume.fs.space().usage().map_err(|e| e.to_string())?, free))
        });
        let volumes = volumes.collect();
        let dynamic = top.info().kind == Kind::Dynamic;
        let expansions = self
            .volumes
            .iter()
            .map(|volume| dynamic.then(|| native_boot::expansion(&*volume.fs)).flatten())
            .collect();
        let scan =
            Arc::new(Scan { allocation, truncated: map.is_some_and(HostMap::is_cut), volumes, expansions });
        *self.scan.lock().unwrap_or_else(PoisonError::into_inner) = Some((space.clone(), scan.clone()));
        Ok(scan)
    }

    fn volume_reports(&self, scan: &Scan, space: &HostSpace, budget: &HostBudget) -> Vec<VolumeReport> {
        let growth_to_full = scan.allocation.growth_to_full(&budget.growth);
        let boot = |expansion| NativeBoot::new(expansion, growth_to_full, space.free);
        let counted = scan.volumes.iter().zip(&scan.expansions);
        let reports = self.volumes.iter().zip(counted).map(|(volume, (counted, expansion))| {
            let info = volume.fs.volume();
            let named = VolumeReport {
                name: volume.volume.name.clone(),
                label: info.label,
                filesystem: info.filesystem.name(),
                native_boot: expansion.map(boot),
                ..VolumeReport::default()
            };
            match counted {
                Ok((usage, free)) => VolumeReport {
                    size: usage.total,
                    free_reported: usage.free,
                    free_backed: free.backed,
                    free_achievable: free.achievable(budget, usage.cluster_size),
                    ..named
                },
                Err(problem) => VolumeReport { problem: problem.clone(), ..named },
            }
        });
        reports.collect()
    }
}
