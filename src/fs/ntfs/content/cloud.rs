//! Cloud files (OneDrive and others, by `cldflt.sys`): only fetched content is on the disk. The rest is a hole, which would
//! read as zeros; therefore only content that is certainly complete is readable.
//!
//! Even the allocated parts of a placeholder are not readable: NTFS fills up to 16 clusters around fetched data with zeros,
//! and only the filter's own, undocumented data records which bytes were fetched. That data does not name the provider
//! either.

use std::sync::Arc;

use crate::{
    Error, Result,
    bytes::{ByteSource, MemorySource},
    fs::{
        NodeId,
        ntfs::{
            Ntfs,
            attributes::{
                FLAG_COMPRESSION_MASK, code,
                standard_information::{
                    ATTRIBUTE_OFFLINE, ATTRIBUTE_RECALL_ON_DATA_ACCESS, ATTRIBUTE_RECALL_ON_OPEN,
                },
            },
            nodes::node::Node,
            records::file::{File, Place, Value},
        },
    },
};

/// Attribute bits with which Windows calls the provider before it reads a file.
const ELSEWHERE: u32 = ATTRIBUTE_OFFLINE | ATTRIBUTE_RECALL_ON_OPEN | ATTRIBUTE_RECALL_ON_DATA_ACCESS;

impl Ntfs {
    /// Opens the content of a cloud file that is fetched completely.
    pub(in super::super) fn cloud_content(
        &self,
        id: NodeId,
        file: &File<'_>,
        attributes: u32,
    ) -> Result<Arc<dyn ByteSource>> {
        let refuse = |why: &str| {
            let why = format!("a cloud file (OneDrive or another provider), {why}: get it from the cloud");
            self.warn_once(Node::from(id).record, &why);
            Err(Error::unsupported(why))
        };
        let Some(value) = file.value(code::DATA, &[])? else { return Ok(Arc::new(MemorySource::default())) };
        if value.size > 0 && attributes & ELSEWHERE != 0 {
            return refuse("whose content is not, or not completely, on this disk");
        }
        match first_hole(&value, self.mft.boot.cluster_size) {
            None => self.content(id, value),
            Some(hole) => refuse(&format!("of which nothing is stored from byte {hole:#x} on")),
        }
    }
}

/// Offset of the first byte that is not stored on the disk. Examines the runs, which are fewer than their clusters.
fn first_hole(value: &Value, cluster_size: u64) -> Option<u64> {
    let Place::Clusters(runs) = &value.place else { return None };
    // Compression saves clusters as holes as well, but never a whole unit.
    let compressed = value.flags & FLAG_COMPRESSION_MASK != 0;
    let unit = if compressed { 1_u64.checked_shl(value.compression_unit.into()) } else { Some(1) };
    let unit = unit.and_then(|clusters| clusters.checked_mul(cluster_size)).unwrap_or(u64::MAX);
    let holes = runs.iter().filter(|(_, position, _)| position.is_none()).filter_map(|(start, _, len)| {
        let whole = start.checked_next_multiple_of(unit)?;
        (whole.checked_add(unit)? <= start.checked_add(len)?).then_some(whole)
    });
    let beyond = value.valid.min(runs.len());
    holes.chain([beyond]).min().filter(|hole| *hole < value.size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::runs::RunList;

    fn value(stretches: &[(u64, bool)], size: u64, valid: u64, compression_unit: u8) -> Value {
        let mut runs = RunList::new();
        for (clusters, stored) in stretches {
            runs.push(clusters * 4096, stored.then_some(1 << 20)).unwrap();
        }
        let flags = u16::from(compression_unit > 0);
        Value { flags, compression_unit, size, valid, place: Place::Clusters(Arc::new(runs)) }
    }

    fn hole(stretches: &[(u64, bool)], size: u64, valid: u64, unit: u8) -> Option<u64> {
        first_hole(&value(stretches, size, valid, unit), 4096)
    }

    #[test]
    fn what_has_no_clusters_is_found() {
        assert_eq!(hole(&[(2, true)], 8000, 8000, 0), None);
        assert_eq!(hole(&[(2, true)], 8000, 4096, 0), Some(4096));
        assert_eq!(hole(&[(1, true), (1, false), (1, true)], 12_000, 12_000, 0), Some(4096));
        assert_eq!(hole(&[(2, false)], 8000, 8000, 0), Some(0));
        assert_eq!(hole(&[(1, true), (15, false)], 4096, 4096, 0), None);
        assert_eq!(hole(&[(1, true)], 5000, 5000, 0), Some(4096));
        assert_eq!(hole(&[], 1, 1, 0), Some(0));
        assert_eq!(hole(&[], 0, 0, 0), None);
    }

    #[test]
    fn what_compression_saves_is_not_missing() {
        assert_eq!(hole(&[(3, true), (13, false), (16, true)], 131_072, 131_072, 4), None);
        assert_eq!(hole(&[(3, true), (29, false)], 131_072, 131_072, 4), Some(65_536));
        assert_eq!(hole(&[(3, true), (29, false)], 65_536, 65_536, 4), None);
    }
}
