//! Cluster chains, decoded into byte runs once; reads do not access the table.
//!
//! Guards: a chain is no longer than requested, and contains no cluster twice; of a damaged chain the valid beginning is
//! kept. If another copy of the table has more of the chain, that copy is used.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    boot::Geometry,
    pages::Pages,
    table::{FatEntry, Table},
};
use crate::{Result, cache::Cache, fs::runs::RunList};

/// Limit of 48 MiB of runs. A file of 4 GiB in 4 KiB clusters has at most half as many fragments.
const MAX_FRAGMENTS: usize = 2 << 20;

/// Cache budget for decoded chains of small files and directories; a chain of more than 20,000 fragments is not kept.
const CACHE_BUDGET: usize = 8 << 20;

/// How many clusters of a chain the caller needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Wanted {
    /// This many clusters; the rest of the chain does not matter.
    Clusters(u32),
    /// All clusters up to the end mark, which must follow within this many clusters.
    ToEnd(u32),
}

/// A decoded chain.
#[derive(Debug, Default)]
pub(super) struct Chain {
    pub(super) runs: Arc<RunList>,
    pub(super) clusters: u32,
    /// The reason why the runs are not the whole chain.
    pub(super) damage: Option<String>,
    /// Bytes per cluster; 0 for a chain without any.
    pub(super) cluster_size: u32,
}

impl Chain {
    /// The first `clusters` clusters: those that follow belong to another chain.
    pub(super) fn cut(&self, clusters: u32) -> Result<Self> {
        let mut left = u64::from(clusters) * u64::from(self.cluster_size);
        let mut runs = RunList::new();
        for (_, position, len) in self.runs.iter() {
            let take = len.min(left);
            runs.push(take, position)?;
            left -= take;
        }
        let damage = Some("it runs into another directory".into());
        Ok(Self { runs: Arc::new(runs), clusters, damage, cluster_size: self.cluster_size })
    }
}

/// Consecutive clusters: first cluster, count.
type Fragment = (u32, u32);

/// Decodes chains and caches them.
pub(super) struct Chains {
    table: Table,
    cache: Cache<(u32, Wanted), Arc<Chain>>,
}

