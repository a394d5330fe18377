//! A mount whose raw views are written: its files are opened with the rights of the program, and all else is done behind them.

use std::sync::Arc;

use vhdmount::{
    container::{
        session::{SessionFiles, SessionOptions},
        write::Publish,
    },
    image::writing::WritableImage,
    tree::Tree,
};

use super::super::{Announcement, Failure, Source, Writing, args, describe};
use crate::{
    cli::sandbox,
    platform::{Publishing, Reserve, Written},
    rights::Rights,
};

/// What is written, open, and space that is kept for it.
pub(super) struct Files {
    session: SessionFiles,
    reserve: Option<Arc<Reserve>>,
    #[cfg(feature = "testing")]
    recorder: Option<Arc<vhdmount::testing::crash::Recorder>>,
}

/// The rights of a mount, with what it takes to write.
pub(super) fn rights(mut rights: Rights, writing: Option<&Writing>) -> Rights {
    if let Some(writing) = writing {
        rights.written = true;
        rights.images.extend(writing.overlay.clone());
    }
    rights
}

/// Opens what is written.
///
/// # Errors
/// When it cannot be opened or made.
pub(super) fn open(source: &Source, writing: &Writing) -> Result<Files, Failure> {
    let image = std::path::absolute(&source.image).unwrap_or_else(|_| source.image.clone());
    let session = match &writing.overlay {
        Some(child) => SessionFiles::of_overlay(&image, child),
        None => SessionFiles::in_place(&image),
    };
    let session = session.map_err(|error| source.failure(&error))?;
    let reserve = Reserve::beside(session.path()).map(Arc::new);
    if let Some(reserve) = &reserve {
        session.keep_room(reserve.clone());
    }
    Ok(Files {
        session,
        reserve,
        #[cfg(feature = "testing")]
        recorder: recorder(),
    })
}

/// Where tests want what is written to be recorded.
#[cfg(feature = "testing")]
fn recorder() -> Option<Arc<vhdmount::testing::crash::Recorder>> {
    use vhdmount::testing::crash::{Recorder, TRACE_VARIABLE};
    let path = std::env::var_os(TRACE_VARIABLE)?;
    Some(Arc::new(Recorder::create(path.as_ref()).expect("a trace can be written")))
}

/// Opens the image, in the process that serves it.
///
/// # Errors
/// When it cannot be opened, or not be written.
pub(super) fn prepare(
    files: Files,
    source: &Source,
    writing: &Writing,
    announcement: Announcement,
) -> Result<(Tree, String, bool, Option<Written>), Failure> {
    let Files { session, reserve, .. } = files;
    let (publish, publishing) = match writing.publish {
        args::Publish::Sync => (Publish::Sync, Publishing::Sync),
        args::Publish::Timed => (Publish::Sync, Publishing::Timed),
        args::Publish::Unmount => (Publish::Unmount, Publishing::Unmount),
    };
    let options = SessionOptions { publish, ..SessionOptions::default() };
    let image = WritableImage::open(session, &source.options, &options, source.partition)
        .map_err(|error| source.failure(&error))?;
    #[cfg(feature = "testing")]
    if let Some(recorder) = files.recorder {
        image.disk().observe(recorder);
    }
    let opened = image.image();
    sandbox::narrow(Some(opened.container()));
    let tree = image.tree().map_err(|error| source.failure(&error))?;
    let (mut text, _) = describe(source, announcement, &opened);
    if announcement == Announcement::Table {
        let what = match &writing.overlay {
            Some(child) => format!("what is written goes to {}", child.display()),
            None => "what is written changes the image itself".to_owned(),
        };
        text += &format!("The raw views in .vhdmount/ are writable: {what}\n");
    }
    let written = Written { image: Arc::new(image), publishing, reserve };
    // A disk without a readable volume is one to be formatted.
    Ok((tree, text, true, Some(written)))
}
