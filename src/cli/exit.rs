//! The end of the command: the class of a failure, its exit code and its message. The codes are few, documented in
//! `--help`, and stable.

use std::{
    fmt::Display,
    io::{self, ErrorKind},
    path::Path,
    process::ExitCode,
};

use vhdmount::{
    Error,
    printable::{printable, printable_lines},
};

use super::advice;

/// Why the command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    class: Class,
    /// Empty if the message was already printed.
    text: String,
}

/// The class of a failure, which determines the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// The reader of standard output has closed it, as in `| head`: no failure.
    ClosedPipe,
    /// The arguments are invalid.
    Usage,
    /// The image cannot be opened or read.
    Image,
    /// The mountpoint, FUSE or WinFsp is not usable.
    Mountpoint,
    /// The copy's destination on the host failed.
    Destination,
    /// A path inside the image is invalid.
    Inside,
    /// Standard output cannot be written.
    Output,
    /// `check` found warnings, but no loss. Its codes lie beyond those of failures, so that a script can distinguish an
    /// image that could not be checked from one that has findings.
    Warnings,
    /// `check` found errors.
    Errors,
    /// Mounted, but no volume can be read: only `.capacity` and the raw views exist.
    NoVolume,
    /// Ended by Ctrl-C; the code is the shell's.
    Interrupted,
    /// The state of a monitoring plugin, with its code.
    Monitored(u8),
    /// The serving process has failed with this code, and has printed its error.
    Served(u8),
}

impl Class {
    /// The exit code of the command.
    fn code(self) -> u8 {
        match self {
            Self::ClosedPipe => 0,
            Self::Usage => 1,
            Self::Image => 2,
            Self::Mountpoint | Self::Destination => 3,
            Self::Inside | Self::Output => 4,
            Self::Warnings => 5,
            Self::Errors => 6,
            Self::NoVolume => 7,
            Self::Interrupted => 130,
            Self::Monitored(code) | Self::Served(code) => code,
        }
    }

    /// The exit code of a mount(8) helper: bits, 1 for incorrect invocation and 32 for mount failure.
    fn code_for_mount(self) -> u8 {
        match self {
            // The mount exists; mount(8) has no code for missing volumes and would report a failure.
            Self::NoVolume | Self::ClosedPipe => 0,
            Self::Usage => 1,
            _ => 32,
        }
    }

    /// The program's exit code for this class: as a helper of mount(8), or as the command.
    pub(crate) fn exit(self, is_mount_helper: bool) -> ExitCode {
        ExitCode::from(if is_mount_helper { self.code_for_mount() } else { self.code() })
    }
}

/// The state of a monitoring plugin that could not determine the state.
pub(crate) const UNKNOWN: Class = Class::Monitored(3);

impl Failure {
    fn new(class: Class, text: impl Display) -> Self {
        Self { class, text: text.to_string() }
    }

    /// The arguments are invalid.
    pub(crate) fn usage(text: impl Display) -> Self {
        Self::new(Class::Usage, text)
    }

    /// The image cannot be opened or read.
    pub(crate) fn image(path: &Path, error: &Error) -> Self {
        let (name, text) = (path.display().to_string(), advice::advised(error));
        let text = if text.contains(&name) { text } else { format!("{name}: {text}") };
        Self::new(Class::Image, text)
    }

    /// A failure that concerns several images.
    pub(crate) fn image_text(text: impl Display) -> Self {
        Self::new(Class::Image, text)
    }

    /// The mountpoint, FUSE or WinFsp is not usable.
    pub(crate) fn mountpoint(text: impl Display) -> Self {
        Self::new(Class::Mountpoint, text)
    }

    /// A path inside the image is invalid.
    pub(crate) fn inside(path: impl Display, error: impl Display) -> Self {
        let (path, text) = (printable(&path.to_string()).into_owned(), error.to_string());
        let text = if text.contains(&path) { text } else { format!("{path}: {text}") };
        Self::new(Class::Inside, text)
    }

