//! Names with a stream, `FILE:STREAM`, as commands and mounts accept them. The filesystem's own entries come first, as a
//! name in the POSIX namespace may contain colons. Of several colons, the last one that leads to a stream of a file is
//! the separator.

use crate::{
    Result,
    fs::{FileSystem, Name, NodeId, Streams},
};

const COLON: u16 = b':' as u16;
const DOT: u16 = b'.' as u16;
/// The type suffix of named streams, which Windows' long form includes.
const TYPE: &str = ":$DATA";

/// Looks up `name` in `dir`: an entry, or a stream of one; `.:STREAM` is a stream of the directory itself.
///
/// # Errors
/// As [`FileSystem::lookup`].
pub fn lookup(fs: &dyn FileSystem, dir: NodeId, name: Name<'_>) -> Result<Option<NodeId>> {
    if let Some(node) = fs.lookup(dir, name)? {
        return Ok(Some(node));
    }
    for (file, stream) in splits(name.0) {
        let node = if file == [DOT] { Some(dir) } else { fs.lookup(dir, Name(file))? };
        let found = match node {
            Some(node) if stream.is_empty() => Some(node),
            Some(node) => fs.streams().lookup_stream(node, Name(stream))?,
            None => None,
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The ways to split a name into `FILE:STREAM`, the likeliest first. The stream is empty for `FILE::$DATA`, which is the
/// file itself.
pub fn splits(name: &[u16]) -> impl Iterator<Item = (&[u16], &[u16])> {
    let upper = |unit: &u16| u8::try_from(*unit).map_or(*unit, |byte| byte.to_ascii_uppercase().into());
    let cut = name.len().checked_sub(TYPE.len());
    let cut = cut.filter(|cut| name[*cut..].iter().map(upper).eq(TYPE.encode_utf16()));
    let long = cut.into_iter().flat_map(|cut| at_colons(&name[..cut]));
    long.chain(at_colons(name).filter(|(_, stream)| !stream.is_empty()))
}

fn at_colons(name: &[u16]) -> impl Iterator<Item = (&[u16], &[u16])> {
    let colons = (1..name.len()).rev().filter(|at| name[*at] == COLON);
    colons.map(|at| (&name[..at], &name[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ways(name: &str) -> Vec<(String, String)> {
        let units: Vec<u16> = name.encode_utf16().collect();
        let text = |units: &[u16]| String::from_utf16(units).unwrap();
        splits(&units).map(|(file, stream)| (text(file), text(stream))).collect()
    }

    #[test]
    fn the_last_colon_comes_first() {
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(file, stream)| ((*file).to_owned(), (*stream).to_owned())).collect()
        };
        assert_eq!(ways("a.txt:Zone.Identifier"), pairs(&[("a.txt", "Zone.Identifier")]));
        assert_eq!(ways("a:b:c"), pairs(&[("a:b", "c"), ("a", "b:c")]));
        assert_eq!(ways("a:s:$data")[0], ("a".into(), "s".into()));
        assert_eq!(ways("a::$DATA")[0], ("a".into(), String::new()));
        assert_eq!(ways(".:s"), pairs(&[(".", "s")]));
    }

    #[test]
    fn a_name_without_both_parts_has_no_stream() {
        for name in ["", "a", ":", ":s", "a:", ":$DATA"] {
            assert_eq!(ways(name), [], "{name}");
        }
    }
}
