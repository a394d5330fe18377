//! `vhdmount create`

mod parent;
mod table;

use vhdmount::{
    container::{Kind, Plan, create::Writer},
    size::human,
};

use super::{
    Failure,
    config::Create,
    convert::{kind, name},
    date,
    new_file::NewFile,
    print,
};

pub(super) fn run(command: &Create) -> Result<(), Failure> {
    let mut plan = Plan::new(command.format, command.size.unwrap_or_default(), date::seconds_since_2000());
    if command.format != vhdmount::container::Format::Raw {
        plan.kind = command.kind;
    }
    plan.block_size = command.block_size.unwrap_or(plan.block_size);
    if let Some(sector_size) = command.sector_size {
        plan.logical_sector_size = sector_size;
    }
    let mut notes = String::new();
    if let Some(base) = &command.parent {
        plan.kind = Kind::Differencing;
        notes = parent::link(&mut plan, base, &command.file)?;
    }
    let invalid = |error: vhdmount::Error| match error {
        vhdmount::Error::Io { .. } => Failure::destination_text(error),
        error => Failure::usage(error),
    };
    let parts = match &command.table {
        Some(partitions) => table::of(&plan, partitions).map_err(invalid)?,
        None => Vec::new(),
    };
    let new = NewFile::create(&command.file)?;
    let mut writer = Writer::new(&new.sink, &plan).map_err(invalid)?;
    for (offset, bytes) in parts {
        writer.write(offset, &bytes).map_err(invalid)?;
    }
    let file_size = writer.finish().map_err(invalid)?;
    new.publish()?;
    if command.quiet {
        return Ok(());
    }
    print(&format!(
        "{}: {} {}, {} for the guest, a file of {}\n{notes}",
        command.file.display(),
        kind(plan.kind),
        name(plan.format),
        human(plan.virtual_size),
        human(file_size),
    ))
}
