//! Reads the starts of clusters, in the search for directories without an entry. Guards: holes are skipped, and small
//! clusters are read many at a time.

use std::ops::Range;

use zerocopy::FromBytes;

use super::{
    Fat,
    format::{ShortEntry, slot},
};
use crate::bytes::{ByteSource, ExtentKind, read_vec};

/// Length of the first two slots: `.` and `..` of a directory.
pub(super) const START: usize = 2 * slot::SIZE as usize;
/// Maximum length of one read.
const PIECE: u64 = 128 << 10;
/// Maximum cluster size for reads of several clusters; of larger ones only the starts are read.
const SMALL: u64 = 16 << 10;

impl Fat {
    /// Calls `f` with the first bytes of each of these clusters that is stored and readable.
    pub(super) fn each_start(&self, clusters: Range<u32>, f: &mut dyn FnMut(u32, &[u8])) {
        let (volume, size) = (&**self.pages.volume(), u64::from(self.geometry.cluster_size));
        let mut at = clusters.start;
        while at < clusters.end {
            let position = self.geometry.cluster_offset(at);
            if position >= volume.size() {
                break;
            }
            let extent = volume.extent_at(position).ok();
            let left = u64::from(clusters.end - at);
            let whole = extent.map_or(0, |extent| extent.len / size).min(left);
            let is_hole = extent.is_some_and(|extent| extent.kind == ExtentKind::Hole) && whole > 0;
            let take = match is_hole {
                true => whole,
                false if size > SMALL => 1,
                false => whole.min(PIECE / size).max(1),
            };
            if !is_hole {
                self.read_starts(volume, at, take, f);
            }
            at += u32::try_from(take).expect("at most what is left");
        }
    }

    fn read_starts(&self, volume: &dyn ByteSource, first: u32, count: u64, f: &mut dyn FnMut(u32, &[u8])) {
        let size = usize::try_from(self.geometry.cluster_size).expect("at most 256 KiB");
        let bytes = usize::try_from(count).ok().filter(|count| *count > 1).and_then(|count| {
            read_vec(volume, self.geometry.cluster_offset(first), (count - 1) * size + START).ok()
        });
        let clusters = (first..).take(usize::try_from(count).unwrap_or(usize::MAX));
        match bytes {
            Some(bytes) => {
                clusters.zip(bytes.chunks(size)).for_each(|(cluster, bytes)| f(cluster, &bytes[..START]))
            }
            // A single cluster, or one of them cannot be read.
            None => clusters.for_each(|cluster| {
                if let Ok(bytes) = read_vec(volume, self.geometry.cluster_offset(cluster), START) {
                    f(cluster, &bytes);
                }
            }),
        }
    }

    /// The first cluster that `..` names, 0 for the root, if `bytes` are the start of the directory at this cluster. With
    /// `deleted`, both slots may be marked as deleted.
    pub(super) fn way_back(&self, cluster: u32, bytes: &[u8], deleted: bool) -> Option<u32> {
        let slot_at = |at: usize| ShortEntry::read_from_prefix(bytes.get(at..)?).ok().map(|(short, _)| short);
        let (dot, up) = (slot_at(0)?, slot_at(START / 2)?);
        let begins = |short: &ShortEntry, rest: &[u8; 10]| {
            (short.name[0] == b'.' || deleted && short.name[0] == slot::DELETED)
                && short.name[1..] == *rest
                && short.attr & super::attr::DIRECTORY != 0
        };
        let is =
            begins(&dot, b"          ") && begins(&up, b".         ") && self.first_cluster(&dot) == cluster;
        let up = self.first_cluster(&up);
        is.then_some(if Some(up) == self.root_cluster() { 0 } else { up })
    }
}
