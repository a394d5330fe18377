//! The report for a monitoring system: a state, one line, performance data (the Monitoring Plugins Development Guidelines).
//!
//! A headroom is the space that is left: of a disk what the host can still back, of a host volume what is free. One that
//! covers all that is needed never alarms, however small.

use std::fmt;

use vhdmount::{
    capacity::{FleetReport, HostVolume, Member, Status},
    size::human,
};

use super::{super::config::Thresholds, table::shown, threshold::Threshold};

/// A state in the order of exit codes; `Unknown` means that something could not be examined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// 0
    Ok,
    /// 1
    Warning,
    /// 2
    Critical,
    /// 3
    Unknown,
}

/// The answer of a monitoring plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The worst that was found; what is known to be bad counts for more than what is not known.
    pub(crate) state: State,
    /// One line with performance data, then one for each thing that is not well.
    pub(crate) text: String,
}

impl State {
    /// The exit code.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }

    fn severity(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Unknown => 1,
            Self::Warning => 2,
            Self::Critical => 3,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        })
    }
}

/// A disk or a host volume, with its headroom.
struct Subject {
    state: State,
    headroom: u64,
    needed: u64,
    text: String,
}

impl Thresholds {
    fn state(&self, headroom: u64, needed: u64) -> State {
        let exceeds = |threshold: Option<Threshold>| threshold.is_some_and(|t| t.exceeds(headroom, needed));
        match (exceeds(self.crit), exceeds(self.warn)) {
            (true, _) => State::Critical,
            (false, true) => State::Warning,
            (false, false) => State::Ok,
        }
    }

    fn disk(&self, disk: &Member) -> Subject {
        let report = &disk.report;
        let headroom = report.achievable_size.saturating_sub(report.backed);
        // What is damaged is not the host's to give.
        let needed = if report.status == Status::Ok {
            headroom
        } else {
            report.virtual_size.saturating_sub(report.backed)
        };
        let text =
            format!("{} can have {} of {} that it still lacks", disk.image, human(headroom), human(needed));
        Subject { state: self.state(headroom, needed), headroom, needed, text }
    }

    fn host(&self, host: &HostVolume) -> Subject {
        let (headroom, needed) = (host.host_free, host.growth_to_full);
        let disks = if host.disks.len() == 1 { "disk" } else { "disks" };
        let text = format!(
            "{} has {} for {} that its {} {disks} may still ask for",
            host.host,
            human(headroom),
            human(needed),
            host.disks.len()
        );
        Subject { state: self.state(headroom, needed), headroom, needed, text }
    }
}

/// Compares every headroom with the thresholds.
pub(super) fn verdict(fleet: &FleetReport, limits: &Thresholds) -> Verdict {
    let hosts = fleet.host_volumes.iter().map(|host| limits.host(host));
    let disks = fleet.host_volumes.iter().flat_map(|host| &host.disks).map(|disk| limits.disk(disk));
    let mut subjects: Vec<_> = hosts.chain(disks).collect();
    // The worst first; among equals the one that lacks the larger part.
    subjects.sort_by(|a, b| {
        let parts = |s: &Subject, other: &Subject| {
            u128::from(s.headroom.min(s.needed)) * u128::from(other.needed.max(1))
        };
        b.state.severity().cmp(&a.state.severity()).then(parts(a, b).cmp(&parts(b, a)))
    });
    let unknown = (!fleet.errors.is_empty() || subjects.is_empty()).then_some(State::Unknown);
    let states = subjects.iter().map(|subject| subject.state).chain(unknown);
    let state = states.max_by_key(|state| state.severity()).unwrap_or(State::Unknown);
    let summary = match (subjects.first(), fleet.errors.first()) {
        (_, Some(failure)) if state == State::Unknown => failure.text(),
        (Some(worst), _) => worst.text.clone(),
        (None, _) => "no VHD or VHDX was found".into(),
    };
    let mut text = format!("VHDMOUNT {state}: {} | {}\n", plain(&summary), performance(fleet, limits));
    for subject in subjects.iter().filter(|subject| subject.state != State::Ok) {
        text += &format!("{}: {}\n", subject.state, plain(&subject.text));
    }
    for failure in &fleet.errors {
        text += &format!("UNKNOWN: {}\n", plain(&failure.text()));
    }
    Verdict { state, text }
}

