//! One image of a chain: its layer, its identity, and the parent that it names.

use std::{path::Path, path::PathBuf, sync::Arc};

use super::{
    Layer,
    detect::{Detected, detect},
    fingerprint::Fingerprint,
    options::OpenOptions,
    raw, redo, split, vhd, vhdx,
};
use crate::{
    Result,
    bytes::{ByteSource, FileSource},
    guid::Guid,
};

/// An opened image, not yet joined with its parent.
pub(super) struct Image {
    pub(super) layer: Arc<dyn Layer>,
    pub(super) file: Option<Arc<FileSource>>,
    /// The files of a split image, in order; `file` is `None` then.
    pub(super) pieces: Vec<Arc<FileSource>>,
    /// Empty for a source that is not a file of the host.
    pub(super) path: PathBuf,
    pub(super) identity: Identity,
    /// Of a differencing image.
    pub(super) linkage: Option<Linkage>,
    /// A redo file beside it has changes that are not in it yet; they are laid over it here.
    pub(super) redo_pending: bool,
}

/// What a child's linkage names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    /// VHD: unique id.
    Vhd(Guid),
    /// VHDX: DataWriteGuid.
    Vhdx(Guid),
    /// Raw: what a child states of it. [`Image::identify`] finds it, as it costs reads.
    Raw(Fingerprint),
    /// Raw images have none.
    None,
}

impl Identity {
    /// What an image file says of itself, without opening it as a disk; `None` for what is no VHD or VHDX.
    pub(super) fn read(source: &dyn ByteSource) -> Result<Option<Self>> {
        let mut head = [0; 8];
        if source.size() < 512 {
            return Ok(None);
        }
        // A bad sector in front, or a lost signature, leaves a VHDX its headers.
        let signed = source.read_exact_at(0, &mut head).is_ok() && vhdx::detect(&head);
        Ok(match signed || vhdx::detect_damaged(source) {
            true => Some(Self::Vhdx(vhdx::data_write_guid(source)?)),
            false => vhd::unique_id(source).map(Self::Vhd),
        })
    }

    /// True for an identity that identifies nothing.
    pub(super) fn is_zero(self) -> bool {
        matches!(self, Self::Vhd(id) | Self::Vhdx(id) if id.is_zero())
    }

    /// True for what a VHD or VHDX says of itself.
    pub(super) fn is_of_file(self) -> bool {
        matches!(self, Self::Vhd(_) | Self::Vhdx(_))
    }

    pub(super) fn text(self) -> String {
        match self {
            Self::Vhd(id) => format!("VHD {id}"),
            Self::Vhdx(id) => format!("VHDX {id}"),
            Self::Raw(print) => {
                format!("raw image of {} bytes, fingerprint {}", print.size, &print.text()[..16])
            }
            Self::None => "a raw image".to_owned(),
        }
    }
}

/// What a differencing image says of its parent.
#[derive(Debug, Default)]
pub(super) struct Linkage {
    /// Any of these will do.
    pub(super) identities: Vec<Identity>,
    /// Paths from the child's folder on, in the image's words.
    pub(super) relative: Vec<String>,
    /// Paths of another machine, of which only the last part means something here.
    pub(super) absolute: Vec<String>,
    /// The parent file's modification time when the child was made, in seconds since 2000-01-01 UTC; VHD alone.
    pub(super) time_stamp: Option<u32>,
    /// The same in nanoseconds since 1970, of a raw image.
    pub(super) raw_time: Option<u64>,
}

impl Image {
    pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<Self> {
        let split::Opened { source, files } = split::open(path, &*options.host)?;
        match files.len() {
            1 => Self::with_redo(source, files, path, options),
            _ => Self::of_files(source, files, path, options),
        }
    }

    /// As [`Self::of_file`], with what a redo file beside it has.
    pub(super) fn of_file_with_redo(
        file: Arc<FileSource>,
        path: &Path,
        options: &OpenOptions,
    ) -> Result<Self> {
        Self::with_redo(file.clone(), vec![file], path, options)
    }

    fn with_redo(
        source: Arc<dyn ByteSource>,
        files: Vec<Arc<FileSource>>,
        path: &Path,
        options: &OpenOptions,
    ) -> Result<Self> {
        match redo::over_beside(&source, path)? {
            Some(over) => {
                let image = Self::of_files(over, files, path, options)?;
                Ok(Self { redo_pending: true, ..image })
            }
            None => Self::of_files(source, files, path, options),
        }
    }

    /// An image in a file that is open already.
    pub(super) fn of_file(file: Arc<FileSource>, path: &Path, options: &OpenOptions) -> Result<Self> {
        Self::of_files(file.clone(), vec![file], path, options)
    }

