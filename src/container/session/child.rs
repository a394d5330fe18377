//! The overlay itself: a new one, and whether an existing one is that of the image.

use std::{
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{SessionFiles, first};
use crate::{
    Error, Result,
    bytes::{ByteSink, FileSource},
    container::{
        Fingerprint, Format, Kind, LogState, NewParent, Plan, RawParent, create, fingerprint,
        image::{Image, Linkage},
        parent_path,
    },
    guid::Guid,
};

/// 2000-01-01 in Unix time.
const EPOCH: u64 = 946_684_800;
const MIB: u64 = 1 << 20;

/// Fills the empty file with a child of the chain `below`. Returns what the user should know.
pub(super) fn make(files: &SessionFiles, below: &[Image]) -> Result<Vec<String>> {
    let base = first(below)?;
    let info = base.layer.info();
    let is_raw = info.format == Format::Raw;
    let identity = info.data_id.filter(|id| !id.is_zero());
    if identity.is_none() && !is_raw {
        return Err(Error::unsupported(format!(
            "{} has no identity that an overlay could refer to: convert it first",
            files.image().display()
        )));
    }
    let format = if is_raw { Format::Vhdx } else { info.format };
    let mut plan = Plan::new(format, info.virtual_size, seconds(SystemTime::now()));
    plan.kind = Kind::Differencing;
    if [512, 4096].contains(&info.logical_sector_size) {
        plan.logical_sector_size = info.logical_sector_size;
    }
    plan.virtual_size = plan.virtual_size.next_multiple_of(plan.logical_sector_size.into());
    plan.log_length = log_length(&plan);
    if [512, 4096].contains(&info.physical_sector_size) {
        plan.physical_sector_size = info.physical_sector_size;
    }
    plan.parent = Some(named(files.path(), base, files.image())?);
    if is_raw {
        plan.raw_parent = Some(RawParent {
            fingerprint: Fingerprint::of(&**base.layer.source()),
            time: base.file.as_deref().map_or(0, fingerprint::time),
        });
    }
    let target = files.target();
    let made = create::Writer::new(&**target as &dyn ByteSink, &plan).and_then(create::Writer::finish);
    if made.is_err() {
        // What is left is then an empty file again, from which the next session begins.
        let _ = target.set_len(0);
    }
    made?;
    let mut warnings = Vec::new();
    if matches!(info.log, Some(LogState::Replayed { .. })) {
        warnings.push(format!(
            "the log of {} has changes that are not in its blocks yet; the overlay is made over the disk with them",
            files.image().display()
        ));
    }
    if is_raw {
        warnings.push(format!(
            "the overlay of {}, a raw image, is a VHDX whose parent only this program can find; `vhdmount convert` makes it a whole image",
            files.image().display()
        ));
    }
    if info.format == Format::Vhd {
        warnings.push(
            "qemu takes a differencing VHD for a complete one and reads zeros where the parent has data"
                .into(),
        );
    }
    Ok(warnings)
}

/// How the image `child` names its parent `base`, which is opened as `path`.
pub(super) fn named(child: &Path, base: &Image, path: &Path) -> Result<NewParent> {
    let info = base.layer.info();
    let is_raw = info.format == Format::Raw;
    let relative_path = parent_path::relative(path, child, true);
    let absolute_path = parent_path::absolute(path).map(|path| match cfg!(windows) || is_raw {
        true => path,
        // libvhdi takes the parent's name from it, and looks beside the child; Windows tries the relative path first.
        false => path.replace('/', "\\"),
    });
    if relative_path.is_none() && absolute_path.is_none() {
        return Err(Error::invalid(format!(
            "no path in Unicode leads from {} to {}: give them other names or folders",
            child.display(),
            path.display()
        )));
    }
    Ok(NewParent {
        identity: info.data_id.unwrap_or(Guid::ZERO),
        relative_path,
        absolute_path,
        time: base.file.as_deref().map_or(0, modified),
    })
}

/// Room for one entry with the whole block table, as far as a log may have that: an entry of 16 MiB switches the blocks of 4 TiB.
fn log_length(plan: &Plan) -> u64 {
    let pages = plan.virtual_size.div_ceil(plan.block_size).div_ceil(512);
    ((pages + pages / 64 + 64) * 4096).next_multiple_of(MIB).clamp(4 * MIB, 16 * MIB)
}

/// Refuses a file that is no overlay of this image, and one whose image has changed. Returns what the user should know.
pub(super) fn verify(top: &Image, files: &SessionFiles, below: &[Image]) -> Result<Vec<String>> {
    let (child, image) = (files.path().display(), files.image().display());
    let base = first(below)?;
    let Some(linkage) = &top.linkage else {
        return Err(Error::invalid(format!(
            "{child} is an image of its own, not an overlay of {image}: name a file that does not exist"
        )));
    };
    let time = base.file.as_deref().map(fingerprint::time).filter(|time| *time != 0);
    if linkage.raw_time.zip(time).is_some_and(|(expected, found)| expected != found)
        && linkage.accepts(base.identity)
    {
        return Err(Error::invalid(format!(
            "{image} was written at another time than the overlay {child} says: it has changed since, or it is a copy. If it is an unchanged copy, `vhdmount reconnect {child} --parent {image} --reset-identity` says so"
        )));
    }
    if linkage.accepts(base.identity) && !linkage.is_anonymous() {
        return vhd_changes(top, linkage, files, base);
    }
    let named: Vec<_> = linkage.identities.iter().map(|identity| identity.text()).collect();
    let state = match names(linkage, files.image()) {
        true => format!(
            "{image} has changed since the overlay {child} was made (it is {}, the overlay is based on {}). What the overlay holds fits the old \
             content alone; discard it, or find the image as it was",
            base.identity.text(),
            named.join(" or "),
        ),
        false => format!(
            "{child} is an overlay of another image ({}), not of {image} ({})",
            named.join(" or "),
            base.identity.text()
        ),
    };
    Err(Error::invalid(state))
}

/// The identity of a VHD stays when its content or its size changes. Its size says something for certain. The time that the overlay has
/// noted does not: every copy has another one, and so has an image that Windows attached without a write. So that is a warning.
fn vhd_changes(top: &Image, linkage: &Linkage, files: &SessionFiles, base: &Image) -> Result<Vec<String>> {
    let (child, image) = (files.path().display(), files.image().display());
    if base.layer.info().format != Format::Vhd {
        return Ok(Vec::new());
    }
    let (size, below) = (top.layer.virtual_size(), base.layer.virtual_size());
    if size != below {
        return Err(Error::invalid(format!(
            "{image} has {below} bytes, its overlay {child} has {size}: one of them was resized since, and nothing shows whether the overlay \
             still fits. `vhdmount convert {child} NEW` makes one image of both, which can be written"
        )));
    }
    let modified = base.file.as_deref().map_or(0, modified);
    Ok(match linkage.time_stamp {
        Some(noted) if noted != modified && modified != 0 => vec![format!(
            "{image} was modified at another time than the overlay {child} has noted. A VHD keeps its identity when it is written: if it is an \
             unchanged copy, all is well (`vhdmount reconnect {child} --parent {image}` notes its time); if something has written to it since, the \
             overlay shows a mixture of both"
        )],
        _ => Vec::new(),
    })
}

/// True when the linkage names a file that is called as the image is.
fn names(linkage: &Linkage, image: &Path) -> bool {
    let Some(name) = image.file_name().and_then(|name| name.to_str()) else { return false };
    let mut paths = linkage.relative.iter().chain(&linkage.absolute);
    paths.any(|path| path.rsplit(['\\', '/']).next().is_some_and(|last| last.eq_ignore_ascii_case(name)))
}

fn modified(file: &FileSource) -> u32 {
    file.file().metadata().and_then(|metadata| metadata.modified()).map_or(0, seconds)
}

/// Seconds since 2000-01-01 UTC.
fn seconds(time: SystemTime) -> u32 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().saturating_sub(EPOCH);
    u32::try_from(since).unwrap_or(u32::MAX)
}
