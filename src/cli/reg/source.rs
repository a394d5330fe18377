//! Opens what the command looks at: the Windows on a disk, or a hive with the logs beside it.

use vhdmount::{
    Error,
    container::Container,
    image::{
        Image,
        registry::{Found, FoundKey, HiveFile, Registry},
    },
};

use super::config::Place;
use crate::cli::{Failure, sandbox};

/// What was opened, before this process gives up its other files.
pub(super) enum Opened {
    Disk(Box<Image>),
    Hive(HiveFile),
}

impl Place {
    /// The registry; this process opens no other files then.
    ///
    /// # Errors
    /// When the image or its Windows cannot be opened.
    pub(super) fn registry(&self) -> Result<Registry, Failure> {
        let opened = self.open()?;
        opened.narrow(None);
        self.registry_of(opened)
    }

    pub(super) fn open(&self) -> Result<Opened, Failure> {
        let failure = |error: &Error| self.source.failure(error);
        let options = &self.source.options;
        let hive = HiveFile::open(&self.source.image, &*options.container.host);
        match hive.map_err(|error| failure(&error))? {
            Some(hive) => Ok(Opened::Hive(hive)),
            None => {
                let image = Image::open(&self.source.image, options).map_err(|error| failure(&error))?;
                self.source.warn_of_writers(&image);
                Ok(Opened::Disk(Box::new(image)))
            }
        }
    }

    pub(super) fn registry_of(&self, opened: Opened) -> Result<Registry, Failure> {
        let source = &self.source;
        let registry = match opened {
            Opened::Hive(hive) => Registry::of_hive(&source.image, hive, self.prefix.as_deref()),
            Opened::Disk(image) if self.prefix.is_none() => image.registry(source.partition),
            Opened::Disk(_) => {
                return Err(Failure::usage(
                    "--prefix names the root of a hive that is a file of its own; this is a disk",
                ));
            }
        };
        registry.map_err(|error| source.failure(&error))
    }
}

impl Opened {
    /// Leaves to this process the files of what it has opened.
    pub(super) fn narrow(&self, other: Option<&Self>) {
        sandbox::narrow(std::iter::once(self).chain(other).filter_map(Self::container));
    }

    fn container(&self) -> Option<&Container> {
        match self {
            Self::Disk(image) => Some(image.container()),
            Self::Hive(_) => None,
        }
    }
}

/// What a name leads to.
pub(super) fn find(registry: &Registry, key: &str) -> Result<Found, Failure> {
    registry.find(key).map_err(Failure::inside_text)
}

/// A key of a hive.
pub(super) fn find_key(registry: &Registry, key: &str) -> Result<FoundKey, Failure> {
    match find(registry, key)? {
        Found::Key(found) => Ok(found),
        Found::Names { name, below } => Err(Failure::inside_text(format_args!(
            "{name} is above the hives: name one of them, {}",
            below.join(", ")
        ))),
    }
}
