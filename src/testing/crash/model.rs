//! What a disk may hold after a power cut: for each sector the contents that are acceptable, and for each transaction whether it
//! is there as a whole.
//!
//! Every change writes sectors of its own kind ([`stamp`]), so that a sector says which change it is of.

use std::{collections::BTreeMap, ops::Range};

use crate::bytes::{ByteSource, read_vec};

const SECTOR: u64 = 512;

/// The content of a sector that change number `version` wrote. Version 0 is zeros.
pub fn stamp(version: u32, sector: u64) -> [u8; 512] {
    let mut bytes = [0; 512];
    if version != 0 {
        for (at, word) in bytes.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            word[..4].copy_from_slice(&version.to_le_bytes());
            word[4..12].copy_from_slice(&sector.to_le_bytes());
            word[12..].copy_from_slice(&(u32::try_from(at).expect("32 words") ^ 0x5eed_0bad).to_le_bytes());
        }
    }
    bytes
}

/// The changes of a workload with their places in time, which are positions of a [`super::Recording`].
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// Version of each sector before the first change; 0 for those that are not here.
    before: BTreeMap<u64, u32>,
    changes: Vec<Change>,
    /// Numbers of the changes to each sector.
    sectors: BTreeMap<u64, Vec<usize>>,
    transactions: usize,
    /// The number of changes, and the position at which a flush of them returned.
    flushes: Vec<(usize, usize)>,
}

#[derive(Debug, Clone)]
struct Change {
    version: u32,
    issued: usize,
    /// It returned without an error, so that a later flush covers it.
    returned: bool,
    transaction: Option<usize>,
}

impl Model {
    /// States what the sectors hold before the first change.
    pub fn holds(&mut self, sectors: Range<u64>, version: u32) {
        for sector in sectors {
            self.before.insert(sector, version);
            self.sectors.entry(sector).or_default();
        }
    }

    /// A version that no change has yet.
    pub fn next_version(&self) -> u32 {
        u32::try_from(self.changes.len()).expect("workloads are short") + 1000
    }

    /// A change begins: `version` 0 for zeros. Returns its number.
    pub fn write(&mut self, position: usize, sectors: Range<u64>, version: u32) -> usize {
        self.change(sectors, Change { version, issued: position, returned: true, transaction: None })
    }

    fn change(&mut self, sectors: Range<u64>, change: Change) -> usize {
        let number = self.changes.len();
        sectors.for_each(|sector| self.sectors.entry(sector).or_default().push(number));
        self.changes.push(change);
        number
    }

    /// A change failed: its sectors may be either, until they are written again.
    pub fn failed(&mut self, change: usize) {
        self.changes[change].returned = false;
    }

    /// A flush has returned.
    pub fn flushed(&mut self, position: usize) {
        self.flushes.push((self.changes.len(), position));
    }

    /// A transaction with these changes begins its commit. Returns its number.
    pub fn commit(&mut self, position: usize, changes: &[(Range<u64>, u32)]) -> usize {
        let transaction = self.transactions;
        self.transactions += 1;
        for (sectors, version) in changes {
            let change = Change {
                version: *version,
                issued: position,
                returned: false,
                transaction: Some(transaction),
            };
            self.change(sectors.clone(), change);
        }
        transaction
    }

    /// A transaction's commit has returned; a flush makes it durable.
    pub fn committed(&mut self, transaction: usize) {
        let of = self.changes.iter_mut().filter(|change| change.transaction == Some(transaction));
        of.for_each(|change| change.returned = true);
    }

    /// Judges a disk after a cut at this position.
    ///
    /// # Errors
    /// The first sector that holds what it must not, the transaction that is there in part, or without an earlier one.
    pub fn judge(&self, disk: &dyn ByteSource, cut: usize) -> Result<(), String> {
        let durable = self.flushes.iter().filter(|(_, at)| *at <= cut).map(|(changes, _)| *changes).max();
        let certain = |number: usize| self.changes[number].returned && number < durable.unwrap_or(0);
        // Whether a transaction was found, and in which sector that was seen.
        let mut seen: BTreeMap<usize, (bool, u64)> = BTreeMap::new();
        let mut reader = Runs { disk, bytes: Vec::new(), start: 0 };
        for (sector, history) in &self.sectors {
            let bytes = reader.sector(*sector, &self.sectors)?;
            let version = version_of(bytes, *sector);
            let issued = || history.iter().copied().filter(|number| self.changes[*number].issued <= cut);
            let last = issued().rev().find(|number| certain(*number));
            let base = match last {
                Some(number) => self.changes[number].version,
                None => self.before.get(sector).copied().unwrap_or(0),
            };
            let later = || issued().filter(|number| last.is_none_or(|last| *number > last));
            let found = later().rev().find(|number| version == Some(self.changes[*number].version));
            if found.is_none() && version != Some(base) {
                let versions: Vec<_> = later().map(|number| self.changes[number].version).collect();
                let held = match version {
                    Some(0) => "zeros".to_owned(),
                    Some(version) => format!("version {version}"),
                    None => format!("what no change wrote ({:02x?}…)", &bytes[..16]),
                };
                return Err(format!(
                    "sector {sector} holds {held} instead of version {base} or one of {versions:?}"
                ));
            }
            for number in later() {
                let Some(transaction) = self.changes[number].transaction else { continue };
                let now = match found {
                    // A later change covers it: this sector does not say.
                    Some(found) if found > number => continue,
                    Some(found) if found == number => {
                        let others = later().filter(|other| *other != number);
                        if version == Some(base)
                            || others.into_iter().any(|other| version == Some(self.changes[other].version))
                        {
                            // Zeros before and after.
                            continue;
                        }
                        true
                    }
                    _ if version == Some(self.changes[number].version) => continue,
                    _ => false,
                };
                let (before, other) = *seen.entry(transaction).or_insert((now, *sector));
                if before != now {
                    let (here, there) = if now { (*sector, other) } else { (other, *sector) };
                    return Err(format!(
                        "transaction {transaction} is in sector {here}, and not in sector {there}"
                    ));
                }
            }
        }
        let missing = seen.iter().find(|(_, (there, _))| !there);
        let after = seen.iter().rev().find(|(_, (there, _))| *there);
        match (missing, after) {
            (Some((missing, _)), Some((after, _))) if missing < after => {
                Err(format!("transaction {after} is there without transaction {missing}"))
            }
            _ => Ok(()),
        }
    }
}

/// Reads sectors in runs.
struct Runs<'a> {
    disk: &'a dyn ByteSource,
    bytes: Vec<u8>,
    start: u64,
}

impl Runs<'_> {
    fn sector(&mut self, sector: u64, wanted: &BTreeMap<u64, Vec<usize>>) -> Result<&[u8; 512], String> {
        let within = |start: u64| usize::try_from((sector - start) * SECTOR).expect("within a run");
        if sector < self.start || within(self.start) >= self.bytes.len() {
            let run =
                wanted.range(sector..).zip(sector..).take(2048).take_while(|((at, _), next)| *at == next);
            let len = run.count() * 512;
            self.bytes = read_vec(self.disk, sector * SECTOR, len)
                .map_err(|error| format!("sector {sector}: {error}"))?;
            self.start = sector;
        }
        let at = within(self.start);
        Ok(self.bytes[at..at + 512].try_into().expect("512 bytes"))
    }
}

/// The version that a sector is of, if it is one of a change.
fn version_of(bytes: &[u8; 512], sector: u64) -> Option<u32> {
    let version = u32::from_le_bytes(bytes[..4].try_into().expect("4 bytes"));
    (*bytes == stamp(version, sector)).then_some(version)
}
