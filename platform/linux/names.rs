//! A name from the kernel to a node: the filesystem's own entries first, then `FILE:STREAM`.

use vhdmount::{
    Result,
    fs::{NameBuf, NodeId},
    tree::{Namespace, stream},
};

/// The node that `text` names in `dir`. Case is the filesystem's affair: Windows' ones prefer an exact match.
pub(super) fn lookup(fs: &dyn Namespace, dir: NodeId, text: &[u8]) -> Result<Option<NodeId>> {
    match text {
        // Only asked for when the mount is exported over NFS.
        b"." => return Ok(Some(dir)),
        b".." => return fs.parent(dir).map(Some),
        _ => {}
    }
    let Some(name) = NameBuf::from_text(text) else { return Ok(None) };
    stream::lookup(fs, dir, name.as_name())
}
