//! How far the disk from which the running system was started can grow. Windows locks an attached
//! image against readers: its figures are then estimates by the rule of thumb, from the file's size and the free space.

use std::fmt::Write;

use serde::Serialize;

use super::{
    Report,
    native_boot::expansion_line,
    toml_text::{line, quoted},
};
use crate::{
    Error, Result,
    container::Kind,
    host::{Backing, Expansion, HostSpace, Running},
    json::Document,
    size::human,
};

/// The running system's disk, and the disks on whose volumes it lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SelfReport {
    /// Booted without a hypervisor; absent where the system does not report it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native_boot: Option<bool>,
    /// What becomes of a dynamic disk at boot.
    pub expand_at_boot: Expansion,
    /// The image that the system runs from first, then the one on whose volume it lies, and so on.
    #[serde(rename = "disk")]
    pub disks: Vec<SelfDisk>,
}

/// One of them; sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SelfDisk {
    /// The image file.
    pub image: String,
    /// The disk that the system makes of it; empty if unknown.
    pub device: String,
    /// The size that the system sees; absent if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_size: Option<u64>,
    /// What the file occupies.
    pub allocated_on_host: u64,
    /// What it may still take.
    pub host_free: u64,
    /// Where it lies.
    pub host: String,
    /// The size that the disk can really reach now; absent if even the rule of thumb lacks a figure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub achievable_size: Option<u64>,
    /// `virtual_size - achievable_size`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shortfall: Option<u64>,
    /// Why that is an estimate; empty if it is exact.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub estimate: String,
    /// Host bytes that booting from it takes, where it expands the disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_needs: Option<u64>,
    /// Those bytes are there: else the boot stops with `VHD_BOOT_HOST_VOLUME_NOT_ENOUGH_SPACE` (0x136).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_fits: Option<bool>,
    /// All figures, where the image can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
}

impl Document for SelfReport {
    const SCHEMA: &'static str = "self-capacity/1";
}

impl SelfReport {
    /// From the system's facts; `look` opens an image and reports its figures.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the system does not run from a virtual disk; what the first image answers when nothing
    /// at all is known about it.
    pub fn new(running: &Running, look: &mut dyn FnMut(&Backing) -> Result<Report>) -> Result<Self> {
        let mut disks = Vec::new();
        let images = running.growing();
        for (index, backing) in images.iter().enumerate() {
            let figures = match (look(backing), &backing.space) {
                (Ok(report), _) => Figures::from_report(report),
                (Err(error), Some(space)) => Figures::from_outside(backing, space, &error),
                (Err(error), None) if disks.is_empty() => return Err(error),
                (Err(error), None) => {
                    Figures { estimate: format!("nothing is known: {error}"), ..Figures::default() }
                }
            };
            // Only the disk that is booted from is expanded.
            let expands = index == 0 && running.expansion == Expansion::AtBoot;
            let boot = if expands { figures.boot(backing) } else { None };
            disks.push(SelfDisk::new(backing, figures, boot, images.get(index + 1).copied()));
        }
        if disks.is_empty() {
            return Err(Error::not_found(match running.native_boot {
                Some(true) => {
                    "this Windows was booted from a virtual disk, but does not report from which: its volume depends \
                     on no image file"
                }
                _ => {
                    "this system does not run from a virtual disk: its volume depends on no image file (inside a \
                     virtual machine the host's image does not show; ask on the host)"
                }
            }));
        }
        Ok(Self { native_boot: running.native_boot, expand_at_boot: running.expansion, disks })
    }

    /// One sentence with the verdict on the disk that the system runs from.
    pub fn headline(&self) -> String {
        let disk = &self.disks[0];
        let runs = match self.native_boot {
            Some(true) => "booted natively from",
            _ => "running from",
        };
        let size = match (disk.virtual_size, disk.achievable_size, disk.shortfall) {
            (Some(promised), Some(size), Some(missing @ 1..)) => format!(
                "{} promised, {} achievable: OVERCOMMITTED by {}",
                human(promised),
                human(size),
                human(missing)
            ),
            (Some(promised), Some(_), _) => format!("{} promised, all of it achievable: OK", human(promised)),
            _ => format!("how far it can grow is not known; {} are free", human(disk.host_free)),
        };
        format!("{runs} {}: {size}", disk.image)
    }

    /// TOML with comments for people.
    pub fn to_toml(&self) -> String {
        let mut out = format!("# {}\n", self.headline());
        line(&mut out, "schema", &quoted(Self::SCHEMA), "");
        if let Some(native) = self.native_boot {
            line(&mut out, "native_boot", &native.to_string(), "");
        }
        expansion_line(&mut out, self.expand_at_boot);
        self.disks.iter().for_each(|disk| disk.push_toml(&mut out));
        if let Some(report) = &self.disks[0].report {
            out.push_str("\n# All figures of the first disk:\n");
            report.to_toml().lines().for_each(|line| {
                let _ = writeln!(out, "# {line}");
            });
        }
        out
    }
}

