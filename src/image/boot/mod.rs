//! What firmware would do with a disk, step by step: which code it runs, what that looks for, and where it stops. Nothing is
//! executed: what only a program knows by itself stays open, and is reported as such.

mod bios;
mod efi;
mod files;
mod linux;
mod places;
mod uefi;
mod windows;

use std::sync::Arc;

use serde::Serialize;

use self::files::Files;
use super::Image;
use crate::{
    Result,
    bcd::{Object, Store},
    bytes::ByteSource,
    container::{Format, Kind},
    json::Document,
    partition::Scheme,
    pe::Machine,
    size::human,
};

/// Beyond this a master boot record's numbers of sectors do not reach.
const MBR_REACH: u64 = 2 << 40;

/// Where stores of boot configuration are: on an EFI system partition, on a system partition for a BIOS.
pub const PATHS: [&str; 2] = [r"\EFI\Microsoft\Boot\BCD", r"\Boot\BCD"];

/// What firmware would do with a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BootReport {
    /// The image file.
    pub image: String,
    /// The best of all verdicts.
    pub verdict: Verdict,
    /// Each way in which the disk could be started.
    pub attempts: Vec<Attempt>,
    /// What is worth knowing of the disk as such.
    pub remarks: Vec<String>,
}

/// One way in which a disk could be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// By what.
    pub firmware: Firmware,
    /// The processor that it is for, where the loader decides that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<Machine>,
    /// What comes of it.
    pub verdict: Verdict,
    /// Why it would not boot, or why that cannot be told; empty otherwise.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What happens, in this order; the last one is where it stops.
    pub steps: Vec<Step>,
}

/// What starts the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Firmware {
    /// A BIOS, as in virtual machines of generation 1.
    Bios,
    /// UEFI, as in virtual machines of generation 2.
    Uefi,
    /// The boot manager of a host, which has the image as a file.
    Native,
}

/// What comes of an attempt. The order is from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything that can be seen is there.
    Boots,
    /// It depends on what cannot be seen.
    CannotTell,
    /// Something that it needs is missing or wrong.
    WouldNotBoot,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// How it goes.
    pub state: State,
    /// What happens.
    pub text: String,
}

/// How a step goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should.
    Ok,
    /// Worth knowing; the way goes on.
    Note,
    /// The way ends here.
    Stop,
    /// What follows cannot be seen.
    Unknown,
}

impl Firmware {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bios => "BIOS (generation 1)",
            Self::Uefi => "UEFI (generation 2)",
            Self::Native => "native boot (from a host's boot menu)",
        }
    }
}

impl Attempt {
    /// The verdict in a sentence.
    pub fn conclusion(&self) -> String {
        match self.verdict {
            Verdict::Boots => "boots as far as can be seen".into(),
            Verdict::CannotTell => format!("cannot tell: {}", self.reason),
            Verdict::WouldNotBoot => format!("would not boot: {}", self.reason),
        }
    }
}

/// Why a way ends.
struct End {
    verdict: Verdict,
    reason: String,
}

/// The rest of a way: it reaches the operating system, or ends before.
type Way = std::result::Result<(), End>;

/// The steps so far.
#[derive(Default)]
struct Walk {
    steps: Vec<Step>,
}

impl Walk {
    /// A hostile configuration names any number of files.
    const MAX_STEPS: usize = 200;

    fn push(&mut self, state: State, text: String) {
        if self.steps.len() < Self::MAX_STEPS {
            self.steps.push(Step { state, text });
        }
    }

    fn ok(&mut self, text: impl Into<String>) {
        self.push(State::Ok, text.into());
    }

    fn note(&mut self, text: impl Into<String>) {
        self.push(State::Note, text.into());
    }

    /// The way ends: something is missing or wrong.
    fn stop<T>(&mut self, reason: impl Into<String>) -> std::result::Result<T, End> {
        let reason = reason.into();
        self.push(State::Stop, reason.clone());
        Err(End { verdict: Verdict::WouldNotBoot, reason })
    }

