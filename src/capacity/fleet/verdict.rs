//! The report for a monitoring system: a state, one line, performance data (the Monitoring Plugins Development Guidelines).
//!
//! A headroom is the space that is left: of a disk what the host can still back, of a host volume what is free. One that
//! covers all that is needed never alarms, however small.

use std::{fmt, str::FromStr};

use super::{FleetReport, HostVolume, Member, table::shown};
use crate::{capacity::Status, size::human};

/// From which headroom down something is alarming.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threshold {
    /// Bytes.
    Size(u64),
    /// Hundredths of a percent of what is needed, at most 10,000.
    Share(u32),
}

/// A state in the order of exit codes; `Unknown` means that something could not be examined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
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
pub struct Verdict {
    /// The worst that was found; what is known to be bad counts for more than what is not known.
    pub state: State,
    /// One line with performance data, then one for each thing that is not well.
    pub text: String,
}

impl Threshold {
    /// True when so much headroom, of so much that is needed, is too little.
    pub fn exceeds(self, headroom: u64, needed: u64) -> bool {
        headroom < needed
            && match self {
                Self::Size(bytes) => headroom < bytes,
                Self::Share(share) => u128::from(headroom) * 10_000 < u128::from(needed) * u128::from(share),
            }
    }

    fn size(self) -> Option<u64> {
        if let Self::Size(bytes) = self { Some(bytes) } else { None }
    }

    fn share(self) -> Option<u32> {
        if let Self::Share(share) = self { Some(share) } else { None }
    }
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is neither a percentage nor a size, as in 20%, 500MiB, 1.5TiB");
        let text = text.trim();
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = (&text[..split], text[split..].trim());
        let unit: u64 = match unit.to_ascii_lowercase().as_str() {
            "%" => 100,
            "" | "b" => 1,
            "k" | "kib" => 1 << 10,
            "m" | "mib" => 1 << 20,
            "g" | "gib" => 1 << 30,
            "t" | "tib" => 1 << 40,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "tb" => 1_000_000_000_000,
            _ => return Err(wrong()),
        };
        let value = decimal(number, unit).ok_or_else(wrong)?;
        match text.ends_with('%') {
            true => {
                u32::try_from(value).ok().filter(|share| *share <= 10_000).map(Self::Share).ok_or_else(wrong)
            }
            false => Ok(Self::Size(value)),
        }
    }
}

/// `number · unit`, where the number may have a few decimals; what is finer than 1 is cut off.
fn decimal(number: &str, unit: u64) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = part.get(..part.len().min(9))?;
    let fraction: u64 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    let below = 10_u128.pow(u32::try_from(digits.len()).ok()?);
    let whole: u64 = if whole.is_empty() && !digits.is_empty() { 0 } else { whole.parse().ok()? };
    let value = u128::from(whole) * u128::from(unit) + u128::from(fraction) * u128::from(unit) / below;
    part.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
    u64::try_from(value).ok()
}

impl State {
    /// The exit code.
    pub fn code(self) -> u8 {
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

struct Limits {
    warn: Option<Threshold>,
    crit: Option<Threshold>,
}

impl Limits {
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

impl FleetReport {
    /// Compares every headroom with the thresholds.
    pub fn verdict(&self, warn: Option<Threshold>, crit: Option<Threshold>) -> Verdict {
        let limits = Limits { warn, crit };
        let hosts = self.host_volumes.iter().map(|host| limits.host(host));
        let disks = self.host_volumes.iter().flat_map(|host| &host.disks).map(|disk| limits.disk(disk));
        let mut subjects: Vec<_> = hosts.chain(disks).collect();
        // The worst first; among equals the one that lacks the larger part.
        subjects.sort_by(|a, b| {
            let parts = |s: &Subject, other: &Subject| {
                u128::from(s.headroom.min(s.needed)) * u128::from(other.needed.max(1))
            };
            b.state.severity().cmp(&a.state.severity()).then(parts(a, b).cmp(&parts(b, a)))
        });
        let unknown = (!self.errors.is_empty() || subjects.is_empty()).then_some(State::Unknown);
        let states = subjects.iter().map(|subject| subject.state).chain(unknown);
        let state = states.max_by_key(|state| state.severity()).unwrap_or(State::Unknown);
        let summary = match (subjects.first(), self.errors.first()) {
            (_, Some(failure)) if state == State::Unknown => failure.text(),
            (Some(worst), _) => worst.text.clone(),
            (None, _) => "no VHD or VHDX was found".into(),
        };
        let mut text = format!("VHDMOUNT {state}: {} | {}\n", plain(&summary), self.performance(&limits));
        for subject in subjects.iter().filter(|subject| subject.state != State::Ok) {
            text += &format!("{}: {}\n", subject.state, plain(&subject.text));
        }
        for failure in &self.errors {
            text += &format!("UNKNOWN: {}\n", plain(&failure.text()));
        }
        Verdict { state, text }
    }

    /// `'label'=value[unit];[warn];[crit];[min];[max]`; `5:` alarms below 5.
    fn performance(&self, limits: &Limits) -> String {
        let sizes = |t: Option<Threshold>| {
            t.and_then(Threshold::size).map_or(String::new(), |bytes| format!("{bytes}:"))
        };
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
            data.push(format!(
                "{}={}%;{warn};{crit};0;100",
                label(&format!("{name} covered")),
                percent(share)
            ));
        };
        for host in &self.host_volumes {
            push(&host.host, &limits.host(host));
            host.disks.iter().for_each(|disk| push(&disk.image, &limits.disk(disk)));
        }
        data.join(" ")
    }
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
    use super::*;

    #[test]
    fn thresholds_are_shares_or_sizes() {
        for (text, expected) in [
            ("20%", Threshold::Share(2000)),
            ("0.5 %", Threshold::Share(50)),
            ("100%", Threshold::Share(10_000)),
            ("5GiB", Threshold::Size(5 << 30)),
            ("5g", Threshold::Size(5 << 30)),
            ("1.5 MiB", Threshold::Size(3 << 19)),
            (".5k", Threshold::Size(512)),
            ("5GB", Threshold::Size(5_000_000_000)),
            ("123", Threshold::Size(123)),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in ["", "%", "101%", "-1", "5 parsecs", "1.2.3", ".", "99999999999T", "1e9", "5%%", "1.é%"]
        {
            assert!(text.parse::<Threshold>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_covers_the_need_is_never_alarming() {
        assert!(!Threshold::Size(100).exceeds(5, 5));
        assert!(Threshold::Size(100).exceeds(5, 6));
        assert!(!Threshold::Size(100).exceeds(100, 600));
        assert!(Threshold::Share(2000).exceeds(19, 100));
        assert!(!Threshold::Share(2000).exceeds(20, 100));
        assert!(Threshold::Share(10_000).exceeds(u64::MAX - 1, u64::MAX));
        assert!(!Threshold::Share(10_000).exceeds(0, 0));
    }

    #[test]
    fn performance_data_cannot_be_forged_by_a_name() {
        assert_eq!(label("it's a=b|c\n"), "'it''s a_b\u{fffd}c\u{fffd}'");
    }
}
