//! Resolves a name from the kernel to a node: the filesystem's own entries first, then `FILE:STREAM`.

use vhdmount::{
    Result,
    fs::{NameBuf, NodeId},
    tree::{Namespace, stream},
};

/// Looks up `text` in `dir`. The filesystem decides about case: those of Windows prefer an exact match.
pub(super) fn lookup(fs: &dyn Namespace, dir: NodeId, text: &[u8]) -> Result<Option<NodeId>> {
    match text {
        // The kernel looks up `.` only when the mount is exported over NFS.
        b"." => return Ok(Some(dir)),
        b".." => return fs.parent(dir).map(Some),
        _ => {}
    }
    let Some(name) = NameBuf::from_text(text) else { return Ok(None) };
    stream::lookup(fs, dir, name.as_name())
}
