//! Files of Windows Server's Data Deduplication: the reparse point names a chunk store on the same volume and the location
//! of the file's stream map in it; the map lists the chunks of the content.
//!
//! Microsoft documents none of it. The layouts are those on which the ntfs-3g plugin of J.-P. André and the readers and
//! notes of several forensic analysts agree. Guard: a chunk is returned only if its bytes have the hash in the map. A
//! misread layout, damage or stale data in the store is therefore an error, never wrong content.

mod chunk;
pub mod point;
mod source;
mod store;

use std::sync::Arc;

use self::{point::Point, source::DedupSource};
use crate::{
    Error, Result,
    bytes::ByteSource,
    fs::{
        NodeId,
        ntfs::{
            Ntfs,
            records::file::{Place, Value},
        },
    },
};
pub(in super::super) use store::{Open, Store};

impl Ntfs {
    /// Opens the content of the file `id`, whose reparse point has this data.
    pub(in super::super) fn open_deduplicated(
        &self,
        id: NodeId,
        value: Option<Value>,
        data: &[u8],
    ) -> Result<Arc<dyn ByteSource>> {
        let refuse = |why: &str| Error::unsupported(format!("kept by data deduplication: {why}"));
        let point = Point::parse(data).map_err(|error| match error {
            Error::Unsupported(why) => refuse(&why),
            error => error,
        })?;
        let refuse = |why: &str| refuse(&format!("{why} (chunk store {{{}}})", point.store));
        let value = value.ok_or_else(|| refuse("it has no data attribute"))?;
        if !is_hole(&value) {
            // Ranges that were written since are in the file's own clusters; only the filter knows which ranges these
            // are.
            return Err(refuse("it was partly written since, which is not read"));
        }
        if value.size != point.size() {
            return Err(refuse(&format!("the store has {} of its {} bytes", point.size(), value.size)));
        }
        let store = self.stores.get_or_load(point.store, || {
            let store = Store::open(self, point.store)?;
            let memory = store.memory();
            Ok((Arc::new(store), memory))
        });
        let source = store.and_then(|store| DedupSource::open(store, &point, self.units.clone(), id.0));
        Ok(Arc::new(source.map_err(|error| match error {
            Error::Unsupported(why) | Error::NotFound(why) => refuse(&why),
            error => error,
        })?))
    }
}

/// True if the attribute itself stores no data.
fn is_hole(value: &Value) -> bool {
    match &value.place {
        Place::Record(bytes) => bytes.is_empty(),
        // Adjacent holes form one run.
        Place::Clusters(runs) => runs.find(0).is_none_or(|(place, len)| place.is_none() && len == runs.len()),
    }
}