/// What is known of a disk by itself.
#[derive(Default)]
struct Figures {
    virtual_size: Option<u64>,
    allocated_on_host: u64,
    host_free: u64,
    host: String,
    achievable_size: Option<u64>,
    estimate: String,
    report: Option<Report>,
}

/// What booting from a disk takes on its host, and whether that is there.
#[derive(Clone, Copy)]
struct Boot {
    needs: u64,
    fits: bool,
}

impl Figures {
    fn from_report(report: Report) -> Self {
        Self {
            virtual_size: Some(report.virtual_size),
            allocated_on_host: report.allocated_on_host,
            host_free: report.host_free,
            host: report.host.clone(),
            achievable_size: Some(report.achievable_size),
            estimate: report.estimate.clone(),
            report: Some(report),
        }
    }

    fn from_outside(backing: &Backing, space: &HostSpace, error: &Error) -> Self {
        let reached = space.allocated.saturating_add(space.free);
        let achievable = backing.virtual_size.map(|promised| match backing.fully_allocated {
            true => promised,
            false => promised.min(reached),
        });
        let mut estimate = format!(
            "the image cannot be read ({error}): the rule of thumb, what it occupies and what is free, which is too \
             much by what the format adds"
        );
        if !space.estimate.is_empty() {
            estimate += "; ";
            estimate += &space.estimate;
        }
        Self {
            virtual_size: backing.virtual_size,
            allocated_on_host: space.allocated,
            host_free: space.free,
            host: space.place(),
            achievable_size: achievable,
            estimate,
            report: None,
        }
    }

    /// The cost of booting from the disk where that expands it; `None` for a disk that does not grow, or of unknown size.
    fn boot(&self, backing: &Backing) -> Option<Boot> {
        let promised = self.virtual_size?;
        let grows = match &self.report {
            Some(report) => report.kind == Kind::Dynamic,
            None => !backing.fully_allocated,
        };
        // An expanded file has its space already, though its blocks are not there yet.
        let missing = promised.saturating_sub(self.allocated_on_host);
        let needs = match &self.report {
            Some(report) if missing > 0 => report.growth_to_full,
            _ => missing,
        };
        grows.then_some(Boot { needs, fits: needs <= self.host_free })
    }
}

impl SelfDisk {
    /// `outer`: the image on whose volume this one lies.
    fn new(backing: &Backing, figures: Figures, boot: Option<Boot>, outer: Option<&Backing>) -> Self {
        let Figures { virtual_size, allocated_on_host, host_free, host, achievable_size, estimate, report } =
            figures;
        let achievable_size = match boot {
            Some(Boot { needs: 0, .. }) => virtual_size,
            _ => achievable_size,
        };
        let nested = outer.map(|outer| {
            let outer = outer.image.display();
            format!("it lies on a volume of another virtual disk, which must be able to follow: {outer}")
        });
        let estimates = [Some(estimate).filter(|text| !text.is_empty()), nested];
        Self {
            image: backing.image.display().to_string(),
            device: backing.device.clone(),
            virtual_size,
            allocated_on_host,
            host_free,
            host,
            achievable_size,
            shortfall: virtual_size.zip(achievable_size).map(|(promised, size)| promised - size),
            estimate: estimates.into_iter().flatten().collect::<Vec<_>>().join("; "),
            boot_needs: boot.map(|boot| boot.needs),
            boot_fits: boot.map(|boot| boot.fits),
            report,
        }
    }

    fn push_toml(&self, out: &mut String) {
        out.push_str("\n[[disk]]\n");
        line(out, "image", &quoted(&self.image), "");
        if !self.device.is_empty() {
            line(out, "device", &quoted(&self.device), "");
        }
        let place = format!("on {}", self.host);
        let boot = match self.boot_fits {
            Some(true) => "the next boot takes this, and it is there",
            _ => "the next boot takes this, which is NOT there: it would stop with 0x136",
        };
        for (key, value, note) in [
            ("virtual_size", self.virtual_size, "the size that the system sees"),
            ("allocated_on_host", Some(self.allocated_on_host), "what the image file occupies"),
            ("host_free", Some(self.host_free), &*place),
            ("achievable_size", self.achievable_size, "what the disk can really reach"),
            ("shortfall", self.shortfall, "promised, but not to be had now"),
            ("boot_needs", self.boot_needs, boot),
        ] {
            if let Some(value) = value {
                line(out, key, &value.to_string(), &format!("{:>10}, {note}", human(value)));
            }
        }
        if !self.estimate.is_empty() {
            line(out, "estimate", &quoted(&self.estimate), "");
        }
    }
}

#[cfg(test)]
mod tests;
