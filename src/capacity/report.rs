//! The report: the same figures as commented TOML for `cat`, `grep` and parsers, and as JSON.

use std::fmt::Write;

use serde::Serialize;

use super::{
    NativeBoot,
    allocation::Allocation,
    host_budget::HostBudget,
    toml_text::{line, quoted},
};
use crate::{
    container::{Kind, Layer},
    host::HostSpace,
    json::Document,
    printable::printable,
    size::human,
};

/// Below this the next burst of writes may fill the host before anyone looks.
pub(super) const CRITICAL_HOST_FREE: u64 = 1 << 30;

/// How the disk stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Every promised byte can be backed.
    Ok,
    /// The host cannot back all that was promised.
    Overcommitted,
    /// Overcommitted, and the host is nearly full.
    Critical,
}

/// The figures of one image at one moment, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How the disk stands.
    pub status: Status,
    /// The size that the guest sees.
    pub virtual_size: u64,
    /// Length of the image file.
    pub file_size: u64,
    /// What the image file occupies on the host.
    pub allocated_on_host: u64,
    /// What its owner may still take there.
    pub host_free: u64,
    /// What the volume keeps back for its superuser, who may write more than the owner.
    pub host_reserved: u64,
    /// Where the image file lies: mount point and filesystem.
    pub host: String,
    /// Why `host_free` is what it is, when that is not obvious.
    pub host_note: String,
    /// Why the figures are estimates on this host; empty where they are exact.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub estimate: String,
    /// Virtual bytes whose block exists in the image file and on the host.
    pub backed: u64,
    /// Of those: the host space belongs to another file as well (a reflink), so that overwriting them takes more.
    pub shared_on_host: u64,
    /// Host bytes until every virtual byte is backed, format overhead included.
    pub growth_to_full: u64,
    /// Of those: what the format adds to the data.
    pub overhead_to_full: u64,
    /// The size that the disk can really reach now.
    pub achievable_size: u64,
    /// What it can reach when its writer leaves holes for the unwritten parts of new blocks.
    pub achievable_at_most: u64,
    /// `virtual_size - achievable_size`.
    pub shortfall: u64,
    /// `min(virtual_size, allocated_on_host + host_free)`: the rule of thumb, for comparison.
    pub rule_of_thumb: u64,
    /// Allocation unit; 0 where the format has none.
    pub block_size: u64,
    /// `fixed`, `dynamic` or `differencing`.
    pub kind: Kind,
    /// Bytes of the image file that no block and no structure uses. Not counted as available: a writer need not reuse them.
    pub unused_in_file: u64,
    /// What of those occupies space on the host.
    pub unused_on_host: u64,
    /// Parent images, nearest first: read, never grown.
    pub parents: Vec<String>,
    /// Where each of them lies: its own volume may be another one.
    pub parent_hosts: Vec<String>,
    /// Damage of the block table: that part of the disk can be neither read nor grown into. Empty if there is none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub problem: String,
    /// Each readable volume.
    #[serde(rename = "volume")]
    pub volumes: Vec<VolumeReport>,
}

/// The figures of one volume, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct VolumeReport {
    /// `p3`
    pub name: String,
    /// Its label.
    pub label: String,
    /// Its filesystem.
    pub filesystem: &'static str,
    /// Its size.
    pub size: u64,
    /// Free, as the guest believes.
    pub free_reported: u64,
    /// Free without any growth of the image.
    pub free_backed: u64,
    /// Free as far as the host can follow.
    pub free_achievable: u64,
    /// What a native boot of the Windows on it takes; absent where there is none, or the disk is not dynamic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native_boot: Option<NativeBoot>,
    /// Why there are no figures; empty if there are.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub problem: String,
}

/// What the figures of a report are computed from.
#[derive(Clone, Copy)]
pub(super) struct Figures<'a> {
    pub(super) layer: &'a dyn Layer,
    pub(super) space: &'a HostSpace,
    pub(super) allocation: &'a Allocation,
    pub(super) budget: &'a HostBudget,
    /// The host file has more extents than were examined.
    pub(super) truncated: bool,
    /// What else is wrong; empty if nothing is.
    pub(super) note: &'a str,
}

/// The parents of an image, nearest first.
#[derive(Default)]
pub(super) struct Chain {
    pub(super) parents: Vec<String>,
    /// Mount point and filesystem of each.
    pub(super) hosts: Vec<String>,
}

fn problem(allocation: &Allocation, note: &str) -> String {
    let damage = match allocation.damaged {
        0 => String::new(),
        bytes => format!("{} cannot be found: {}", human(bytes), allocation.problem),
    };
    let separator = if damage.is_empty() || note.is_empty() { "" } else { "; " };
    format!("{damage}{separator}{note}")
}

impl Document for Report {
    const SCHEMA: &'static str = "image-capacity/1";
}

