//! The map from directories to the entries that lead into them, and the directories without one. A directory's `..` decides
//! between entries that claim its first cluster; if it fits none of them, the first entry gets it. Directories of lost
//! chains, to which no entry leads, are orphans. Guards: each directory is walked once, and the volume size bounds the
//! number of slots read.

use std::{
    collections::{BTreeMap, HashSet},
    ops::{ControlFlow, Range},
    sync::Arc,
};

use super::{
    Fat, ROOT,
    chain::Chain,
    directory::Slots,
    format::{ShortEntry, attr, slot},
    name::push_short,
    node_at,
    table::FatEntry,
};
use crate::{
    Error, Result,
    fs::{
        DirCursor, DirEntry, FileSystem, Name, NameBuf, NodeId, NodeKind, Stat,
        orphans::{Numbered, NumberedFile, Orphans},
        reach::MISPLACED,
    },
};

/// The entry that leads into a directory.
#[derive(Debug, Clone, Copy)]
struct Claim {
    /// First cluster of the directory that contains the entry; 0: the root.
    dir: u32,
    position: u64,
    /// True if `..` leads back to that directory.
    exact: bool,
}

/// All directories of a volume by first cluster, and the orphans among them.
pub(super) struct Index {
    claims: BTreeMap<u32, Claim>,
    /// The node of each orphan that is in no other orphan, with its first cluster.
    tops: BTreeMap<u64, u32>,
    /// For directories that do not begin with `..`, by first cluster: the number of clusters before they run into another
    /// such directory. Any other directory ends before a cluster with another `..`.
    shared: BTreeMap<u32, u32>,
    incomplete: bool,
}

struct Walk<'a> {
    fat: &'a Fat,
    index: Index,
    pending: Vec<u32>,
    seen: HashSet<u32>,
    /// One bit per cluster: set if a chain with an owner includes it.
    claimed: Vec<u64>,
    /// One bit per cluster: set if a directory that does not begin with `..` includes it.
    taken: Vec<u64>,
    /// Number of slots that may still be read: hostile directories could share their clusters.
    slots: u64,
}

fn walk(fat: &Fat) -> Index {
    let (claims, tops, shared) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let index = Index { claims, tops, shared, incomplete: false };
    let words = u64::from(fat.geometry.clusters).div_ceil(64) + 1;
    let claimed = vec![0; usize::try_from(words).expect("at most 2^23")];
    let taken = claimed.clone();
    let slots = fat.geometry.size / u64::from(slot::SIZE);
    let mut walk = Walk { fat, index, pending: vec![0], seen: HashSet::from([0]), claimed, taken, slots };
    if let Some(root) = fat.root_cluster() {
        walk.claim(root);
    }
    walk.directories();
    for head in walk.lost_directories() {
        walk.seen.insert(head);
        walk.claim(head);
        walk.pending.push(head);
        walk.index.tops.insert(fat.geometry.cluster_offset(head) / u64::from(slot::SIZE), head);
    }
    walk.directories();
    walk.circles();
    walk.index.incomplete = walk.slots == 0;
    // An orphan that an entry of another orphan leads to is listed in that one.
    let Index { claims, tops, .. } = &mut walk.index;
    let dot = |head: u32| fat.geometry.cluster_offset(head) / u64::from(slot::SIZE);
    tops.retain(|node, head| *node != dot(*head) || !claims.contains_key(head));
    walk.index
}