impl Chains {
    pub(super) fn new(table: Table) -> Self {
        Self { table, cache: Cache::new(CACHE_BUDGET) }
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// The chain that starts at cluster `first`.
    ///
    /// # Errors
    /// None in practice: damage is part of the result.
    pub(super) fn decode(
        &self,
        geometry: &Geometry,
        pages: &Pages,
        first: u32,
        wanted: Wanted,
    ) -> Result<Arc<Chain>> {
        self.cache.get_or_load((first, wanted), || {
            let mut best = self.walk(geometry, pages, first, wanted, 0)?;
            for copy in 1..self.table.copies() {
                let Some(damage) = &best.damage else { break };
                let other = self.walk(geometry, pages, first, wanted, copy)?;
                if other.damage.is_none() || other.clusters > best.clusters {
                    log::warn!("FAT chain from cluster {first}: {damage}; another copy of the table is used");
                    best = other;
                }
            }
            let memory = best.runs.memory() + size_of::<Chain>();
            Ok((Arc::new(best), memory))
        })
    }

    fn walk(
        &self,
        geometry: &Geometry,
        pages: &Pages,
        first: u32,
        wanted: Wanted,
        copy: usize,
    ) -> Result<Chain> {
        let mut fragments = Vec::new();
        let mut reader = pages.reader();
        let mut next = |cluster| self.table.entry(copy, cluster, &mut reader);
        let mut damage = visit(geometry, &mut next, first, wanted, &mut fragments).err();
        if let Some(cluster) = cut_at_repetition(&mut fragments) {
            damage = Some(format!("cluster {cluster} is in it twice"));
        }
        let clusters = fragments.iter().map(|(_, len)| len).sum();
        let runs = run_list(geometry, pages.volume().size(), &fragments, &mut damage)?;
        Ok(Chain { runs: Arc::new(runs), clusters, damage, cluster_size: geometry.cluster_size })
    }
}

/// Collects the requested fragments of a chain; an error states why they are incomplete.
fn visit(
    geometry: &Geometry,
    next: &mut dyn FnMut(u32) -> Result<FatEntry>,
    first: u32,
    wanted: Wanted,
    fragments: &mut Vec<Fragment>,
) -> Result<(), String> {
    if !geometry.is_data_cluster(first) {
        return Err(format!("it begins at cluster {first}, which does not exist"));
    }
    let (Wanted::Clusters(max) | Wanted::ToEnd(max)) = wanted;
    // A chain longer than the volume's cluster count must contain a cycle.
    let max = max.min(geometry.clusters);
    let mut cluster = first;
    for count in 1..=max {
        match fragments.last_mut() {
            Some((start, len)) if *start + *len == cluster => *len += 1,
            _ => fragments.push((cluster, 1)),
        }
        if fragments.len() > MAX_FRAGMENTS {
            return Err(format!("it has more than {MAX_FRAGMENTS} fragments"));
        }
        if wanted == Wanted::Clusters(count) {
            return Ok(());
        }
        match next(cluster) {
            Ok(FatEntry::Next(next)) => cluster = next,
            Ok(FatEntry::End) if matches!(wanted, Wanted::ToEnd(_)) => return Ok(()),
            Ok(FatEntry::End) => return Err(format!("it ends after {count} clusters")),
            Ok(entry) => return Err(format!("cluster {cluster} is followed by {entry:?}")),
            Err(error) => return Err(format!("the table entry of cluster {cluster}: {error}")),
        }
    }
    Err(format!("it does not end within {max} clusters"))
}

fn run_list(
    geometry: &Geometry,
    size: u64,
    fragments: &[Fragment],
    damage: &mut Option<String>,
) -> Result<RunList> {
    let mut runs = RunList::new();
    for (start, len) in fragments {
        let position = geometry.cluster_offset(*start);
        let bytes = u64::from(*len) * u64::from(geometry.cluster_size);
        let stored = size.saturating_sub(position).min(bytes);
        runs.push(stored, Some(position))?;
        if stored < bytes {
            *damage =
                Some(format!("cluster {start} and {} after it lie beyond the end of the volume", len - 1));
            break;
        }
    }
    Ok(runs)
}

/// Truncates a walk before the first cluster that it visits a second time, and returns that cluster.
fn cut_at_repetition(fragments: &mut Vec<Fragment>) -> Option<u32> {
    // Most chains ascend, and then cannot repeat a cluster.
    if fragments.is_sorted_by(|a, b| a.0 + a.1 <= b.0) {
        return None;
    }
    let mut visited: BTreeMap<u32, u32> = BTreeMap::new();
    for (index, &(start, len)) in fragments.iter().enumerate() {
        let before = visited.range(..start).next_back();
        let inside = before.is_some_and(|(from, count)| from + count > start);
        let again = if inside {
            Some(start)
        } else {
            visited.range(start..start + len).next().map(|(from, _)| *from)
        };
        if let Some(again) = again {
            fragments.truncate(index);
            if again > start {
                fragments.push((start, again - start));
            }
            return Some(again);
        }
        visited.insert(start, len);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walk_is_cut_where_it_repeats_itself() {
        let mut plain = vec![(9, 2), (2, 3), (20, 1)];
        assert_eq!(cut_at_repetition(&mut plain), None);
        let mut inside = vec![(10, 5), (30, 2), (12, 3), (30, 2), (12, 3)];
        assert_eq!(cut_at_repetition(&mut inside), Some(12));
        assert_eq!(inside, [(10, 5), (30, 2)]);
        let mut running_into = vec![(10, 5), (6, 9), (6, 9)];
        assert_eq!(cut_at_repetition(&mut running_into), Some(10));
        assert_eq!(running_into, [(10, 5), (6, 4)]);
    }
}
