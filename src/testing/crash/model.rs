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
    transactions: Vec<Transaction>,
    /// The change and the position at which each flush returned: what came before is durable.
    flushes: Vec<(usize, usize)>,
}

#[derive(Debug, Clone)]
struct Change {
    sectors: Range<u64>,
    version: u32,
    issued: usize,
    /// It returned without an error, so that a later flush covers it.
    returned: bool,
    transaction: Option<usize>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Transaction {
    /// The position at which its commit returned, and is durable.
    durable: Option<usize>,
}

impl Model {
    /// States what the sectors hold before the first change.
    pub fn holds(&mut self, sectors: Range<u64>, version: u32) {
        self.before.extend(sectors.map(|sector| (sector, version)));
    }

    /// A version that no change has yet.
    pub fn next_version(&self) -> u32 {
        u32::try_from(self.changes.len()).expect("workloads are short") + 1000
    }

    /// A change begins: `version` 0 for zeros. Returns its number.
    pub fn write(&mut self, position: usize, sectors: Range<u64>, version: u32) -> usize {
        self.changes.push(Change { sectors, version, issued: position, returned: true, transaction: None });
        self.changes.len() - 1
    }

    /// A change failed: from now on its sectors may be either, until they are written again.
    pub fn failed(&mut self, change: usize) {
        self.changes[change].returned = false;
    }

    /// A flush has returned.
    pub fn flushed(&mut self, position: usize) {
        self.flushes.push((self.changes.len(), position));
    }

    /// A transaction with these changes begins its commit. Returns its number.
    pub fn commit(&mut self, position: usize, changes: &[(Range<u64>, u32)]) -> usize {
        self.transactions.push(Transaction::default());
        let transaction = Some(self.transactions.len() - 1);
        for (sectors, version) in changes {
            let (sectors, version) = (sectors.clone(), *version);
            self.changes.push(Change { sectors, version, issued: position, returned: false, transaction });
        }
        self.transactions.len() - 1
    }

    /// A transaction's commit has returned.
    pub fn committed(&mut self, transaction: usize, position: usize) {
        self.transactions[transaction].durable = Some(position);
        self.changes.iter_mut().filter(|change| change.transaction == Some(transaction)).for_each(|change| {
            change.returned = true;
        });
    }

    /// Judges a disk after a cut at this position.
    ///
    /// # Errors
    /// The first sector that holds what it must not, or the transaction that is there in part.
    pub fn judge(&self, disk: &dyn ByteSource, cut: usize) -> Result<(), String> {
        let durable =
            self.flushes.iter().filter(|(_, at)| *at <= cut).map(|(changes, _)| *changes).max().unwrap_or(0);
        // Whether a transaction was seen: applied, or not.
        let mut seen: Vec<Option<(bool, u64)>> = vec![None; self.transactions.len()];
        let mut sectors: BTreeMap<u64, Vec<usize>> =
            self.before.keys().map(|sector| (*sector, Vec::new())).collect();
        for (number, change) in self.changes.iter().enumerate() {
            for sector in change.sectors.clone() {
                sectors.entry(sector).or_default().push(number);
            }
        }
        let mut reader = Runs { disk, bytes: Vec::new(), start: 0 };
        for (sector, history) in &sectors {
            let bytes = reader.sector(*sector, &sectors)?;
            let issued = || history.iter().copied().filter(|number| self.changes[*number].issued <= cut);
            let last = issued().rev().find(|number| self.certain(*number, durable, cut));
            let first = self.before.get(sector).copied().unwrap_or(0);
            let certain = last.map_or(first, |number| self.changes[number].version);
            let later = || issued().filter(|number| last.is_none_or(|last| *number > last));
            let found = later().rev().find(|number| bytes == stamp(self.changes[*number].version, *sector));
            if found.is_none() && bytes != stamp(certain, *sector) {
                let versions: Vec<_> = later().map(|number| self.changes[number].version).collect();
                return Err(format!(
                    "sector {sector} holds {} instead of version {certain} or one of {versions:?}",
                    describe(&bytes)
                ));
            }
            for number in later() {
                let Some(transaction) = self.changes[number].transaction else { continue };
                let now = match found {
                    Some(found) if found == number => true,
                    // A later change covers it: this sector does not say.
                    Some(found) if found > number => continue,
                    _ => false,
                };
                match seen[transaction] {
                    Some((before, other)) if before != now => {
                        let (here, there) = if now { (*sector, other) } else { (other, *sector) };
                        return Err(format!(
                            "transaction {transaction} is in sector {here}, and not in sector {there}"
                        ));
                    }
                    _ => seen[transaction] = Some((now, *sector)),
                }
            }
        }
        Ok(())
    }

    /// True for a change that no power cut at or after `cut` may lose.
    fn certain(&self, number: usize, durable: usize, cut: usize) -> bool {
        let change = &self.changes[number];
        let committed = || match change.transaction {
            Some(transaction) => self.transactions[transaction].durable.is_some_and(|at| at <= cut),
            None => false,
        };
        change.returned && (number < durable || committed())
    }
}

/// Reads sectors in runs.
struct Runs<'a> {
    disk: &'a dyn ByteSource,
    bytes: Vec<u8>,
    start: u64,
}

impl Runs<'_> {
    fn sector(&mut self, sector: u64, wanted: &BTreeMap<u64, Vec<usize>>) -> Result<[u8; 512], String> {
        let within = |start: u64| usize::try_from((sector - start) * SECTOR).expect("within a run");
        if sector < self.start || within(self.start) >= self.bytes.len() {
            let run =
                wanted.range(sector..).zip(sector..).take(256).take_while(|((at, _), next)| *at == next);
            let len = run.count() * 512;
            self.bytes = read_vec(self.disk, sector * SECTOR, len)
                .map_err(|error| format!("sector {sector}: {error}"))?;
            self.start = sector;
        }
        let at = within(self.start);
        Ok(self.bytes[at..at + 512].try_into().expect("512 bytes"))
    }
}

fn describe(bytes: &[u8; 512]) -> String {
    let version = u32::from_le_bytes(bytes[..4].try_into().expect("4 bytes"));
    let sector = u64::from_le_bytes(bytes[4..12].try_into().expect("8 bytes"));
    match *bytes == stamp(version, sector) {
        true if version == 0 => "zeros".to_owned(),
        true => format!("version {version} of sector {sector}"),
        false => format!("what no change wrote ({:02x?}…)", &bytes[..16]),
    }
}
