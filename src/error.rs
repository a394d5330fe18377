//! The one error type: few classes, those that a caller treats differently; the text says what and what to do next.
//! `errno()` and `ntstatus()` exist once each, in the platform adapters.

use std::{borrow::Cow, io};

/// The result of everything that reads an image.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The host could not read; `context` names the file and what was tried.
    #[error("{context}: {source}")]
    Io {
        /// What was read or opened.
        context: String,
        /// The operating system's answer.
        source: io::Error,
    },
    /// An on-disk structure contradicts its specification.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// Valid, but nothing that this program can decode; the text names the feature (`qcow2 image`, `EFS-encrypted file`).
    #[error("{0}")]
    Unsupported(Cow<'static, str>),
    /// Readable only with a key or right that is not there (EFS, locked image).
    #[error("{0}")]
    Denied(Cow<'static, str>),
    /// A parent of a differencing disk, or a path that the user named, does not exist.
    #[error("{0}")]
    NotFound(Cow<'static, str>),
    /// A request that does not fit its target: reading past the end, listing a file, opening a directory.
    #[error("{0}")]
    Invalid(Cow<'static, str>),
}

/// A damaged structure: which, where, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("damaged {structure} at byte {offset:#x}: {problem}")]
pub struct Corrupt {
    /// The specification's name of the structure (`VHDX region table`, `MFT record 5`).
    pub structure: Cow<'static, str>,
    /// Byte offset in the layer that holds the structure.
    pub offset: u64,
    /// What contradicts the specification.
    pub problem: Cow<'static, str>,
}

impl Error {
    /// An I/O error with what was tried.
    pub fn io(context: impl Into<String>, source: io::Error) -> Self {
        Self::Io { context: context.into(), source }
    }

    /// A damaged structure.
    pub fn corrupt(
        structure: impl Into<Cow<'static, str>>,
        offset: u64,
        problem: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::Corrupt(Corrupt { structure: structure.into(), offset, problem: problem.into() })
    }

    /// Something valid that cannot be decoded.
    pub fn unsupported(what: impl Into<Cow<'static, str>>) -> Self {
        Self::Unsupported(what.into())
    }

    /// A request that does not fit its target.
    pub fn invalid(what: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid(what.into())
    }

    /// Something that should be there and is not.
    pub fn not_found(what: impl Into<Cow<'static, str>>) -> Self {
        Self::NotFound(what.into())
    }
}