    /// A failure inside the image, described by the text.
    pub(crate) fn inside_text(text: impl Display) -> Self {
        Self::new(Class::Inside, text)
    }

    /// The copy's destination on the host failed.
    pub(crate) fn destination(path: &Path, error: &io::Error) -> Self {
        Self::destination_text(format_args!("{}: {error}", path.display()))
    }

    /// The copy's destination failed, described by the text.
    pub(crate) fn destination_text(text: impl Display) -> Self {
        Self::new(Class::Destination, text)
    }

    /// Ended by a signal.
    pub(crate) fn interrupted(text: impl Display) -> Self {
        Self::new(Class::Interrupted, text)
    }

    /// Writing to standard output failed: a closed pipe, which is no failure, or an error.
    pub(crate) fn output(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe => Self::printed(Class::ClosedPipe),
            _ => Self::new(Class::Output, format_args!("standard output: {error}")),
        }
    }

    /// A failure of this class whose message was already printed.
    pub(crate) fn printed(class: Class) -> Self {
        Self { class, text: String::new() }
    }

    /// The failure as a monitoring plugin reports it: the state is unknown.
    pub(crate) fn for_monitoring(self) -> Self {
        Self { class: UNKNOWN, ..self }
    }

    /// True if the reader of standard output has closed it.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        self.class == Class::ClosedPipe
    }

    /// The message; empty if it was already printed.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Prints the message and returns the program's exit code.
    pub(crate) fn exit(&self, is_mount_helper: bool) -> ExitCode {
        if !self.text.is_empty() {
            super::complain(&printable_lines(&self.text));
        }
        self.class.exit(is_mount_helper)
    }
}

/// Combines the result of writing to standard output with an earlier failure: a closed pipe hides no failure.
pub(crate) fn ended(written: io::Result<()>, failed: Option<Failure>) -> Result<(), Failure> {
    let written = written.map_err(|error| Failure::output(&error));
    match (written, failed) {
        (Err(output), Some(failed)) if output.is_closed_pipe() => Err(failed),
        (Ok(()), Some(failed)) => Err(failed),
        (written, _) => written,
    }
}

/// Ignores a closed pipe, as the following result must still be reported.
pub(crate) fn unless_closed(printed: Result<(), Failure>) -> Result<(), Failure> {
    match printed {
        Err(failure) if failure.is_closed_pipe() => Ok(()),
        printed => printed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_help() {
        let codes = [
            (Class::ClosedPipe, 0, 0),
            (Class::Usage, 1, 1),
            (Class::Image, 2, 32),
            (Class::Mountpoint, 3, 32),
            (Class::Destination, 3, 32),
            (Class::Inside, 4, 32),
            (Class::Output, 4, 32),
            (Class::Warnings, 5, 32),
            (Class::Errors, 6, 32),
            (Class::NoVolume, 7, 0),
            (Class::Interrupted, 130, 32),
            (UNKNOWN, 3, 32),
            (Class::Served(2), 2, 32),
        ];
        for (class, code, for_mount) in codes {
            assert_eq!((class.code(), class.code_for_mount()), (code, for_mount), "{class:?}");
        }
    }

    #[test]
    fn a_reader_that_has_gone_hides_no_failure() {
        let gone = || Err(io::Error::from(ErrorKind::BrokenPipe));
        let full = || Err(io::Error::from(ErrorKind::StorageFull));
        let inside = || Some(Failure::inside("p1/file", "damaged"));
        assert!(ended(Ok(()), None).is_ok());
        assert_eq!(ended(gone(), None).unwrap_err().class, Class::ClosedPipe);
        assert_eq!(ended(gone(), inside()).unwrap_err().class, Class::Inside);
        assert_eq!(ended(full(), inside()).unwrap_err().class, Class::Output);
        assert!(unless_closed(ended(gone(), None)).is_ok());
    }
}