    /// Finds the identity of a raw image, where a child of it asks for that.
    pub(super) fn identify(&mut self, linkage: &Linkage) {
        if linkage.is_raw() && self.identity == Identity::None {
            self.identity = Identity::Raw(Fingerprint::of(&**self.layer.source()));
        }
    }

    fn of_files(
        source: Arc<dyn ByteSource>,
        files: Vec<Arc<FileSource>>,
        path: &Path,
        options: &OpenOptions,
    ) -> Result<Self> {
        let sectors = files.first().and_then(|file| file.sector_sizes());
        let mut image = Self::read(source, &path.display().to_string(), sectors, options)?;
        match <[_; 1]>::try_from(files) {
            Ok([file]) => image.file = Some(file),
            Err(pieces) => image.pieces = pieces,
        }
        path.clone_into(&mut image.path);
        Ok(image)
    }

    pub(super) fn from_source(
        source: Arc<dyn ByteSource>,
        path: &str,
        options: &OpenOptions,
    ) -> Result<Self> {
        Self::read(source, path, None, options)
    }

    /// `sectors`: as [`raw::open`] wants them.
    fn read(
        source: Arc<dyn ByteSource>,
        path: &str,
        sectors: Option<(u32, u32)>,
        options: &OpenOptions,
    ) -> Result<Self> {
        let shown = if path.is_empty() { "image" } else { path };
        let (layer, identity, linkage): (Arc<dyn Layer>, _, _) = match detect(&*source, shown)? {
            Detected::Raw => (Arc::new(raw::open(source, path, sectors)), Identity::None, None),
            Detected::Vhd => {
                let image = vhd::open(source, path)?;
                let linkage = image.parent().map(Linkage::of_vhd);
                let identity = Identity::Vhd(image.unique_id());
                (Arc::new(image), identity, linkage)
            }
            Detected::Vhdx => {
                let image = vhdx::open(source, path, &vhdx::OpenOptions { replay: options.replay })?;
                let linkage = image.parent().map(Linkage::of_vhdx);
                let identity = Identity::Vhdx(image.data_write_guid());
                (Arc::new(image), identity, linkage)
            }
        };
        Ok(Self {
            layer,
            file: None,
            pieces: Vec::new(),
            path: PathBuf::new(),
            identity,
            linkage,
            redo_pending: false,
        })
    }
}

impl Linkage {
    fn of_vhd(parent: &vhd::ParentLocators) -> Self {
        // XenServer's URLs are relative (`file://./parent.vhd`), those of Macintoshes are not.
        let url = parent.url.as_deref().map(|url| url.strip_prefix("file://").unwrap_or(url).to_owned());
        let (near, far): (Vec<_>, Vec<_>) = url.into_iter().partition(|url| url.starts_with("./"));
        let texts = |texts: [&Option<String>; 2]| texts.into_iter().flatten().cloned().collect::<Vec<_>>();
        Self {
            identities: vec![Identity::Vhd(parent.parent_unique_id)],
            relative: parent.relative.iter().cloned().chain(near).collect(),
            absolute: texts([&parent.absolute, &parent.unicode_name]).into_iter().chain(far).collect(),
            time_stamp: Some(parent.parent_time_stamp).filter(|stamp| *stamp != 0),
            raw_time: None,
        }
    }

    fn of_vhdx(parent: &vhdx::ParentLocator) -> Self {
        let second = parent.parent_linkage2.filter(|id| !id.is_zero());
        let absolute = [&parent.absolute_win32_path, &parent.volume_path];
        let first = match &parent.raw {
            Some(raw) => Identity::Raw(raw.fingerprint),
            None => Identity::Vhdx(parent.parent_linkage),
        };
        Self {
            identities: std::iter::once(first).chain(second.map(Identity::Vhdx)).collect(),
            relative: parent.relative_path.iter().cloned().collect(),
            absolute: absolute.into_iter().flatten().cloned().collect(),
            time_stamp: None,
            raw_time: parent.raw.map(|raw| raw.time).filter(|time| *time != 0),
        }
    }

    /// True when the image names no identity: zeros, as XenServer writes for a raw parent.
    pub(super) fn is_anonymous(&self) -> bool {
        self.identities.iter().all(|identity| identity.is_zero())
    }

    /// True when the parent is a raw image.
    pub(super) fn is_raw(&self) -> bool {
        self.identities.iter().any(|identity| matches!(identity, Identity::Raw(_)))
    }

    /// True when `identity` is the parent's.
    pub(super) fn accepts(&self, identity: Identity) -> bool {
        self.identities.contains(&identity)
    }
}
