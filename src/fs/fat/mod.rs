//! FAT12, FAT16 and FAT32 with long names.
//!
//! A node is the position of its short directory entry, in units of 32 bytes (the root: 0, the position of the boot sector),
//! so `stat` reads only that entry. Chains are decoded into runs at open. The table is never in memory as a whole. Each
//! directory is entered through one entry: the one to which its `..` leads back.

mod boot;
mod chain;
mod check;
mod codepage;
mod deleted;
mod directory;
mod filesystem;
mod format;
mod name;
mod orphans;
mod pages;
mod starts;
mod stored;
mod table;
#[cfg(test)]
mod tests;
mod time;

use std::sync::{Arc, OnceLock};

pub use codepage::CodePage;

use self::{
    boot::{BACKUP_BOOT_SECTOR, BOOT_SECTOR_SIZE, Geometry, Root, SECTOR_SIZES, Width},
    chain::{Chain, Chains, Wanted},
    codepage::Decoder,
    directory::{Index, MAX_DIRECTORY_SIZE, Slot, Slots},
    format::{ShortEntry, attr, slot},
    pages::Pages,
    table::Table,
};
use super::{NodeId, Usage, VolumeInfo, reach, reader::Reader, runs::RunList};
use crate::{
    Error, Place, Result,
    bytes::{ByteSource, read_vec},
    cache::Cache,
    identity::VolumeSerial,
};

const ROOT: NodeId = NodeId(0);
/// The largest volume, 2^32 sectors of 4 KiB, in units of 32 bytes.
const _: () = assert!((1_u64 << (32 + 12 - 5)) <= 1 << NodeId::OWN_BITS);
/// The Sleuth Kit's number for the first slot.
const FIRST_NUMBER: u64 = 3;

/// Cache budget for directory indexes. The largest possible one (2 MiB) still fits in a shard.
const INDEX_BUDGET: usize = 33 << 20;

/// Options for facts that the volume does not record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Code page of short names and of the label.
    pub codepage: CodePage,
    /// Offset from UTC of the clock that wrote the times, in minutes; positive is ahead.
    pub utc_offset_minutes: i16,
}

impl From<&super::Options> for Options {
    /// An unsupported code page becomes the default; the command line refuses it before.
    fn from(options: &super::Options) -> Self {
        let codepage = options.codepage.and_then(CodePage::from_number).unwrap_or_default();
        Self { codepage, utc_offset_minutes: options.utc_offset_minutes }
    }
}

pub(super) const READER: Reader = Reader {
    name: "FAT",
    detect,
    detect_backup,
    open: |volume, options, _| Ok(Arc::new(open_with(volume, options.into())?)),
};

/// True if `boot`, the first bytes of a volume, starts with a boot sector of FAT12, FAT16 or FAT32.
pub fn detect(boot: &[u8]) -> bool {
    boot.len() >= BOOT_SECTOR_SIZE && Geometry::parse(boot).is_ok()
}

/// True if the boot sector of a FAT32 volume has a valid backup in sector 6. The backup may be left over from an earlier
/// filesystem, so call this only if nothing else is recognized.
pub fn detect_backup(volume: &dyn ByteSource) -> bool {
    backup_geometry(volume).is_some()
}

fn backup_geometry(volume: &dyn ByteSource) -> Option<Geometry> {
    if read_vec(volume, 0, BOOT_SECTOR_SIZE).is_ok_and(|sector| boot::is_foreign(&sector)) {
        return None;
    }
    SECTOR_SIZES.iter().find_map(|size| {
        let sector = read_vec(volume, BACKUP_BOOT_SECTOR * u64::from(*size), BOOT_SECTOR_SIZE).ok()?;
        let geometry = Geometry::parse(&sector).ok()?;
        (geometry.width == Width::Fat32 && geometry.sector_size == u32::from(*size)).then_some(geometry)
    })
}

/// Opens a volume with the default [`Options`].
///
/// # Errors
/// As [`open_with`].
pub fn open(volume: Arc<dyn ByteSource>) -> Result<Fat> {
    open_with(volume, Options::default())
}

/// Opens a volume.
///
/// # Errors
/// [`Error::Corrupt`] when neither the boot sector nor its backup is valid, [`Error::Io`] when they cannot be read.
pub fn open_with(volume: Arc<dyn ByteSource>, options: Options) -> Result<Fat> {
    let first = read_vec(&*volume, 0, BOOT_SECTOR_SIZE).and_then(|sector| Geometry::parse(&sector));
    let mut geometry = match first {
        Ok(geometry) => geometry,
        Err(error) => {
            let mut geometry = backup_geometry(&*volume).ok_or(error)?;
            geometry.problems.push("boot sector damaged: its copy in sector 6 is used".into());
            geometry
        }
    };
    let mut problems = geometry.problems.clone();
    if geometry.size > volume.size() {
        problems.push(format!("cut short: {} of {} bytes are stored", volume.size(), geometry.size));
    }
    let pages = Pages::new(volume);
    let table = Table::new(&geometry, &pages, &mut problems);
    let mut met = Vec::new();
    let dirty = is_dirty(&geometry, &table, &pages, &mut met);
    problems.extend_from_slice(&met);
    geometry.problems.append(&mut met);
    let mut fat = Fat {
        root_region: root_region(&geometry, pages.volume().size())?,
        chains: Chains::new(table),
        indexes: Cache::new(INDEX_BUDGET),
        decoder: Decoder::new(options.codepage),
        utc_offset_minutes: options.utc_offset_minutes,
        info: VolumeInfo::default(),
        deleted: OnceLock::new(),
        reach: OnceLock::new(),
        usage: OnceLock::new(),
        geometry,
        pages,
    };
    fat.info = fat.describe(dirty, problems);
    fat.info.problems.extend(fat.info.state());
    Ok(fat)
}

