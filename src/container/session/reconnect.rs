//! A child that is given another path to its parent, as after both were moved; where the user says so, another identity too.

use std::path::Path;

use super::{SessionFiles, child};
use crate::{
    Error, Result,
    bytes::ByteSource,
    container::{
        Fingerprint, Format, Kind, OpenOptions, RawParent,
        chain::{self, Walk},
        fingerprint,
        image::{Identity, Image},
        locks::{self, Use},
        vhd, vhdx,
        writer::WriteOptions,
    },
};

/// What a child says of its parent now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconnected {
    /// The path, in the form of Windows.
    pub path: String,
    /// The identity was another one, and is the new parent's now.
    pub identity_changed: bool,
}

/// Makes the image in `files` name `parent`, whose identity must be the one that it names already, unless `reset_identity` says that
/// the parent's is the right one. What the guest sees does not change with the path; with another parent's content it does.
///
/// # Errors
/// [`Error::Invalid`] for an image without a parent, and for a parent of another identity, size or format; as opening both.
pub fn reconnect(
    files: SessionFiles,
    parent: &Path,
    options: &OpenOptions,
    reset_identity: bool,
) -> Result<Reconnected> {
    let own = files.reader()?;
    let _lock = locks::hold(&own, Use::Write)?;
    let top = Image::of_file(own.clone(), files.path(), options)?;
    let shown = (files.path().display().to_string(), parent.display().to_string());
    let Some(linkage) = &top.linkage else {
        return Err(Error::invalid(format!("{} has no parent: it is no differencing image", shown.0)));
    };
    let Walk { images, stopped, .. } = chain::walk(Image::open(parent, options)?, options);
    if let Some(error) = stopped {
        return Err(error);
    }
    let mut images = images.into_iter();
    let mut base = images.next().ok_or_else(|| Error::invalid("a chain without an image"))?;
    let is_own = |image: &Image| image.file.as_ref().is_some_and(|file| file.id() == own.id());
    if is_own(&base) || images.any(|image| is_own(&image)) {
        return Err(Error::invalid(format!("{} stands on {}: that would be a cycle", shown.1, shown.0)));
    }
    base.identify(linkage);
    let (info, below) = (top.layer.info(), base.layer.info());
    let is_raw = below.format == Format::Raw;
    if is_raw != linkage.is_raw() || !is_raw && below.format != info.format {
        return Err(Error::invalid(format!(
            "{} is of another format than the parent that {} names",
            shown.1, shown.0
        )));
    }
    let fits = linkage.accepts(base.identity) && !linkage.is_anonymous();
    if !fits && !reset_identity {
        let named: Vec<_> = linkage.identities.iter().map(|identity| identity.text()).collect();
        return Err(Error::invalid(format!(
            "{} is {}, and {} is based on {}. If its content is nevertheless what the child was made from, --reset-identity makes the \
             child name it; if it is not, the child shows a mixture of both",
            shown.1,
            base.identity.text(),
            shown.0,
            named.join(" or ")
        )));
    }
    let sectors = |size: u32| size != 0 && size != info.logical_sector_size;
    let whole = below.virtual_size.next_multiple_of(u64::from(info.logical_sector_size.max(1)));
    if !fits && (whole != info.virtual_size || sectors(below.logical_sector_size)) {
        return Err(Error::invalid(format!(
            "{} has {} bytes, {} has {}: it cannot be its parent",
            shown.1, below.virtual_size, shown.0, info.virtual_size
        )));
    }
    let new = child::named(files.image(), &base, parent)?;
    let path = new.relative_path.clone().or_else(|| new.absolute_path.clone()).unwrap_or_default();
    let target = files.target().clone();
    match info.format {
        Format::Vhdx => {
            let raw = is_raw.then(|| RawParent {
                fingerprint: match base.identity {
                    Identity::Raw(print) => print,
                    _ => Fingerprint::of(&**base.layer.source()),
                },
                time: base.file.as_deref().map_or(0, fingerprint::time),
            });
            let nothing = std::sync::Arc::new(crate::bytes::MemorySource(Vec::new()));
            let nothing: std::sync::Arc<dyn ByteSource> = nothing;
            // Nothing of the parent is read.
            let writer = vhdx::write::open(target, Some(nothing), &WriteOptions::default())?;
            writer.replace_locator(&vhdx::create::locator(&new, raw.as_ref()))?;
        }
        Format::Vhd => vhd::write::replace_parent(&target, files.redo(), &new)?,
        Format::Raw => return Err(Error::invalid("a raw image has no parent")),
    }
    debug_assert!(info.kind == Kind::Differencing, "it has a parent");
    drop(own);
    files.tidy()?;
    Ok(Reconnected { path, identity_changed: !fits })
}
