//! Extended attributes: those of the filesystem, and named streams as `user.NAME` where the options ask for that.

use fuser::Errno;
use vhdmount::{
    Result,
    bytes::read_vec,
    fs::{NameBuf, NodeId, Streams as _, Xattrs},
    tree::Namespace,
};

use super::Streams;

/// Linux's limit in bytes for a value (XATTR_SIZE_MAX) and for a list of names (XATTR_LIST_MAX). A longer stream is read
/// as the file `NAME:STREAM`.
pub(super) const MAX_LEN: usize = 64 << 10;

const STREAM_PREFIX: &[u8] = b"user.";

/// The result of a request for an attribute.
pub(super) enum XattrReply {
    /// The value, or for a request of the length alone any bytes of that length.
    Value(Vec<u8>),
    /// No attribute of this name.
    Absent,
    /// A namespace that images do not use.
    Unsupported,
    /// The value exceeds Linux's limit.
    TooLong,
}

/// The value of the attribute `name`.
pub(super) fn get(fs: &dyn Namespace, streams: Streams, node: NodeId, name: &[u8]) -> Result<XattrReply> {
    // Every `ls -l` and every exec requests these: answered without disk access.
    if name.starts_with(b"security.") || name.starts_with(b"trusted.") {
        return Ok(XattrReply::Absent);
    }
    if name.starts_with(b"system.posix_acl_") {
        return Ok(XattrReply::Unsupported);
    }
    let own = std::str::from_utf8(name).ok().map(|name| fs.xattrs().xattr(node, name)).transpose()?.flatten();
    if let Some(value) = own {
        return Ok(if value.len() > MAX_LEN { XattrReply::TooLong } else { XattrReply::Value(value) });
    }
    let Some(stream) = name.strip_prefix(STREAM_PREFIX).filter(|_| streams == Streams::Xattr) else {
        return Ok(XattrReply::Absent);
    };
    let Some(stream) = NameBuf::from_text(stream).filter(|stream| !stream.0.is_empty()) else {
        return Ok(XattrReply::Absent);
    };
    let Some(stream) = fs.streams().lookup_stream(node, stream.as_name())? else {
        return Ok(XattrReply::Absent);
    };
    let source = fs.open(stream)?;
    match usize::try_from(source.size()) {
        Ok(len) if len <= MAX_LEN => Ok(XattrReply::Value(read_vec(&*source, 0, len)?)),
        _ => Ok(XattrReply::TooLong),
    }
}

/// The names of all attributes, each terminated by NUL. Streams too long for a value are listed too: an error on reading
/// one is better than a copy that silently lacks it.
pub(super) fn list(fs: &dyn Namespace, streams: Streams, node: NodeId) -> Result<Vec<u8>> {
    let mut names = Vec::new();
    for name in fs.xattrs().xattr_names(node)? {
        names.extend_from_slice(name.as_bytes());
        names.push(0);
    }
    if streams == Streams::Xattr {
        for stream in fs.streams().list_streams(node)? {
            names.extend_from_slice(STREAM_PREFIX);
            stream.name.as_name().push_text(&mut names);
            names.push(0);
        }
    }
    Ok(names)
}

/// Replies by the size protocol: 0 requests the length, too small a buffer gets ERANGE.
pub(super) fn reply(reply: fuser::ReplyXattr, size: u32, value: &[u8]) {
    match u32::try_from(value.len()) {
        Ok(len) if value.len() <= MAX_LEN => match size {
            0 => reply.size(len),
            _ if len > size => reply.error(Errno::ERANGE),
            _ => reply.data(value),
        },
        _ => reply.error(Errno::E2BIG),
    }
}
