//! What the directory entries of a file repeat of its record.

use crate::fs::ntfs::attributes::{
    Attribute, FLAG_COMPRESSION_MASK, FLAG_SPARSE, Form, code,
    file_name::{FileName, Namespace},
};

/// The values in a file's own record that directory entries repeat.
#[derive(Default)]
pub(super) struct Repeated {
    /// Number of names without those of DOS, which belong to another name.
    pub(super) names: u32,
    /// Length and allocated size of the content: `None` if it is resident or has holes, for which drivers state different
    /// sizes.
    pub(super) sizes: Option<(u64, Option<u64>)>,
}

impl Repeated {
    pub(super) fn note(&mut self, attribute: &Attribute<'_>) {
        match (attribute.type_code, &attribute.form) {
            (code::FILE_NAME, Form::Resident(value)) => {
                let is_short = FileName::parse(value).is_ok_and(|name| name.namespace() == Namespace::Dos);
                self.names += u32::from(!is_short);
            }
            (code::DATA, form) if attribute.name.is_empty() => {
                let whole = attribute.flags & (FLAG_SPARSE | FLAG_COMPRESSION_MASK) == 0;
                let allocated = match form {
                    Form::NonResident(_) if whole => Some(attribute.allocated()),
                    _ => None,
                };
                self.sizes = Some((attribute.size(), allocated));
            }
            _ => {}
        }
    }
}