fn root_region(geometry: &Geometry, volume_size: u64) -> Result<Option<Arc<Chain>>> {
    let Root::Region { offset, len } = geometry.root else { return Ok(None) };
    let mut runs = RunList::new();
    let stored = volume_size.saturating_sub(offset).min(len);
    runs.push(stored, Some(offset))?;
    let damage = (stored < len).then(|| "the root directory lies beyond the end of the volume".into());
    Ok(Some(Arc::new(Chain { runs: Arc::new(runs), clusters: 0, damage, cluster_size: 0 })))
}

/// Reads the state flags in the table's second entry, which is otherwise an end mark.
fn is_dirty(geometry: &Geometry, table: &Table, pages: &Pages, problems: &mut Vec<String>) -> bool {
    let (clean, no_errors, end_mark) = match geometry.width {
        Width::Fat12 => return geometry.dirty,
        Width::Fat16 => (0x8000, 0x4000, 0xfff8),
        Width::Fat32 => (0x0800_0000, 0x0400_0000, 0x0fff_fff8),
    };
    match table.raw(0, 1, &mut pages.reader()) {
        Ok(raw) if raw | clean | no_errors >= end_mark => {
            if raw & no_errors == 0 {
                problems.push("the last user met disk errors".into());
            }
            geometry.dirty || raw & clean == 0
        }
        _ => geometry.dirty,
    }
}

/// An open volume.
pub struct Fat {
    geometry: Geometry,
    pages: Pages,
    chains: Chains,
    indexes: Cache<NodeId, Arc<Index>>,
    root_region: Option<Arc<Chain>>,
    decoder: Decoder,
    utc_offset_minutes: i16,
    info: VolumeInfo,
    /// Built on the first access to deleted files: that reads all directories and the whole table.
    deleted: OnceLock<Box<deleted::Index>>,
    /// Built when two entries may lead to one directory, or on the first access to orphans: that reads the same.
    reach: OnceLock<Box<orphans::Index>>,
    /// Counted on the first call: that reads the whole table.
    usage: OnceLock<Usage>,
}

impl Fat {
    fn describe(&self, dirty: bool, problems: Vec<String>) -> VolumeInfo {
        let geometry = &self.geometry;
        let in_boot_sector = geometry.label.filter(|label| label != b"NO NAME    ");
        let label = self.root_label().or(in_boot_sector).unwrap_or([b' '; 11]);
        VolumeInfo {
            filesystem: geometry.width.kind(),
            version: String::new(),
            label: name::label(&label, &self.decoder),
            serial: geometry.serial.map(VolumeSerial::Fat),
            size: geometry.size,
            cluster_size: geometry.cluster_size.into(),
            dirty,
            hibernated: false,
            journal: None,
            problems,
        }
    }

    /// The label that users see and change, from the root directory; the one in the boot sector is often older.
    fn root_label(&self) -> Option<[u8; 11]> {
        let root = self.root_directory().ok()?;
        let mut slots = Slots::new(&root, &self.pages, 0);
        while let Ok(Some((slot, _))) = slots.next() {
            match slot {
                Slot::Label(entry) if entry.attr & attr::DIRECTORY == 0 => return Some(entry.name),
                _ => {}
            }
        }
        None
    }

    /// The directory entry of a node; the root has none.
    fn entry(&self, node: NodeId) -> Result<ShortEntry> {
        let node = NodeId(node.0 & !reach::MISPLACED);
        let absent = || Error::not_found(format!("no FAT directory entry {:#x}", node.0));
        let position = node.0.checked_mul(slot::SIZE.into()).ok_or_else(absent)?;
        let in_root = match self.geometry.root {
            Root::Region { offset, len } => (offset..offset + len).contains(&position),
            Root::Chain { .. } => false,
        };
        let data_end = self.geometry.cluster_offset(self.geometry.clusters + 2);
        if !in_root && !(self.geometry.data_offset..data_end).contains(&position) {
            return Err(absent());
        }
        let mut bytes = [0; slot::SIZE as usize];
        self.pages.reader().read(position, &mut bytes)?;
        match Slot::parse(&bytes) {
            // `.` of a directory to which no entry leads.
            Slot::Entry(entry) | Slot::Dot(entry) => Ok(entry),
            _ => Err(absent()),
        }
    }

