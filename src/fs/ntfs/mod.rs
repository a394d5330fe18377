//! NTFS, read-only: from the boot sector over the master file table to files, directories and streams.
//!
//! On-disk structures: Microsoft's published headers (`ntfs_fsctl`, "NTFS attribute types") and the notes of the Linux
//! NTFS projects. Damage is local: a record, an index block or a run list that contradicts itself is an error for the
//! file that owns it.

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
    directory::Directory,
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

/// Open directories: root entries and run lists.
const DIRECTORY_BUDGET: usize = 4 << 20;
/// Index blocks.
const BLOCK_BUDGET: usize = 16 << 20;
/// Decompressed units of LZNT1 files and of those compressed by WOF.
const UNIT_BUDGET: usize = 16 << 20;
/// Indexes of WIM files that hold content of the volume's files: two of the largest that are read.
const WIM_BUDGET: usize = 26 << 20;
/// Chunk stores of data deduplication, with the lists of their containers.
const STORE_BUDGET: usize = 32 << 20;
/// Run lists of their containers.
const CONTAINER_BUDGET: usize = 16 << 20;
/// Remembers 8192 files that a warning was logged for.
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
    block_buffers: Arc<BufferPool>,
    units: Arc<compressed::UnitCache>,
    wims: wim_backed::Wims,
    stores: Cache<Guid, Arc<dedup::Store>>,
    containers: Arc<dedup::Open>,
    warned: Cache<u64, ()>,
    /// What is needed to read deleted files, made when the first one is asked for.
    freed: OnceLock<Box<deleted::Freed>>,
    /// Found when the first orphan is asked for: that reads the whole table and all directories.
    orphans: OnceLock<Box<orphans::Index>>,
    /// Record 5 cannot be read, or is no directory.
    root_is_lost: bool,
    /// Clusters that `$Bitmap` says are free; counted once.
    free: OnceLock<u64>,
    /// Where `$SDS` has its descriptors, when the index cannot tell.
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
/// [`crate::Error::Corrupt`] when neither boot sector nor its backup leads to a table with a root directory.
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
        // Without any other file there is no volume to show.
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

/// A volume around its table, with empty caches.
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
