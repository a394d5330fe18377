//! `vhdmount convert`

mod rounded;
mod space;
mod verify;

use std::{
    ops::{ControlFlow, Range},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rounded::Rounded;
use vhdmount::{
    bytes::ByteSource,
    container::{
        Format, Kind, Plan,
        create::{Copied, Copy, Failed, Writer},
    },
    guid::Guid,
    image::Image,
    partition::Scheme,
    size::human,
};

use super::{
    Failure, complain,
    config::Convert,
    date,
    new_file::NewFile,
    print,
    progress::{Line, bar},
    system,
};

pub(super) fn run(command: &Convert) -> Result<(), Failure> {
    let interrupted = Arc::<AtomicBool>::default();
    system::on_interrupt(&interrupted)
        .map_err(|error| Failure::image_text(format_args!("signals cannot be caught: {error}")))?;
    // First: once the chain is open, this process can open nothing else.
    let new = NewFile::create(&command.dest)?;
    let image = command.source.open()?;
    let source = Rounded::new(&image, command);
    let plan = plan(&image, &source, command)?;
    let skip = match command.skip_free {
        true => skipped(&image),
        false => Vec::new(),
    };
    let failure = |error: vhdmount::Error| match error {
        vhdmount::Error::Io { .. } => Failure::destination_text(error),
        error => Failure::usage(error),
    };
    space::check(command, &new, &plan, &source, &skip)?;
    let mut writer = Writer::new(&new.sink, &plan).map_err(failure)?;
    let mut line = Line::new(!command.quiet);
    let mut step =
        Step { line: &mut line, interrupted: &interrupted, size: source.size(), name: "converted" };
    let copy = Copy { source: &source, skip: &skip, progress: &mut |done| step.show(done) };
    let copied = copy.run(&mut writer);
    line.clear();
    let Copied::Whole { written, shared } = copied.map_err(|failed| match failed {
        Failed::Source(error) => command.source.failure(&error),
        Failed::Dest(error) => failure(error),
    })?
    else {
        return Err(stopped(command));
    };
    let file_size = writer.finish().map_err(failure)?;
    if command.verify {
        verify::verify(command, &new, &source, &skip, &interrupted)?;
    }
    new.publish()?;
    if command.quiet {
        return Ok(());
    }
    let mut text = format!(
        "{}: {} {}, {} for the guest, {} of content{}, a file of {}{}\n",
        command.dest.display(),
        kind(plan.kind),
        name(plan.format),
        human(plan.virtual_size),
        human(written + shared),
        match shared {
            0 => String::new(),
            shared => format!(" ({} shared with the files it came from)", human(shared)),
        },
        human(file_size),
        if command.verify { ", compared" } else { "" },
    );
    if let Some(note) = boots(&image, plan.format) {
        text.push_str(note);
    }
    print(&text)
}

/// Of the disk; 512 where nothing says.
fn sector_size(image: &Image) -> u32 {
    image.container().logical_sector_size().unwrap_or(512)
}

fn plan(image: &Image, source: &Rounded<'_>, command: &Convert) -> Result<Plan, Failure> {
    let sector_size = sector_size(image);
    if command.format == Format::Vhd && sector_size != 512 {
        return Err(Failure::usage(format_args!(
            "a VHD has sectors of 512 bytes, this disk has {sector_size}: its partition table and filesystems count in \
             those and would be misread; convert it to VHDX or raw"
        )));
    }
    let info = image.container().infos().next();
    let mut plan = Plan::new(command.format, source.size(), date::seconds_since_2000());
    plan.logical_sector_size = sector_size;
    if let Some(physical) =
        info.map(|info| info.physical_sector_size).filter(|size| [512, 4096].contains(size))
        && command.format == Format::Vhdx
    {
        plan.physical_sector_size = physical.max(sector_size);
    }
    if command.format != Format::Raw {
        plan.kind = command.kind;
    }
    plan.block_size = command.block_size.unwrap_or(plan.block_size);
    if command.keep_identity {
        plan.disk_id = info.and_then(|info| info.disk_id).unwrap_or(Guid::ZERO);
        if plan.disk_id.is_zero() {
            return Err(Failure::usage(
                "--keep-identity: this image states no identity of the disk; without the option the new one gets its own",
            ));
        }
    }
    Ok(plan)
}

/// What is left out, after saying so.
fn skipped(image: &Image) -> Vec<Range<u64>> {
    let (free, kept) = image.free_ranges();
    let bytes: u64 = free.iter().map(|range| range.end - range.start).sum();
    complain(&format!(
        "--skip-free: {} that the filesystems call free are left out; deleted files are not recoverable from the new image",
        human(bytes)
    ));
    for volume in kept {
        complain(&format!("--skip-free: copied as a whole: {volume}"));
    }
    free
}

struct Step<'a> {
    line: &'a mut Line,
    interrupted: &'a AtomicBool,
    size: u64,
    name: &'a str,
}

impl Step<'_> {
    fn show(&mut self, done: u64) -> ControlFlow<()> {
        self.line.show(|| format!("{}  {}", bar(done, self.size).unwrap_or_default(), self.name));
        match self.interrupted.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

fn stopped(command: &Convert) -> Failure {
    Failure::interrupted(format_args!("interrupted: {} was not made", command.dest.display()))
}

/// Which virtual machines boot from the disk in its new format, where that changes.
fn boots(image: &Image, format: Format) -> Option<&'static str> {
    let table = image.table();
    let esp = table.partitions.iter().any(|partition| partition.esp);
    match (format, table.scheme) {
        (Format::Vhdx, Scheme::Mbr) if !esp => Some(
            "It has an MBR: it boots in virtual machines of generation 1 (BIOS) alone, whatever its format; mbr2gpt makes it \
             boot in generation 2.\n",
        ),
        (Format::Vhd, Scheme::Gpt) => Some(
            "It has a GPT: virtual machines of generation 2 (UEFI) boot from it, but Hyper-V attaches a VHD to those of \
             generation 1 alone.\n",
        ),
        _ => None,
    }
}

pub(super) fn name(format: Format) -> &'static str {
    match format {
        Format::Raw => "raw image",
        Format::Vhd => "VHD",
        Format::Vhdx => "VHDX",
    }
}

pub(super) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Fixed => "fixed",
        Kind::Dynamic => "dynamic",
        Kind::Differencing => "differencing",
    }
}
