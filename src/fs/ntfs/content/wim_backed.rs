//! Files whose content is in a WIM file (WIMBoot): the volume's `WimOverlay.dat` names the WIM by partition and path, the
//! reparse point has the content's SHA-1, by which the WIM's blob table finds it. Guards: the list and the WIM are opened
//! only as stored in their own files, so that a chain of redirected content ends.

use std::sync::{Arc, Mutex, PoisonError};

use super::{WOF_PIECE, wim_overlay};
use crate::{
    Error, Place, Result,
    bytes::{ByteSource, read_vec},
    fs::{
        FileSystem, NameBuf, NodeId, NodeKind,
        ntfs::{Ntfs, nodes::node::Node},
        open_stored,
        wim::{Hash, Wim},
    },
};

const BACKSLASH: u16 = b'\\' as u16;
/// More levels than in any path that Windows can form (32,767 units).
const MAX_DEPTH: usize = 16_384;

/// Open WIMs with their indexes, by their number in `WimOverlay.dat`; the most recently used one is last.
pub(in super::super) struct Wims {
    open: Mutex<Vec<(u64, Arc<Wim>)>>,
    budget: usize,
}

impl Wims {
    /// A cache for WIMs whose indexes take at most `budget` bytes together.
    pub(in super::super) fn new(budget: usize) -> Self {
        Self { open: Mutex::default(), budget }
    }

    /// The open WIM, or else the one that `load` opens, without the lock held.
    fn get_or_load(&self, number: u64, load: impl FnOnce() -> Result<Wim>) -> Result<Arc<Wim>> {
        let lock = || self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let take = |open: &mut Vec<(u64, Arc<Wim>)>| {
            let at = open.iter().position(|(other, _)| *other == number);
            at.map(|at| open.remove(at).1)
        };
        let found = take(&mut lock());
        let wim = match found {
            Some(wim) => wim,
            None => Arc::new(load()?),
        };
        let mut open = lock();
        take(&mut open);
        open.push((number, wim.clone()));
        // An empty WIM takes memory, too.
        let memory =
            |open: &[(u64, Arc<Wim>)]| open.iter().map(|(_, wim)| wim.memory() + 4096).sum::<usize>();
        while memory(&open) > self.budget {
            open.remove(0);
        }
        Ok(wim)
    }
}

impl Ntfs {
    /// Opens the content of the file `id`, whose reparse point names this WIM and hash, and whose data attribute is `size`
    /// bytes long.
    pub(in super::super) fn open_wim_backed(
        &self,
        id: NodeId,
        size: u64,
        data_source: u64,
        hash: &Hash,
    ) -> Result<Arc<dyn ByteSource>> {
        let digest: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let refusal = |why: String| {
            format!("kept in a WIM file by WOF (WIMBoot: data source {data_source}, SHA-1 {digest}): {why}")
        };
        let refuse = |error| match error {
            Error::Unsupported(why) | Error::NotFound(why) => Error::unsupported(refusal(why.into_owned())),
            error => error,
        };
        let wim = self.wims.get_or_load(data_source, || self.open_wim(data_source)).map_err(refuse)?;
        let blob = wim.blob(hash, self.units.clone(), id.0).map_err(refuse)?;
        let blob = blob.ok_or_else(|| Error::unsupported(refusal("the WIM does not have it".into())))?;
        if blob.size() != size {
            let problem = format!("{size} bytes long, but its content in the WIM has {}", blob.size());
            return Err(Error::corrupt("file", Place::Record(Node::from(id).record), problem));
        }
        let unit = blob.unit();
        Ok(match unit {
            Some(unit) => self.ahead(Arc::new(blob), unit, WOF_PIECE),
            None => Arc::new(blob),
        })
    }

    fn open_wim(&self, data_source: u64) -> Result<Wim> {
        const LIST: [&str; 2] = ["System Volume Information", "WimOverlay.dat"];
        let list = LIST.map(NameBuf::literal);
        let node = walk(self, list.iter().map(|name| name.0.as_slice()))?.ok_or_else(|| {
            Error::not_found("the volume has no \\System Volume Information\\WimOverlay.dat")
        })?;
        let list = open_stored(self, node)?;
        let len = usize::try_from(list.size()).ok().filter(|len| *len <= wim_overlay::MAX_LEN);
        let len =
            len.ok_or_else(|| Error::corrupt("WimOverlay.dat", None, format!("{} bytes", list.size())))?;
        let location = wim_overlay::find(&read_vec(&*list, 0, len)?, data_source)?
            .ok_or_else(|| Error::not_found("WimOverlay.dat does not list it"))?;

        let path = location.path.as_name();
        let parts = || path.0.split(|unit| *unit == BACKSLASH).filter(|part| !part.is_empty());
        let there = || format!("{path} on {}", location.partition);
        let file = match self.context.neighbours.find(&location.partition) {
            Some(volume) => match walk(&*volume, parts())? {
                Some(node) => open_stored(&*volume, node),
                None => return Err(Error::not_found(format!("there is no {}", there()))),
            },
            // An image of one volume, or a moved volume, may have the WIM on itself: the hash decides.
            None => match walk(self, parts())? {
                Some(node) => open_stored(self, node),
                None => return Err(Error::not_found(format!("{}, which is not here", there()))),
            },
        };
        Wim::open(file?)
    }
}

/// The file at a path from the root; `None` if it does not exist.
fn walk<'a>(fs: &dyn FileSystem, parts: impl Iterator<Item = &'a [u16]>) -> Result<Option<NodeId>> {
    let mut at = fs.root();
    for part in parts.take(MAX_DEPTH) {
        if fs.stat(at)?.kind != NodeKind::Directory {
            return Ok(None);
        }
        let Some(found) = fs.lookup(at, crate::fs::Name(part))? else { return Ok(None) };
        at = found;
    }
    Ok(Some(at))
}
