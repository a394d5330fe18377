//! What lies below a differencing image that is written, and which image it is.

use std::sync::Arc;

use crate::{
    Error, Result,
    bytes::{Backing, ByteSource, MemorySource},
    container::{
        Container, Format, OpenOptions,
        fingerprint::Fingerprint,
        image::{Identity, Image},
    },
};

/// The disk below an image.
#[derive(Clone)]
pub struct Below {
    pub(super) bytes: Arc<dyn ByteSource>,
    /// `None`: whatever the image says of its parent.
    identity: Option<Identity>,
}

impl Below {
    /// The disk of an open chain, whose first image is the parent.
    pub fn of(parent: &Container) -> Self {
        let identity =
            parent.infos().next().map_or(Identity::None, |info| match (info.format, info.data_id) {
                (Format::Vhd, Some(id)) => Identity::Vhd(id),
                (Format::Vhdx, Some(id)) => Identity::Vhdx(id),
                _ => Identity::None,
            });
        Self::new(parent.disk.clone(), identity)
    }

    pub(in crate::container) fn new(bytes: Arc<dyn ByteSource>, identity: Identity) -> Self {
        Self { bytes, identity: Some(identity) }
    }

    /// Nothing: for what changes an image without a look at the disk below it.
    pub(in crate::container) fn nothing() -> Self {
        Self { bytes: Arc::new(MemorySource(Vec::new())), identity: None }
    }

    /// Bytes without an identity, which fit any child.
    #[cfg(any(test, feature = "testing"))]
    pub fn unverified(bytes: Arc<dyn ByteSource>) -> Self {
        Self { bytes, identity: None }
    }

    /// Refuses a parent that is another one than the image names, by its first linkage or its second.
    ///
    /// # Errors
    /// [`Error::Invalid`] for another one; as opening the image.
    pub(super) fn verify(&self, top: &Arc<dyn Backing>) -> Result<()> {
        let Some(mut identity) = self.identity else { return Ok(()) };
        let source: Arc<dyn ByteSource> = top.clone();
        let image = Image::from_source(source, "", &OpenOptions::default())?;
        let Some(linkage) = image.linkage else {
            return Err(Error::invalid("a parent is given for an image that has none"));
        };
        if linkage.is_raw() && identity == Identity::None {
            identity = Identity::Raw(Fingerprint::of(&*self.bytes));
        }
        if linkage.is_anonymous() {
            return Err(Error::unsupported(
                "the image names no identity of its parent, so that nothing shows whether this is the one: it is only read",
            ));
        }
        match linkage.accepts(identity) {
            true => Ok(()),
            false => {
                let named: Vec<_> = linkage.identities.iter().map(|identity| identity.text()).collect();
                let text =
                    format!("the parent is {}, the image names {}", identity.text(), named.join(" or "));
                Err(Error::invalid(text))
            }
        }
    }
}
