//! A node's information, extended attributes and security descriptor, in the forms that Windows takes.

use vhdmount::{
    Result,
    fs::{NodeId, Xattrs},
    tree::Namespace,
};

use super::{
    ea,
    info::Info,
    reparse,
    security::{READABLE_BY_ALL, is_sound},
};

/// Names of the extended attributes that hold the stored chain and descriptor.
const EA: &str = "system.ntfs_ea";
const DESCRIPTOR: &str = "system.ntfs_acl";

/// The information of a file, directory or link.
pub(super) fn info(fs: &dyn Namespace, node: NodeId) -> Result<Info> {
    let stat = fs.stat(node)?;
    // Damaged reparse data does not hide the file; requests for the data itself fail.
    let point = reparse::of(fs, node, &stat).unwrap_or_default();
    let ea = extended_attributes(fs, node).unwrap_or_default();
    Ok(Info::of(&stat, point.map_or(0, |point| point.tag), node.0, ea.packed_size))
}

/// The extended attributes; empty when there are none.
pub(super) fn extended_attributes(fs: &dyn Namespace, node: NodeId) -> Result<ea::Chain> {
    Ok(fs.xattrs().xattr(node, EA)?.map(|stored| ea::repack(&stored)).unwrap_or_default())
}

/// The volume's security descriptor; where it has none, one that lets everybody read.
///
/// # Errors
/// When the stored descriptor cannot be read.
pub(super) fn descriptor(fs: &dyn Namespace, node: NodeId) -> Result<Vec<u8>> {
    let stored = fs.xattrs().xattr(node, DESCRIPTOR)?.filter(|stored| !stored.is_empty());
    match stored {
        Some(stored) if is_sound(&stored) => Ok(stored),
        Some(_) => Err(vhdmount::Error::corrupt("security descriptor", None, "parts of it lie outside")),
        None => Ok(READABLE_BY_ALL.to_vec()),
    }
}
