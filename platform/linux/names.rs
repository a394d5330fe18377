//! A name from the kernel to a node: the filesystem's own entries first, then `FILE:STREAM`.

use vhdmount::{
    Result,
    fs::{FileSystem, Name, NameBuf, NodeId},
};

const COLON: u16 = 0x3a;
const DOT: u16 = 0x2e;

/// The node that `text` names in `dir`. Case is the filesystem's affair: Windows' ones prefer an exact match.
pub(super) fn lookup(fs: &dyn FileSystem, dir: NodeId, text: &[u8]) -> Result<Option<NodeId>> {
    match text {
        // Only asked for when the mount is exported over NFS.
        b"." => return Ok(Some(dir)),
        b".." => return fs.parent(dir).map(Some),
        _ => {}
    }
    let Some(name) = NameBuf::from_text(text) else { return Ok(None) };
    if let Some(node) = fs.lookup(dir, name.as_name())? {
        return Ok(Some(node));
    }
    let Some((file, stream)) = split_stream(&name.0) else { return Ok(None) };
    let node = if file == [DOT] { Some(dir) } else { fs.lookup(dir, Name(file))? };
    match node {
        Some(node) if stream.is_empty() => Ok(Some(node)),
        Some(node) => fs.lookup_stream(node, Name(stream)),
        None => Ok(None),
    }
}

/// `FILE:STREAM` and Windows' long form `FILE:STREAM:$DATA`, in which the stream may be empty: the file itself. A
/// stream's name has no colon, a file's (of the POSIX namespace) may have.
fn split_stream(name: &[u16]) -> Option<(&[u16], &[u16])> {
    let tail: Vec<u16> = ":$DATA".encode_utf16().collect();
    let split = |name: &'_ [u16]| name.iter().rposition(|unit| *unit == COLON);
    let cut = name.len().checked_sub(tail.len());
    let long = cut.filter(|cut| equal_ignoring_ascii_case(&name[*cut..], &tail));
    if let Some(cut) = long
        && let Some(colon) = split(&name[..cut]).filter(|colon| *colon > 0)
    {
        return Some((&name[..colon], &name[colon + 1..cut]));
    }
    let colon = split(name).filter(|colon| *colon > 0 && colon + 1 < name.len())?;
    Some((&name[..colon], &name[colon + 1..]))
}

fn equal_ignoring_ascii_case(a: &[u16], b: &[u16]) -> bool {
    let upper = |unit: &u16| u8::try_from(*unit).map_or(*unit, |byte| byte.to_ascii_uppercase().into());
    a.iter().map(upper).eq(b.iter().map(upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(name: &str) -> Option<(String, String)> {
        let units: Vec<u16> = name.encode_utf16().collect();
        let text = |units: &[u16]| String::from_utf16(units).unwrap();
        split_stream(&units).map(|(file, stream)| (text(file), text(stream)))
    }

    #[test]
    fn streams_are_split_at_the_last_colon() {
        let pair = |file: &str, stream: &str| Some((file.to_owned(), stream.to_owned()));
        assert_eq!(split("a.txt:Zone.Identifier"), pair("a.txt", "Zone.Identifier"));
        assert_eq!(split("a:b:c"), pair("a:b", "c"));
        assert_eq!(split("a.txt:s:$data"), pair("a.txt", "s"));
        assert_eq!(split("a.txt::$DATA"), pair("a.txt", ""));
        assert_eq!(split(".:s"), pair(".", "s"));
    }

    #[test]
    fn a_name_without_both_parts_has_no_stream() {
        for name in ["", "a", ":", ":s", "a:", ":$DATA"] {
            assert_eq!(split(name), None, "{name}");
        }
    }
}
