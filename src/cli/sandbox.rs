//! What each command needs of its host; the sandbox takes the rest away before the image is opened.

use vhdmount::image::Image;

use super::{
    config::{Action, Capacity, Drawing, Source, Subject},
    system,
};
use crate::rights::Rights;

/// Confines this process to what the action needs. Actions that open no image of the user are not confined; a mount confines
/// the process that serves it.
pub(super) fn confine(action: &Action) {
    if let Some(rights) = rights(action) {
        system::confine(&rights);
    }
}

/// The chain is open: leaves only its files.
pub(super) fn narrow(image: &Image) {
    let container = image.container();
    let files = container.files().iter().flatten().chain(container.pieces());
    system::narrow(&mut files.map(|file| file.file()));
}

fn rights(action: &Action) -> Option<Rights> {
    Some(match action {
        Action::Info(command) => of(&command.source),
        Action::Ls(command) => of(&command.source),
        Action::Cat(command) => of(&command.source),
        Action::Cp(command) => Rights { copy_to: Some(command.dest.clone()), ..of(&command.source) },
        Action::Check(command) => Rights::to_open([&command.image], &command.options.open.container),
        Action::Map(command) => {
            let outputs = match &command.drawing {
                Drawing::Text(_) => Vec::new(),
                Drawing::Pictures { svg, png } => [svg, png].into_iter().flatten().cloned().collect(),
            };
            Rights { outputs, ..of(&command.source) }
        }
        Action::Capacity(command) => of_capacity(command),
        Action::Mount(_) | Action::Unmount(_) | Action::Demo(_) | Action::Man(_) | Action::Completions(_) => {
            return None;
        }
    })
}

/// For opening an image as the user named it.
pub(super) fn of(source: &Source) -> Rights {
    Rights::to_open([&source.image], &source.options.container)
}

fn of_capacity(command: &Capacity) -> Rights {
    let options = &command.options.container;
    match &command.subject {
        Subject::Image(image) => Rights::to_open([image], options),
        Subject::Fleet { images, folders, .. } => {
            let mut rights = Rights::to_open(images, options);
            // The parents of what is found there are sought there as well.
            rights.folders.extend(folders.iter().cloned());
            rights.folders.extend(options.parent_dirs.iter().cloned());
            rights
        }
        Subject::Running => {
            // The kernel says which files; no image is read for that.
            let disks = options.host.running().map(|running| running.disks).unwrap_or_default();
            let images: Vec<_> = disks.into_iter().map(|disk| disk.image).collect();
            Rights { running: true, ..Rights::to_open(&images, options) }
        }
    }
}
