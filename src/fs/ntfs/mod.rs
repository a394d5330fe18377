//! NTFS, read-only: from the boot sector over the master file table to files, directories and streams.
//!
//! On-disk structures: Microsoft's published headers (`ntfs_fsctl`, "NTFS attribute types") and the notes of the Linux NTFS
//! projects. Damage is local: a record, an index block or a run list that contradicts itself is an error for the file that
//! owns it.

pub mod attributes;
mod check;
pub mod content;
mod deleted;
mod directory;
mod filesystem;
pub mod fixup;
pub mod index;
mod nodes;
mod opening;
mod orphans;
pub mod records;
pub mod reparse;
pub mod security;
pub mod volume;
mod xattr;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

pub use volume::boot::{BootSector, detect, detect_backup};

use self::{
    content::{compressed, dedup, wim_backed},
    directory::{Directory, NAME_MAP_BUDGET, NameMap},
    nodes::stat_cache::StatCache,
    records::{mft::Mft, number},
    volume::{boot, upcase::UpCase},
};
use crate::{
    Result,
    bytes::{Buffer, BufferPool, ByteSource},
    cache::Cache,
    fs::{Context, Options, VolumeInfo, reader::Reader},
    guid::Guid,
};

pub(super) const READER: Reader = Reader {
    name: "NTFS",
    detect,
    detect_backup: boot::has_backup,
    open: |volume, options, context| Ok(Arc::new(open_in(volume, options, context)?)),
};

/// Cache budget for open directories: root entries and run lists.
const DIRECTORY_BUDGET: usize = 4 << 20;
/// Cache budget for index blocks.
const BLOCK_BUDGET: usize = 16 << 20;
/// Cache budget for decompressed units of LZNT1 and WOF files.
const UNIT_BUDGET: usize = 16 << 20;
/// Cache budget for indexes of WIM files with content of the volume's files: two of the largest supported ones.
const WIM_BUDGET: usize = 26 << 20;
/// Cache budget for chunk stores of data deduplication, with the lists of their containers.
const STORE_BUDGET: usize = 32 << 20;
/// Cache budget for run lists of the containers.
const CONTAINER_BUDGET: usize = 16 << 20;
/// Budget for the record numbers of 8192 files for which a warning was logged.
const WARNED_BUDGET: usize = 64 << 10;

/// An NTFS volume.
pub struct Ntfs {
    volume: Arc<dyn ByteSource>,
    mft: Arc<Mft>,
    stats: StatCache,
    upcase: UpCase,
    options: Options,
    context: Context,
    info: VolumeInfo,
    directories: Cache<u64, Arc<Directory>>,
    blocks: Cache<(u64, u64), Arc<Buffer>>,
    /// Maps of the names of damaged directories.
    name_maps: Cache<u64, Arc<NameMap>>,
    block_buffers: Arc<BufferPool>,
    units: Arc<compressed::UnitCache>,
    wims: wim_backed::Wims,
    stores: Cache<Guid, Arc<dedup::Store>>,
    containers: Arc<dedup::Open>,
    warned: Cache<u64, ()>,
    /// State for reading deleted files, built on the first access to one.
    freed: OnceLock<Box<deleted::Freed>>,
    /// Built on the first access to orphans: that reads the whole table and all directories.
    orphans: OnceLock<Box<orphans::Index>>,
    /// True if record 5 cannot be read, or is no directory.
    root_is_lost: bool,
    /// Number of free clusters in `$Bitmap`; counted once.
    free: OnceLock<u64>,
    /// Locations of the descriptors in `$SDS`, found by a search if the index is damaged.
    descriptors: OnceLock<BTreeMap<u32, security::Location>>,
}

/// Opens a volume with the default options.
///
/// # Errors
/// As [`open_with`].
pub fn open(volume: Arc<dyn ByteSource>) -> Result<Ntfs> {
    open_with(volume, &Options::default())
}

/// Opens a volume.
///
/// # Errors
/// [`crate::Error::Corrupt`] if neither the boot sector nor its backup leads to a table with a root directory.
pub fn open_with(volume: Arc<dyn ByteSource>, options: &Options) -> Result<Ntfs> {
    open_in(volume, options, &Context::default())
}

fn open_in(volume: Arc<dyn ByteSource>, options: &Options, context: &Context) -> Result<Ntfs> {
    let mut problems = Vec::new();
    let mut mft = opening::open_mft(&volume, &mut problems)?;
    mft.limit(context);
    let upcase = opening::read_upcase(&mft, &mut problems);
    let info = opening::read_info(&mft, problems);
    let mut ntfs = assemble(volume, mft, upcase, info, (options, context));
    if let Err(error) = ntfs.root_record() {
        // Without any user file there is no volume to show.
        if ntfs.mft.records() <= number::FIRST_USER {
            return Err(error);
        }
        ntfs.root_is_lost = true;
        ntfs.info.problems.push(format!(
            "the root directory is lost ({error}): what its files' own records still say is in .orphans"
        ));
    }
    ntfs.info.hibernated = ntfs.find_hibernation();
    ntfs.info.problems.extend(ntfs.info.state());
    Ok(ntfs)
}

/// Builds a volume from its table, with empty caches.
fn assemble(
    volume: Arc<dyn ByteSource>,
    mft: Mft,
    upcase: UpCase,
    info: VolumeInfo,
    (options, context): (&Options, &Context),
) -> Ntfs {
    let mft = Arc::new(mft);
    let block_size = usize::try_from(mft.boot.index_block_size).expect("the boot sector bounds it");
    Ntfs {
        volume,
        stats: StatCache::new(mft.clone(), context),
        mft,
        upcase,
        options: options.clone(),
        context: context.clone(),
        info,
        directories: Cache::new(context.share(DIRECTORY_BUDGET)),
        blocks: Cache::new(context.share(BLOCK_BUDGET)),
        name_maps: Cache::of_large_values(context.share(NAME_MAP_BUDGET)),
        block_buffers: BufferPool::new(block_size),
        units: Arc::new(Cache::new(context.share(UNIT_BUDGET))),
        wims: wim_backed::Wims::new(context.share(WIM_BUDGET)),
        stores: Cache::new(context.share(STORE_BUDGET)),
        containers: Arc::new(Cache::new(context.share(CONTAINER_BUDGET))),
        warned: Cache::new(WARNED_BUDGET),
        freed: OnceLock::new(),
        orphans: OnceLock::new(),
        root_is_lost: false,
        free: OnceLock::new(),
        descriptors: OnceLock::new(),
    }
}
