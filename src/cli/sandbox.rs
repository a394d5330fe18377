//! What each command needs of its host; the sandbox takes the rest away before the image is opened.

use std::path::{Path, PathBuf};

use vhdmount::container::{Container, OpenOptions};

use super::{
    Failure,
    config::{Action, Capacity, Drawing, Source, Subject},
    reg, system,
};
use crate::rights::Rights;

/// What the user says about the sandbox.
#[derive(Debug, Clone, Default)]
pub(super) struct Sandbox {
    /// Keep all rights.
    pub(super) disabled: bool,
    /// Become this user.
    pub(super) user: Option<String>,
}

impl Sandbox {
    /// Confines this process to what the action needs. Actions that open no image of the user are not confined; a mount
    /// confines the process that serves it.
    ///
    /// # Errors
    /// When it cannot become the user.
    pub(super) fn confine(&self, action: &Action) -> Result<(), Failure> {
        let Some(rights) = rights(action) else { return Ok(()) };
        match self.restriction(|| rights)? {
            Some(restriction) => Ok(system::confine(&restriction)?),
            None => Ok(()),
        }
    }

    /// How a process with these rights is confined.
    ///
    /// # Errors
    /// When there is no such user.
    pub(super) fn restriction(
        &self,
        rights: impl FnOnce() -> Rights,
    ) -> Result<Option<system::Restriction>, Failure> {
        match self.disabled {
            true => Ok(None),
            false => system::restriction(rights(), self.user.as_deref()).map(Some),
        }
    }

    /// Takes an option of `-o`; false for all others.
    pub(super) fn take(&mut self, option: &str) -> bool {
        match option.split_once('=') {
            Some(("run_as", name)) => self.user = Some(name.to_owned()),
            None if option == "no_sandbox" => self.disabled = true,
            _ => return false,
        }
        true
    }
}

/// The chains are open: leaves only their files; none if nothing could be opened.
pub(super) fn narrow<'a>(containers: impl IntoIterator<Item = &'a Container>) {
    let files = containers.into_iter().flat_map(|open| open.files().iter().flatten().chain(open.pieces()));
    system::narrow(&mut files.map(|file| file.file()));
}

fn rights(action: &Action) -> Option<Rights> {
    Some(match action {
        Action::Info(command) if command.recursive => {
            let mut rights = Rights::to_open([], &command.source.options.container);
            rights.folders.push(command.source.image.clone());
            rights
        }
        Action::Info(command) => of(&command.source),
        Action::Ls(command) => of(&command.source),
        Action::Find(command) => of(&command.source),
        Action::Cat(command) => of(&command.source),
        Action::Cp(command) => Rights { copy_to: Some(command.dest.clone()), ..of(&command.source) },
        Action::Check(command) => Rights::to_open([&command.image], &command.options.open.container),
        Action::Boot(command) => of(&command.source),
        Action::Bcd(command) => of(&command.source),
        Action::Reg(command) => of_registry(command),
        Action::Map(command) => {
            let outputs = match &command.drawing {
                Drawing::Text(_) => Vec::new(),
                Drawing::Pictures { svg, png } => [svg, png].into_iter().flatten().cloned().collect(),
            };
            Rights { outputs, ..of(&command.source) }
        }
        Action::Create(command) => {
            let images = command.parent.iter();
            let options = OpenOptions::default();
            to_make(&command.file, Rights::to_open(images, &options))
        }
        Action::Convert(command) => to_make(&command.dest, of(&command.source)),
        Action::Recover(command) => to_change(&command.image, []),
        Action::Diff(command) => of(&command.source),
        Action::Discard(command) => to_change(&command.overlay, []),
        Action::Reconnect(command) => to_change(&command.child, [&command.parent]),
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

/// The logs of a hive lie in its folder, as parents do.
fn of_registry(command: &reg::Config) -> Rights {
    match command {
        reg::Config::Query(query) => of(&query.place.source),
        reg::Config::Complete(complete) => of(&complete.place.source),
        reg::Config::Export(export) => match &export.file {
            Some(file) => to_make(file, of(&export.place.source)),
            None => of(&export.place.source),
        },
        reg::Config::Diff(diff) => {
            let source = &diff.old.source;
            let images = std::iter::once(source).chain(diff.new.as_ref().map(|new| &new.source));
            Rights::to_open(images.map(|source| &source.image), &source.options.container)
        }
    }
}

/// For a new image, which is read as well.
fn to_make(file: &Path, mut rights: Rights) -> Rights {
    rights.folders.push(folder_of(file).to_owned());
    Rights { copy_to: Some(file.to_owned()), ..rights }
}

/// For an image that is open for writing already, with the redo file beside it, which is removed.
fn to_change<const N: usize>(image: &PathBuf, others: [&PathBuf; N]) -> Rights {
    let rights = Rights::to_open(std::iter::once(image).chain(others), &OpenOptions::default());
    Rights { written: true, remove_in: Some(folder_of(image).to_owned()), ..rights }
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
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