    fn first_cluster(&self, entry: &ShortEntry) -> u32 {
        let low = u32::from(entry.fst_clus_lo.get());
        // Before FAT32, OS/2 used the upper half for other data.
        match self.geometry.width {
            Width::Fat32 => u32::from(entry.fst_clus_hi.get()) << 16 | low,
            _ => low,
        }
    }

    fn root_directory(&self) -> Result<Arc<Chain>> {
        match (&self.root_region, self.geometry.root) {
            (None, Root::Chain { first_cluster }) => self.directory_at(first_cluster),
            (region, _) => Ok(region.clone().unwrap_or_default()),
        }
    }

    /// The directory whose chain starts at this cluster; a directory without clusters is empty.
    fn directory_at(&self, first_cluster: u32) -> Result<Arc<Chain>> {
        if first_cluster == 0 {
            return Ok(Arc::default());
        }
        let max = MAX_DIRECTORY_SIZE / u64::from(self.geometry.cluster_size);
        let max = u32::try_from(max).expect("8 MiB in clusters of at least 512 bytes");
        self.chains.decode(&self.geometry, &self.pages, first_cluster, Wanted::ToEnd(max))
    }

    fn directory(&self, node: NodeId) -> Result<Arc<Chain>> {
        if node == ROOT {
            return self.root_directory();
        }
        self.own_directory_at(self.directory_cluster(node)?)
    }

    /// As [`Self::directory_at`], cut before the first cluster of another directory.
    fn own_directory_at(&self, first_cluster: u32) -> Result<Arc<Chain>> {
        let chain = self.directory_at(first_cluster)?;
        Ok(match self.shared_from(first_cluster) {
            Some(clusters) if clusters < chain.clusters => Arc::new(chain.cut(clusters)?),
            _ => chain,
        })
    }

    /// First cluster of a directory's chain; 0 for the root, or a directory without clusters.
    fn directory_cluster(&self, node: NodeId) -> Result<u32> {
        if node == ROOT {
            return Ok(0);
        }
        let entry = self.entry(node)?;
        if entry.attr & attr::DIRECTORY == 0 {
            return Err(Error::invalid("not a directory"));
        }
        let first = self.first_cluster(&entry);
        if node.0 & reach::MISPLACED != 0 {
            let position = self.geometry.cluster_offset(first);
            let problem = "another entry leads into it (its `..` decides between them); if no way leads there, it is among \
                           the orphans";
            return Err(Error::corrupt("FAT directory", Place::Byte(position), problem));
        }
        Ok(first)
    }

    /// First cluster of FAT32's root chain.
    fn root_cluster(&self) -> Option<u32> {
        match self.geometry.root {
            Root::Chain { first_cluster } => Some(first_cluster),
            Root::Region { .. } => None,
        }
    }

    /// The slot with The Sleuth Kit's number 3: it counts from the start of the root directory, or of the first cluster.
    fn first_slot(&self) -> u64 {
        let offset = match self.geometry.root {
            Root::Region { offset, .. } => offset,
            Root::Chain { .. } => self.geometry.data_offset,
        };
        offset / u64::from(slot::SIZE)
    }

    /// The Sleuth Kit's number of an entry.
    fn number_of(&self, node: NodeId) -> u64 {
        (node.0 & !reach::MISPLACED).saturating_sub(self.first_slot()).saturating_add(FIRST_NUMBER)
    }

    fn node_of_number(&self, number: u64) -> Option<NodeId> {
        number.checked_sub(FIRST_NUMBER)?.checked_add(self.first_slot()).map(NodeId)
    }

    /// The first cluster that `..` of the directory at this cluster names, 0 for the root.
    fn dot_dot(&self, first_cluster: u32) -> Result<u32> {
        let position = self.geometry.cluster_offset(first_cluster) + u64::from(slot::SIZE);
        let bad = || Error::corrupt("FAT directory", Place::Byte(position), "no `..` entry");
        if !self.geometry.is_data_cluster(first_cluster) {
            return Err(bad());
        }
        let mut bytes = [0; slot::SIZE as usize];
        self.pages.reader().read(position, &mut bytes)?;
        match Slot::parse(&bytes) {
            Slot::DotDot(entry) => Ok(match self.first_cluster(&entry) {
                up if (Root::Chain { first_cluster: up }) == self.geometry.root => 0,
                up => up,
            }),
            _ => Err(bad()),
        }
    }

    /// The directory inside `parent` whose chain starts at this cluster.
    fn find_directory(&self, parent: &Chain, first_cluster: u32) -> Result<NodeId> {
        let mut slots = Slots::new(parent, &self.pages, 0);
        while let Some((slot, position)) = slots.next()? {
            match slot {
                Slot::Entry(entry)
                    if entry.attr & attr::DIRECTORY != 0 && self.first_cluster(&entry) == first_cluster =>
                {
                    return Ok(node_at(position));
                }
                _ => {}
            }
        }
        Err(Error::corrupt(
            "FAT directory",
            Place::Byte(self.geometry.cluster_offset(first_cluster)),
            "not in its parent",
        ))
    }
}

fn node_at(position: u64) -> NodeId {
    NodeId(position / u64::from(slot::SIZE))
}
