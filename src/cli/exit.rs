//! Exit codes: few, documented in `--help`, stable.

use std::{fmt::Display, path::Path, process::ExitCode};

use vhdmount::{
    Error,
    printable::{printable, printable_lines},
};

use super::advice;
#[cfg(any(target_os = "linux", windows))]
use crate::platform::MountError;

/// Why the command ends without success.
#[derive(Debug)]
pub(crate) struct Failure {
    class: Class,
    text: String,
}

/// The class of a failure, which is its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Class(u8);

/// The arguments.
pub(crate) const USAGE: Class = Class(1);
const IMAGE: Class = Class(2);
/// Also the destination of a copy.
const MOUNTPOINT: Class = Class(3);
const INSIDE: Class = Class(4);
/// `check` found warnings, but nothing that is lost. Beyond the codes of failures, so that a script can tell an image that
/// could not be examined from one that was and is not well.
pub(crate) const WARNINGS: Class = Class(5);
/// `check` found errors.
pub(crate) const ERRORS: Class = Class(6);
/// Mounted, but no volume can be read: `.capacity` and the raw views are all that is there.
pub(crate) const NO_VOLUME: Class = Class(7);
/// Of a monitoring plugin: the state could not be found out, be it for a wrong call.
pub(crate) const UNKNOWN: Class = Class(3);

impl Class {
    /// The exit code; as a helper of mount(8) its bits: 1 wrong call, 32 mount failed.
    pub(crate) fn code(self, mount_helper: bool) -> ExitCode {
        match (mount_helper, self) {
            (true, USAGE) => ExitCode::from(1),
            // The mount is there, and mount(8) has no code for what it lacks: it would call it failed.
            (true, NO_VOLUME) => ExitCode::SUCCESS,
            (true, _) => ExitCode::from(32),
            (false, class) => ExitCode::from(class.0),
        }
    }
}

impl Failure {
    /// The arguments make no sense.
    pub(crate) fn usage(text: impl Display) -> Self {
        Self { class: USAGE, text: text.to_string() }
    }

    /// The image cannot be opened or read.
    pub(crate) fn image(path: &Path, error: &Error) -> Self {
        let (name, text) = (path.display().to_string(), advice::advised(error));
        let text = if text.contains(&name) { text } else { format!("{name}: {text}") };
        Self { class: IMAGE, text }
    }

    /// Something about several images.
    pub(crate) fn image_text(text: impl Display) -> Self {
        Self { class: IMAGE, text: text.to_string() }
    }

    /// Images that could not be looked at, as was said already.
    pub(crate) fn silent_image() -> Self {
        Self { class: IMAGE, text: String::new() }
    }

    /// A state for a monitoring system, which was printed already.
    pub(crate) fn state(code: u8) -> Self {
        Self { class: Class(code), text: String::new() }
    }

    /// The same as a monitoring system takes it: what went wrong leaves the state unknown.
    pub(crate) fn for_monitoring(self) -> Self {
        Self { class: UNKNOWN, ..self }
    }

    /// True when the text was printed already, by the process that failed.
    #[cfg(target_os = "linux")]
    pub(crate) fn is_reported(&self) -> bool {
        self.text.is_empty()
    }

    /// What is said.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The mountpoint, FUSE or WinFsp.
    pub(crate) fn mountpoint(text: impl Display) -> Self {
        Self { class: MOUNTPOINT, text: text.to_string() }
    }

    /// A path inside the image.
    pub(crate) fn inside(path: impl Display, error: impl Display) -> Self {
        let (path, text) = (printable(&path.to_string()).into_owned(), error.to_string());
        let text = if text.contains(&path) { text } else { format!("{path}: {text}") };
        Self { class: INSIDE, text }
    }

    /// Something inside the image, as the text says.
    pub(crate) fn inside_text(text: impl Display) -> Self {
        Self { class: INSIDE, text: text.to_string() }
    }

    /// The place on the host where a copy goes.
    pub(crate) fn destination(path: &Path, error: &std::io::Error) -> Self {
        Self::destination_text(format_args!("{}: {error}", path.display()))
    }

    /// The same in other words.
    pub(crate) fn destination_text(text: impl Display) -> Self {
        Self { class: MOUNTPOINT, text: text.to_string() }
    }

    /// Ended by a signal, as a shell counts it.
    pub(crate) fn ended(code: u8, text: impl Display) -> Self {
        Self { class: Class(code), text: text.to_string() }
    }

    /// An examination that was done, and printed what it found.
    pub(crate) fn verdict(class: Class) -> Self {
        Self { class, text: String::new() }
    }

    /// Standard output takes no more.
    pub(crate) fn output(error: &std::io::Error) -> Self {
        Self::inside("standard output", error)
    }

    /// Prints the text and turns into the exit code.
    pub(crate) fn report(&self, mount_helper: bool) -> ExitCode {
        if !self.text.is_empty() {
            eprintln!("vhdmount: {}", printable_lines(&self.text));
        }
        self.class.code(mount_helper)
    }
}

#[cfg(any(target_os = "linux", windows))]
impl From<MountError> for Failure {
    fn from(error: MountError) -> Self {
        match error {
            // It has printed its own text.
            MountError::Reported(status) => Self { class: Class(status), text: String::new() },
            #[cfg(target_os = "linux")]
            MountError::Option(text) => Self::usage(text),
            other => Self::mountpoint(other),
        }
    }
}
