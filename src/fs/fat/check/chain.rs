//! The check of one chain: its clusters are claimed for its owner, one after the other.

use super::{super::table::FatEntry, Check, MAX_MEETINGS, MAX_OWNERS, Object, bit};

/// The claimed part of a chain.
pub(super) struct Claimed {
    /// Number of clusters that no other chain claimed before.
    pub(super) clusters: u32,
    pub(super) end: End,
}

/// How a chain ends.
pub(super) enum End {
    Proper,
    /// Runs into a chain that was claimed before.
    Shared,
    /// Damaged, with the reason.
    Broken(String),
}

impl Check<'_, '_> {
    /// Claims the chain from cluster `first` on for an object.
    pub(super) fn claim(&mut self, first: u32, object: Object<'_>) -> Claimed {
        let geometry = &self.fat.geometry;
        if !geometry.is_data_cluster(first) {
            let problem = format!("it begins at cluster {first}, which does not exist");
            return Claimed { clusters: 0, end: End::Broken(problem) };
        }
        let (mut cluster, mut clusters) = (first, 0);
        loop {
            self.note_owner(cluster, object);
            if self.is_claimed(cluster) {
                let end = match self.is_own(first, clusters, cluster) {
                    true => {
                        End::Broken(format!("after {clusters} clusters it comes back to cluster {cluster}"))
                    }
                    false => {
                        if self.meetings.len() < MAX_MEETINGS {
                            self.meetings.insert(cluster);
                        }
                        End::Shared
                    }
                };
                return Claimed { clusters, end };
            }
            let (word, bit) = bit(cluster);
            self.claimed[word] |= bit;
            clusters += 1;
            self.done += 1;
            let next = self.fat.chains.table().entry(0, cluster, &mut self.reader);
            let problem = match next {
                Ok(FatEntry::Next(next)) => {
                    cluster = next;
                    continue;
                }
                Ok(FatEntry::End) => return Claimed { clusters, end: End::Proper },
                Ok(FatEntry::Free) => format!("cluster {cluster} is marked as free"),
                Ok(FatEntry::Bad) => format!("cluster {cluster} is marked as bad"),
                Ok(FatEntry::Invalid(next)) => {
                    format!("cluster {cluster} is followed by {next}, which does not exist")
                }
                Err(error) => format!("the table entry of cluster {cluster}: {error}"),
            };
            self.incomplete = true;
            return Claimed { clusters, end: End::Broken(format!("after {clusters} clusters: {problem}")) };
        }
    }

    /// True if the first `clusters` clusters of the chain include `wanted`.
    fn is_own(&mut self, first: u32, clusters: u32, wanted: u32) -> bool {
        let mut cluster = first;
        for _ in 0..clusters {
            if cluster == wanted {
                return true;
            }
            match self.fat.chains.table().entry(0, cluster, &mut self.reader) {
                Ok(FatEntry::Next(next)) => cluster = next,
                _ => return false,
            }
        }
        false
    }

    fn note_owner(&mut self, cluster: u32, object: Object<'_>) {
        if let Some(owners) = self.owners.as_mut().and_then(|owners| owners.get_mut(&cluster))
            && owners.len() < MAX_OWNERS
        {
            owners.push(object.with_path(&self.path));
        }
    }
}
