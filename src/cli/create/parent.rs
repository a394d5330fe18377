//! The parent of a new differencing image.

use std::path::Path;

use vhdmount::container::{self, Format, LogState, NewParent, Plan, parent_path};

use crate::cli::{Failure, convert, date, system};

/// Makes `plan` that of a child of `base` in the file `child`. Returns what the user should know, in lines.
pub(super) fn link(plan: &mut Plan, base: &Path, child: &Path) -> Result<String, Failure> {
    let options = container::OpenOptions { host: system::host(), ..container::OpenOptions::default() };
    let parent = container::open(base, &options).map_err(|error| Failure::image(base, &error))?;
    let refuse = |text: String| Err(Failure::usage(text));
    let Some(info) = parent.infos().next() else { return refuse(format!("{} is empty", base.display())) };
    let Some(identity) = info.data_id.filter(|id| !id.is_zero()) else {
        return refuse(format!(
            "{} is a {}, to which a child cannot refer: convert it to VHDX first",
            base.display(),
            convert::name(info.format)
        ));
    };
    if info.format != plan.format {
        return refuse(format!(
            "a child has the format of its parent: {} is a {}, {} would be a {}",
            base.display(),
            convert::name(info.format),
            child.display(),
            convert::name(plan.format)
        ));
    }
    let relative_path = parent_path::relative(base, child, false);
    // libvhdi takes the parent's name from it alone. Where no path leads on, Windows is not helped by one of this machine.
    let absolute_path = match cfg!(windows) || relative_path.is_some() {
        true => parent_path::absolute(base).map(|path| path.replace('/', "\\")),
        false => None,
    };
    if relative_path.is_none() && absolute_path.is_none() {
        return refuse(format!(
            "{} and {} have no folder in common but the root, so that no path leads from one to the other on the machine \
             where they are used: put both below one folder",
            base.display(),
            child.display()
        ));
    }
    let time = match parent.files().first() {
        Some(Some(file)) => file.file().metadata().and_then(|metadata| metadata.modified()).ok(),
        _ => None,
    };
    plan.virtual_size = info.virtual_size;
    plan.logical_sector_size = info.logical_sector_size;
    if [512, 4096].contains(&info.physical_sector_size) {
        plan.physical_sector_size = info.physical_sector_size;
    }
    plan.parent =
        Some(NewParent { identity, relative_path, absolute_path, time: time.map_or(0, date::since_2000) });
    let mut notes = String::new();
    if matches!(info.log, Some(LogState::Replayed { .. })) {
        notes.push_str(
            "The parent's log has changes that are not in its blocks yet; the child sees the disk with them, as Windows and \
             this program replay the log.\n",
        );
    }
    notes.push_str("From now on the parent must not change: make it read-only.\n");
    if info.format == Format::Vhd {
        notes.push_str(
            "qemu takes a differencing VHD for a complete one and reads zeros where the parent has data.\n",
        );
    }
    Ok(notes)
}