/// `'label'=value[unit];[warn];[crit];[min];[max]`; `5:` alarms below 5.
fn performance(fleet: &FleetReport, limits: &Thresholds) -> String {
    let sizes =
        |t: Option<Threshold>| t.and_then(Threshold::size).map_or(String::new(), |bytes| format!("{bytes}:"));
    let shares = |t: Option<Threshold>| {
        t.and_then(Threshold::share).map_or(String::new(), |share| format!("{}:", percent(share.into())))
    };
    let mut data = Vec::new();
    let mut push = |name: &str, subject: &Subject| {
        let (headroom, needed) = (subject.headroom, subject.needed);
        let share = match needed {
            0 => 10_000,
            _ => (u128::from(headroom) * 10_000 / u128::from(needed)).min(10_000),
        };
        let (warn, crit) = (sizes(limits.warn), sizes(limits.crit));
        data.push(format!("{}={headroom}B;{warn};{crit};0", label(&format!("{name} headroom"))));
        let (warn, crit) = (shares(limits.warn), shares(limits.crit));
        data.push(format!("{}={}%;{warn};{crit};0;100", label(&format!("{name} covered")), percent(share)));
    };
    for host in &fleet.host_volumes {
        push(&host.host, &limits.host(host));
        host.disks.iter().for_each(|disk| push(&disk.image, &limits.disk(disk)));
    }
    data.join(" ")
}

/// Hundredths of a percent as a number.
fn percent(share: u128) -> String {
    format!("{}.{:02}", share / 100, share % 100)
}

/// The bar begins the performance data, and a line is a line.
fn plain(text: &str) -> String {
    shown(text).replace('|', "\u{fffd}")
}

/// A label of performance data: quoted, quotes doubled, no equals sign.
fn label(text: &str) -> String {
    format!("'{}'", plain(text).replace('=', "_").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use vhdmount::{
        capacity::{EqualGrowth, Report},
        container::Kind,
    };

    use super::*;

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    /// A disk of which nothing is backed.
    fn disk(image: &str, promised: u64, achievable: u64) -> Member {
        let shortfall = promised - achievable;
        let status = if shortfall == 0 { Status::Ok } else { Status::Overcommitted };
        let report = Report {
            status,
            virtual_size: promised,
            file_size: 0,
            allocated_on_host: 0,
            host_free: achievable,
            host_reserved: 0,
            host: String::new(),
            host_note: String::new(),
            estimate: String::new(),
            backed: 0,
            shared_on_host: 0,
            growth_to_full: promised,
            overhead_to_full: 0,
            achievable_size: achievable,
            achievable_at_most: achievable,
            shortfall,
            rule_of_thumb: achievable,
            block_size: MIB,
            kind: Kind::Dynamic,
            unused_in_file: 0,
            unused_on_host: 0,
            parents: Vec::new(),
            parent_hosts: Vec::new(),
            problem: String::new(),
            volumes: Vec::new(),
        };
        let equal_growth = EqualGrowth {
            achievable_size: achievable,
            grows_by: achievable,
            full_before_host: shortfall == 0,
        };
        Member { image: image.into(), also: Vec::new(), equal_growth, report }
    }

    /// A small and a large disk on a host with so much free.
    fn fleet(free: u64) -> FleetReport {
        let (near, far) = (20 * MIB, 1024 * GIB);
        let host = HostVolume {
            host: "/srv (ext4)".into(),
            status: Status::Ok,
            promised: near + far,
            allocated_on_host: 0,
            host_free: free,
            growth_to_full: near + far,
            overcommitment: None,
            full_when_each_grew: None,
            runs_out_first: None,
            disks: vec![disk("near.vhdx", near, near.min(free)), disk("far.vhdx", far, far.min(free))],
            parents: Vec::new(),
        };
        FleetReport { status: None, host_volumes: vec![host], errors: Vec::new() }
    }

    #[test]
    fn the_worst_is_reported_first() {
        let verdict = |free, warn: &str, crit: &str| {
            let limits = Thresholds { warn: Some(warn.parse().unwrap()), crit: Some(crit.parse().unwrap()) };
            verdict(&fleet(free), &limits)
        };
        let bad = verdict(512 * GIB, "60%", "40%");
        assert_eq!(bad.state, State::Warning);
        assert!(
            bad.text.starts_with("VHDMOUNT WARNING: /srv (ext4) has 512.0 GiB for 1.0 TiB"),
            "{}",
            bad.text
        );
        let worse = verdict(512 * GIB, "60%", "600GiB");
        assert_eq!(worse.state, State::Critical);
        assert!(!worse.text.contains("near.vhdx can have"), "{}", worse.text);
        assert_eq!(verdict(2048 * GIB, "100%", "100%").state, State::Ok);
        assert_eq!(verdict(0, "1%", "1").state, State::Critical);
    }

    #[test]
    fn performance_data_cannot_be_forged_by_a_name() {
        assert_eq!(label("it's a=b|c\n"), "'it''s a_b\u{fffd}c\u{fffd}'");
    }
}
