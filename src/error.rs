//! The one error type: few classes, those that a caller treats differently; the text says what and what to do next.
//! `errno()` and `ntstatus()` exist once each, in the platform adapters.

use std::{borrow::Cow, fmt, io};

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
    /// A path that the user named, or a structure that another one names, does not exist.
    #[error("{0}")]
    NotFound(Cow<'static, str>),
    /// The parent of a differencing image was not found, or none of the files found is it.
    #[error("{text}")]
    MissingParent {
        /// Which parent, and what was found in each place where it was looked for.
        text: String,
        /// What the caller can choose instead.
        remedies: Vec<Remedy>,
    },
    /// A VHDX that was not closed properly has a log that cannot be replayed; the cause is one of the other classes.
    #[error("{0} (the log cannot be replayed)")]
    UnusableLog(Box<Self>),
    /// A request that does not fit its target: reading past the end, listing a file, opening a directory.
    #[error("{0}")]
    Invalid(Cow<'static, str>),
}

/// A damaged structure: which, where, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("damaged {structure}{}: {problem}", place.map(|place| format!(" {place}")).unwrap_or_default())]
pub struct Corrupt {
    /// The specification's name of the structure (`VHDX region table`, `$ATTRIBUTE_LIST`).
    pub structure: Cow<'static, str>,
    /// Where it lies; `None` where the code that found the damage was given the bytes without their position.
    pub place: Option<Place>,
    /// What contradicts the specification.
    pub problem: Cow<'static, str>,
}

/// Where a damaged structure lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// Byte offset in what holds the structure: an image file, a disk, a volume; or the file in the volume whose content
    /// the structure is part of (an index, a compressed stream, a hive).
    Byte(u64),
    /// Virtual cluster number in the attribute that holds the structure.
    Vcn(u64),
    /// Number of the MFT record whose file the structure describes.
    Record(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Byte(offset) => write!(f, "at byte {offset:#x}"),
            Self::Vcn(vcn) => write!(f, "at VCN {vcn:#x}"),
            Self::Record(number) => write!(f, "in MFT record {number}"),
        }
    }
}

/// What a caller can choose so that reading goes on. The library names the choice, and a program the option for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Name the parent. The image states no identity of it, so it is recognized in no other way.
    NameParent,
    /// Name the parent or its folder; or read on with another file, or without any parent.
    NameOrForceParent,
    /// Read without what the log has: the disk lacks its last changes.
    SkipLog,
    /// List the files in use that no directory names; they can be read there.
    ListOrphans,
}

impl Error {
    /// What the caller can choose so that reading goes on; empty where there is no choice.
    pub fn remedies(&self) -> &[Remedy] {
        match self {
            Self::MissingParent { remedies, .. } => remedies,
            Self::UnusableLog(_) => &[Remedy::SkipLog],
            _ => &[],
        }
    }

    /// Why: the error itself, or what made the log unusable.
    pub fn cause(&self) -> &Self {
        match self {
            Self::UnusableLog(cause) => cause.cause(),
            error => error,
        }
    }

    /// An I/O error with what was tried.
    pub fn io(context: impl Into<String>, source: io::Error) -> Self {
        Self::Io { context: context.into(), source }
    }

    /// A damaged structure; `place` is a [`Place`], or `None` where it is not known.
    pub fn corrupt(
        structure: impl Into<Cow<'static, str>>,
        place: impl Into<Option<Place>>,
        problem: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::Corrupt(Corrupt { structure: structure.into(), place: place.into(), problem: problem.into() })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_damage_states_the_place_that_is_known() {
        let text = |place: Option<Place>| Error::corrupt("index", place, "too deep").to_string();
        assert_eq!(text(Some(Place::Byte(0))), "damaged index at byte 0x0: too deep");
        assert_eq!(text(Some(Place::Vcn(0x12))), "damaged index at VCN 0x12: too deep");
        assert_eq!(text(Some(Place::Record(5))), "damaged index in MFT record 5: too deep");
        assert_eq!(text(None), "damaged index: too deep");
    }
}