impl Walk<'_> {
    fn directories(&mut self) {
        while let Some(dir) = self.pending.pop() {
            if let Err(error) = self.directory(dir) {
                log::debug!("looking for directories in a damaged FAT directory: {error}");
            }
        }
    }

    fn directory(&mut self, dir: u32) -> Result<()> {
        let fat = self.fat;
        let mut chain: Arc<Chain> = if dir == 0 { fat.root_directory()? } else { fat.directory_at(dir)? };
        if dir != 0
            && fat.dot_dot(dir).is_err()
            && let Some(clusters) = self.take(&chain)
        {
            self.index.shared.insert(dir, clusters);
            chain = Arc::new(chain.cut(clusters)?);
        }
        let mut slots = Slots::new(&chain, &fat.pages, 0);
        let mut name = Vec::new();
        while let Some(entry) = slots.next_entry(&fat.decoder, &mut name)? {
            let Some(left) = self.slots.checked_sub(1) else { break };
            self.slots = left;
            let first = fat.first_cluster(&entry.short);
            if entry.short.attr & attr::DIRECTORY == 0 {
                self.claim(first);
                continue;
            }
            if !fat.may_be_entered(first, dir) {
                continue;
            }
            let exact = fat.dot_dot(first).is_ok_and(|up| up == dir);
            let claim = Claim { dir, position: entry.position, exact };
            self.index
                .claims
                .entry(first)
                .and_modify(|old| {
                    if exact && !old.exact {
                        *old = claim
                    }
                })
                .or_insert(claim);
            if self.seen.insert(first) {
                self.claim(first);
                self.pending.push(first);
            }
        }
        Ok(())
    }

    /// Marks the clusters of a directory as taken; at the first one that another directory took, returns the number before
    /// it.
    fn take(&mut self, chain: &Chain) -> Option<u32> {
        let size = u64::from(chain.cluster_size);
        for index in 0..chain.clusters {
            let Some((Some(position), _)) = chain.runs.find(u64::from(index) * size) else { break };
            let (word, bit) = bit(self.fat.geometry.cluster_at(position));
            if self.taken[word] & bit != 0 {
                return Some(index);
            }
            self.taken[word] |= bit;
        }
        None
    }

    fn claim(&mut self, mut cluster: u32) {
        let mut reader = self.fat.pages.reader();
        while self.fat.geometry.is_data_cluster(cluster) {
            let (word, bit) = bit(cluster);
            if self.claimed[word] & bit != 0 {
                break;
            }
            self.claimed[word] |= bit;
            match self.fat.chains.table().entry(0, cluster, &mut reader) {
                Ok(FatEntry::Next(next)) => cluster = next,
                _ => break,
            }
        }
    }

    /// First clusters of directories in chains to which nothing leads.
    fn lost_directories(&self) -> Vec<u32> {
        let fat = self.fat;
        let mut reader = fat.pages.reader();
        let mut lost = Vec::new();
        let mut look = |stretch: Range<u32>| {
            fat.each_start(stretch, &mut |cluster, bytes| {
                lost.extend(fat.way_back(cluster, bytes, false).map(|_| cluster));
            });
        };
        let (mut stretch, mut next, end) = (2..2, 2, fat.readable_entries());
        while let Some(cluster) = fat.next_stored(&mut next, end) {
            let (word, bit) = bit(cluster);
            let mut entry = || fat.chains.table().entry(0, cluster, &mut reader);
            if self.claimed[word] & bit != 0 || !matches!(entry(), Ok(FatEntry::Next(_) | FatEntry::End)) {
                continue;
            }
            if stretch.end != cluster {
                look(std::mem::replace(&mut stretch, cluster..cluster));
            }
            stretch.end = cluster + 1;
        }
        look(stretch);
        lost
    }

    /// Directories that only lead to each other: the first of each cycle is the top orphan.
    fn circles(&mut self) {
        let mut done: HashSet<u32> = HashSet::from([0]);
        for start in self.index.claims.keys() {
            let (mut path, mut on_path) = (Vec::new(), HashSet::new());
            let mut at = *start;
            while !done.contains(&at) {
                if !on_path.insert(at) {
                    let turn = path.iter().position(|of| *of == at).unwrap_or(0);
                    if let Some(first) = path[turn..].iter().min()
                        && let Some(claim) = self.index.claims.get(first)
                    {
                        self.index.tops.insert(node_at(claim.position).0, *first);
                    }
                    break;
                }
                path.push(at);
                let Some(claim) = self.index.claims.get(&at) else { break };
                at = claim.dir;
            }
            done.extend(path);
        }
    }
}

fn bit(cluster: u32) -> (usize, u64) {
    (usize::try_from(cluster / 64).expect("below 2^26"), 1 << (cluster % 64))
}

impl Fat {
    fn reach(&self) -> &Index {
        self.reach.get_or_init(|| Box::new(walk(self)))
    }

    /// Number of clusters before the directory at `first` runs into another one, where no `..` in it marks that.
    pub(super) fn shared_from(&self, first: u32) -> Option<u32> {
        match self.dot_dot(first) {
            Ok(_) => None,
            Err(_) => self.reach().shared.get(&first).copied(),
        }
    }

    /// False for a target that no entry of directory `dir` can lead into: the root, `dir` itself, or no data cluster.
    fn may_be_entered(&self, first: u32, dir: u32) -> bool {
        self.geometry.is_data_cluster(first) && first != dir && Some(first) != self.root_cluster()
    }