    /// What follows cannot be seen.
    fn unknown<T>(&mut self, reason: impl Into<String>) -> std::result::Result<T, End> {
        let reason = reason.into();
        self.push(State::Unknown, reason.clone());
        Err(End { verdict: Verdict::CannotTell, reason })
    }

    fn finish(self, firmware: Firmware, machine: Option<Machine>, way: Way) -> Attempt {
        let (verdict, reason) = match way {
            Ok(()) => (Verdict::Boots, String::new()),
            Err(end) => (end.verdict, end.reason),
        };
        Attempt { firmware, machine, verdict, reason, steps: self.steps }
    }
}

impl Image {
    /// What firmware would do with the disk. `only`: with one kind of it alone.
    pub fn boot(&self, only: Option<Firmware>) -> BootReport {
        let files = Files::new(self);
        let wanted = |firmware| only.is_none_or(|only| only == firmware);
        let mut attempts = Vec::new();
        if wanted(Firmware::Bios) {
            let mut walk = Walk::default();
            let way = bios::walk(&files, &mut walk);
            attempts.push(walk.finish(Firmware::Bios, None, way));
        }
        if wanted(Firmware::Uefi) {
            attempts.extend(uefi::attempts(&files));
        }
        if wanted(Firmware::Native) {
            attempts.extend(windows::native(&files));
        }
        let info = self.container().infos().next();
        BootReport {
            image: info.map(|info| info.path.clone()).unwrap_or_default(),
            verdict: attempts.iter().map(|attempt| attempt.verdict).min().unwrap_or(Verdict::WouldNotBoot),
            attempts,
            remarks: self.boot_remarks(),
        }
    }

    fn boot_remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        let (table, size) = (self.table(), self.bytes().size());
        if table.scheme == Scheme::Mbr && size > MBR_REACH {
            remarks.push(format!(
                "the disk has {} and an MBR, which reaches 2 TiB: what lies beyond cannot be used; a GPT reaches it, and \
                 starts with UEFI",
                human(size)
            ));
        }
        if let Some(info) = self.container().infos().next()
            && info.format == Format::Vhd
        {
            remarks.push(
                "Hyper-V attaches a VHD to virtual machines of generation 1 alone: for generation 2, convert it to VHDX"
                    .into(),
            );
        }
        if self.container().infos().any(|info| info.kind == Kind::Differencing) {
            remarks.push("a differencing disk: it boots where all of its parents are".into());
        }
        remarks
    }
}

impl Document for BootReport {
    const SCHEMA: &'static str = "boot/1";
}

/// A store on a volume.
pub(super) struct Stored {
    pub(super) volume: String,
    pub(super) path: &'static str,
    pub(super) content: Result<Arc<dyn ByteSource>>,
    /// Those of its logs that can be opened.
    pub(super) logs: Vec<Arc<dyn ByteSource>>,
    /// It lies on an EFI system partition.
    pub(super) esp: bool,
}

/// The stores of boot configuration data on the volumes of a disk.
pub(super) fn stores(image: &Image) -> Vec<Stored> {
    let mut found = Vec::new();
    for volume in Files::new(image).volumes() {
        for path in PATHS {
            if let Some(content) = volume.open(path).transpose() {
                let esp = image
                    .partitions()
                    .any(|(partition, _)| partition.esp && volume.name() == format!("p{}", partition.number));
                let (volume, logs) = (volume.name().to_owned(), volume.logs(path));
                found.push(Stored { volume, path, content, logs, esp });
            }
        }
    }
    found
}

/// What an entry of the store on a volume would start.
pub(super) fn starts(
    image: &Image,
    volume: &str,
    store: &Store,
    entry: &Object,
) -> Option<(Verdict, String)> {
    let files = Files::new(image);
    let boot = files.volumes().find(|found| found.name() == volume)?;
    windows::resolution(&files, boot, store, entry)
}