impl Report {
    pub(super) fn new(figures: &Figures<'_>, chain: Chain, volumes: Vec<VolumeReport>) -> Self {
        let Figures { layer, space, allocation, budget, truncated, note } = *figures;
        let info = layer.info();
        let virtual_size = layer.virtual_size();
        let achievable_size = budget.achievable(allocation).min(virtual_size);
        let shortfall = virtual_size - achievable_size;
        let status = match shortfall.saturating_sub(allocation.damaged) {
            0 => Status::Ok,
            _ if space.free < CRITICAL_HOST_FREE => Status::Critical,
            _ => Status::Overcommitted,
        };
        Self {
            status,
            virtual_size,
            file_size: space.file_size,
            allocated_on_host: space.allocated,
            host_free: space.free,
            host_reserved: space.reserved,
            host: space.place(),
            host_note: space.note.clone(),
            estimate: match truncated {
                true => "the image file is in too many pieces to examine all of them: the rest counts as not backed".into(),
                false => space.estimate.clone(),
            },
            backed: allocation.backed,
            shared_on_host: allocation.shared,
            growth_to_full: allocation.growth_to_full(&budget.growth),
            overhead_to_full: allocation.overhead_to_full(&budget.growth),
            achievable_size,
            achievable_at_most: budget.achievable_at_most(allocation).clamp(achievable_size, virtual_size),
            shortfall,
            rule_of_thumb: virtual_size.min(space.allocated.saturating_add(space.free)),
            block_size: info.block_size,
            kind: info.kind,
            unused_in_file: allocation.unused,
            unused_on_host: allocation.unused_on_host,
            parents: chain.parents,
            parent_hosts: chain.hosts,
            problem: problem(allocation, note),
            volumes,
        }
    }

    /// One sentence with the verdict.
    pub fn headline(&self) -> String {
        let promised = human(self.virtual_size);
        match self.status {
            Status::Ok if self.problem.is_empty() => format!("{promised} promised, all of it achievable: OK"),
            Status::Ok => format!("{promised} promised, all of it achievable that is not damaged: OK"),
            Status::Overcommitted | Status::Critical => format!(
                "{promised} promised, {} achievable: {} by {}",
                human(self.achievable_size),
                if self.status == Status::Critical { "CRITICAL, OVERCOMMITTED" } else { "OVERCOMMITTED" },
                human(self.shortfall)
            ),
        }
    }

    /// The report as TOML with comments.
    pub fn to_toml(&self) -> String {
        let mut out = format!("# {}\n", printable(&self.headline()));
        let status = match self.status {
            Status::Ok => "ok",
            Status::Overcommitted => "overcommitted",
            Status::Critical => "critical",
        };
        line(&mut out, "status", &quoted(status), "");
        let host = match (self.host.as_str(), self.host_note.as_str()) {
            ("", "") => "on the host".to_owned(),
            ("", note) => note.to_owned(),
            (host, "") => format!("on {host}"),
            (host, note) => format!("on {host}; {note}"),
        };
        let blocks = match self.block_size {
            0 => "the format has no blocks: growth comes as the host allocates",
            _ => "growth comes in blocks of this size",
        };
        for (key, value, note) in [
            ("virtual_size", self.virtual_size, "the size that the guest sees"),
            ("file_size", self.file_size, "length of the image file"),
            ("allocated_on_host", self.allocated_on_host, "what the image file occupies"),
            ("host_free", self.host_free, host.as_str()),
            ("host_reserved", self.host_reserved, "kept back by the host for its superuser, not counted"),
            ("backed", self.backed, "virtual bytes that need no growth"),
            (
                "shared_on_host",
                self.shared_on_host,
                "of those shared with other files: overwriting takes more",
            ),
            ("growth_to_full", self.growth_to_full, "host bytes until everything is backed"),
            ("overhead_to_full", self.overhead_to_full, "of those for the format, not for data"),
            ("achievable_size", self.achievable_size, "what the disk can really reach, in whole blocks"),
            ("achievable_at_most", self.achievable_at_most, "if new blocks are left sparse on the host"),
            ("shortfall", self.shortfall, "promised, but not to be had now"),
            ("rule_of_thumb", self.rule_of_thumb, "min(virtual_size, allocated_on_host + host_free)"),
            ("block_size", self.block_size, blocks),
            (
                "unused_in_file",
                self.unused_in_file,
                "of the image file, used by nothing; not counted as free",
            ),
            ("unused_on_host", self.unused_on_host, "what of that occupies space"),
        ] {
            line(&mut out, key, &value.to_string(), &format!("{:>10}, {note}", human(value)));
        }
        let kind = format!("{:?}", self.kind).to_lowercase();
        line(&mut out, "kind", &quoted(&kind), "");
        line(&mut out, "schema", &quoted(Self::SCHEMA), "");
        for (key, text) in [("estimate", &self.estimate), ("problem", &self.problem)] {
            if !text.is_empty() {
                line(&mut out, key, &quoted(text), "");
            }
        }
        if !self.parents.is_empty() {
            let parents: Vec<_> = self.parents.iter().map(|parent| quoted(parent)).collect();
            let parents = format!("[{}]", parents.join(", "));
            line(&mut out, "parents", &parents, "read only: growth is in the child");
            let hosts: Vec<_> = self.parent_hosts.iter().map(|host| quoted(host)).collect();
            line(&mut out, "parent_hosts", &format!("[{}]", hosts.join(", ")), "");
        }
        self.volumes.iter().for_each(|volume| volume.push_toml(&mut out));
        out
    }
}

impl VolumeReport {
    fn push_toml(&self, out: &mut String) {
        let _ = write!(out, "\n[volume.{}]\n", self.name);
        line(out, "label", &quoted(&self.label), "");
        line(out, "filesystem", &quoted(self.filesystem), "");
        if !self.problem.is_empty() {
            line(out, "problem", &quoted(&self.problem), "");
            return;
        }
        for (key, value, note) in [
            ("size", self.size, "size of the volume"),
            ("free_reported", self.free_reported, "what the guest believes"),
            ("free_backed", self.free_backed, "free without growth of the image"),
            ("free_achievable", self.free_achievable, "what can really be written"),
        ] {
            line(out, key, &value.to_string(), &format!("{:>10}, {note}", human(value)));
        }
        if let Some(boot) = &self.native_boot {
            boot.push_toml(out);
        }
    }
}