    /// The node of a directory entry, marked if the entry does not lead into its directory. `is_first` returns whether no
    /// earlier entry in `dir` leads there. If `..` leads back to `dir`, no other directory is read.
    pub(super) fn entered_from(
        &self,
        dir: u32,
        position: u64,
        short: &ShortEntry,
        is_first: impl FnOnce() -> Result<bool>,
    ) -> Result<NodeId> {
        let (node, first) = (node_at(position), self.first_cluster(short));
        // A directory without a cluster is empty, and an invalid cluster is an error by itself.
        if short.attr & attr::DIRECTORY == 0 || !self.geometry.is_data_cluster(first) {
            return Ok(node);
        }
        let enters = self.may_be_entered(first, dir)
            && match self.dot_dot(first) {
                Ok(up) if up == dir => is_first()?,
                _ => {
                    let claim = self.reach().claims.get(&first);
                    claim.is_some_and(|claim| (claim.dir, claim.position) == (dir, position))
                }
            };
        Ok(if enters { node } else { NodeId(node.0 | MISPLACED) })
    }
}

/// The orphans of a volume.
pub(super) struct OrphanAccess<'a> {
    fat: &'a Fat,
}

impl<'a> OrphanAccess<'a> {
    pub(super) fn new(fat: &'a Fat) -> Self {
        Self { fat }
    }

    /// The node as shown: a top orphan, which is entered from `.orphans`, is marked when it is reached through another
    /// entry.
    fn shown(&self, node: NodeId) -> NodeId {
        match self.fat.reach().tops.contains_key(&node.0) {
            true => NodeId(node.0 | MISPLACED),
            false => node,
        }
    }

    fn name(&self, node: NodeId) -> Result<NameBuf> {
        let (short, mut name) = (self.fat.entry(node)?, Vec::new());
        // `.` is no name: the name of a lost chain is unknown.
        if short.name[0] != b'.' {
            push_short(&short, &self.fat.decoder, true, &mut name);
        }
        Ok(NameBuf(name))
    }
}

impl Numbered for OrphanAccess<'_> {
    fn each(&self, from: u64, sink: &mut dyn FnMut(NumberedFile<'_>) -> ControlFlow<()>) -> Result<()> {
        let Index { tops, incomplete, .. } = self.fat.reach();
        let start = self.fat.node_of_number(from).map_or(0, |node| node.0);
        for node in tops.range(start..).map(|(node, _)| NodeId(*node)) {
            let (number, name) = (self.fat.number_of(node), self.name(node).unwrap_or_default());
            if sink(NumberedFile { number, node, name: name.as_name(), kind: NodeKind::Directory }).is_break()
            {
                return Ok(());
            }
        }
        match incomplete {
            true => Err(Error::corrupt("FAT directories", None, "more entries than the volume has room for")),
            false => Ok(()),
        }
    }

    fn find(&self, number: u64) -> Result<Option<(NodeId, NameBuf)>> {
        let node = self.fat.node_of_number(number).filter(|node| self.fat.reach().tops.contains_key(&node.0));
        node.map(|node| Ok((node, self.name(node)?))).transpose()
    }

    fn path(&self, _node: NodeId) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn stat(&self, node: NodeId) -> Result<Stat> {
        self.fat.stat(node)
    }
}

impl Orphans for OrphanAccess<'_> {
    fn number(&self, node: NodeId) -> u64 {
        self.fat.number_of(node)
    }

    fn lookup(&self, dir: NodeId, name: Name<'_>) -> Result<Option<NodeId>> {
        Ok(self.fat.lookup(dir, name)?.map(|node| self.shown(node)))
    }

    fn read_dir(
        &self,
        dir: NodeId,
        from: DirCursor,
        sink: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        self.fat.read_dir(dir, from, &mut |entry| sink(DirEntry { node: self.shown(entry.node), ..entry }))
    }

    fn parent(&self, node: NodeId) -> Result<Option<NodeId>> {
        let index = self.fat.reach();
        if index.tops.contains_key(&node.0) {
            return Ok(None);
        }
        let entry = self.fat.entry(node)?;
        if entry.attr & attr::DIRECTORY == 0 {
            return Err(Error::unsupported("FAT does not record the directory of a file"));
        }
        let parent = index.claims.get(&self.fat.first_cluster(&entry)).map_or(0, |claim| claim.dir);
        let top = index.tops.iter().find(|(_, first)| **first == parent).map(|(node, _)| NodeId(*node));
        let claimed = || index.claims.get(&parent).map(|claim| node_at(claim.position));
        Ok(Some(top.or_else(claimed).unwrap_or(ROOT)).filter(|parent| *parent != ROOT))
    }
}
