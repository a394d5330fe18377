//! How the command ends: the class of a failure, its exit code and its message. The codes are few, documented in `--help`,
//! and stable.

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

/// Why the command ends without success.
#[derive(Debug)]
pub(crate) struct Failure {
    class: Class,
    /// Empty where the message was printed before.
    text: String,
}

/// The class of a failure, which decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// The reader of standard output has seen enough, as in `| head`: no failure.
    ClosedPipe,
    /// The arguments.
    Usage,
    /// The image cannot be opened or read.
    Image,
    /// The mountpoint, FUSE, WinFsp.
    Mountpoint,
    /// The host's folder or file that a copy goes to.
    Destination,
    /// A path inside the image.
    Inside,
    /// Standard output.
    Output,
    /// `check` found warnings, but nothing that is lost. Its codes lie beyond those of failures, so that a script can tell an
    /// image that could not be examined from one that was and is not well.
    Warnings,
    /// `check` found errors.
    Errors,
    /// Mounted, but no volume can be read: `.capacity` and the raw views are all that is there.
    NoVolume,
    /// Ended by Ctrl-C, as a shell counts it.
    Interrupted,
    /// The state that a monitoring plugin reports, with its code.
    Monitored(u8),
    /// The serving process has failed with this code, and has printed why.
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

    /// The exit code as a helper of mount(8): bits, 1 for a wrong call and 32 for a mount that failed.
    fn code_for_mount(self) -> u8 {
        match self {
            // The mount is there, and mount(8) has no code for what it lacks: it would call it failed.
            Self::NoVolume | Self::ClosedPipe => 0,
            Self::Usage => 1,
            _ => 32,
        }
    }

    /// Ends the program with this class: as a helper of mount(8), or as the command.
    pub(crate) fn exit(self, is_mount_helper: bool) -> ExitCode {
        ExitCode::from(if is_mount_helper { self.code_for_mount() } else { self.code() })
    }
}

/// The state of a monitoring plugin that could not find out the state.
pub(crate) const UNKNOWN: Class = Class::Monitored(3);

impl Failure {
    fn new(class: Class, text: impl Display) -> Self {
        Self { class, text: text.to_string() }
    }

    /// The arguments make no sense.
    pub(crate) fn usage(text: impl Display) -> Self {
        Self::new(Class::Usage, text)
    }

    /// The image cannot be opened or read.
    pub(crate) fn image(path: &Path, error: &Error) -> Self {
        let (name, text) = (path.display().to_string(), advice::advised(error));
        let text = if text.contains(&name) { text } else { format!("{name}: {text}") };
        Self::new(Class::Image, text)
    }

    /// Something about several images.
    pub(crate) fn image_text(text: impl Display) -> Self {
        Self::new(Class::Image, text)
    }

    /// The mountpoint, FUSE or WinFsp.
    pub(crate) fn mountpoint(text: impl Display) -> Self {
        Self::new(Class::Mountpoint, text)
    }

    /// A path inside the image.
    pub(crate) fn inside(path: impl Display, error: impl Display) -> Self {
        let (path, text) = (printable(&path.to_string()).into_owned(), error.to_string());
        let text = if text.contains(&path) { text } else { format!("{path}: {text}") };
        Self::new(Class::Inside, text)
    }

    /// Something inside the image, as the text says.
    pub(crate) fn inside_text(text: impl Display) -> Self {
        Self::new(Class::Inside, text)
    }

    /// The place on the host where a copy goes.
    pub(crate) fn destination(path: &Path, error: &io::Error) -> Self {
        Self::destination_text(format_args!("{}: {error}", path.display()))
    }

    /// The same in other words.
    pub(crate) fn destination_text(text: impl Display) -> Self {
        Self::new(Class::Destination, text)
    }

    /// Ended by a signal.
    pub(crate) fn interrupted(text: impl Display) -> Self {
        Self::new(Class::Interrupted, text)
    }

    /// Standard output takes no more: its reader has gone, which is no failure, or it cannot be written.
    pub(crate) fn output(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe => Self::printed(Class::ClosedPipe),
            _ => Self::new(Class::Output, format_args!("standard output: {error}")),
        }
    }

    /// A result of this class, whose text was printed before.
    pub(crate) fn printed(class: Class) -> Self {
        Self { class, text: String::new() }
    }

    /// The same as a monitoring system takes it: what went wrong leaves the state unknown.
    pub(crate) fn for_monitoring(self) -> Self {
        Self { class: UNKNOWN, ..self }
    }

    /// True if the reader of standard output has seen enough.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        self.class == Class::ClosedPipe
    }

    /// The message; empty where it was printed before.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Prints the message and ends the program.
    pub(crate) fn exit(&self, is_mount_helper: bool) -> ExitCode {
        if !self.text.is_empty() {
            super::complain(&printable_lines(&self.text));
        }
        self.class.exit(is_mount_helper)
    }
}

/// Joins how writing to standard output ended and what failed before: a reader that has gone hides no failure.
pub(crate) fn ended(written: io::Result<()>, failed: Option<Failure>) -> Result<(), Failure> {
    let written = written.map_err(|error| Failure::output(&error));
    match (written, failed) {
        (Err(output), Some(failed)) if output.is_closed_pipe() => Err(failed),
        (Ok(()), Some(failed)) => Err(failed),
        (written, _) => written,
    }
}

/// Goes on where the reader of standard output has gone: what is decided next is still to be reported.
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
