//! Resolves Windows paths to nodes: `\p3\Windows\win.ini`, `\p3\file:stream`. The filesystem decides about case; an exact
//! match wins.

use vhdmount::{
    Error,
    fs::{Name, NodeId, NodeKind, Streams},
    tree::Namespace,
};

use super::status::{Refusal, Status};

const SEPARATOR: u16 = b'\\' as u16;
const COLON: u16 = b':' as u16;

/// The node that a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The file or directory.
    pub(super) file: NodeId,
    /// One of its named streams.
    pub(super) stream: Option<NodeId>,
    /// The directory in which it was found; the root is its own parent.
    pub(super) parent: NodeId,
}

/// The result of following a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PathEnd {
    Place(Place),
    /// The path continues after a link, whose name begins at this UTF-16 unit.
    Link(usize),
}

/// Follows `path` from the root. Checks for a link on the way only after a failed lookup: names below a link are never
/// found in the link itself.
pub(super) fn walk(fs: &dyn Namespace, path: &[u16]) -> Result<PathEnd, Refusal> {
    let mut place = Place { file: fs.root(), stream: None, parent: fs.root() };
    let mut start_of_dir = 0;
    let mut parts = parts(path).peekable();
    while let Some((start, part)) = parts.next() {
        let last = parts.peek().is_none();
        let (name, stream) = if last { split_stream(part) } else { (part, None) };
        let dir = place.file;
        // `\:stream` is a stream of the root.
        let found = if name.is_empty() { Some(dir) } else { lookup(fs, dir, name)? };
        let Some(found) = found else {
            return match fs.stat(dir)?.kind {
                NodeKind::Symlink => Ok(PathEnd::Link(start_of_dir)),
                NodeKind::Directory if last => Err(Status::OBJECT_NAME_NOT_FOUND.into()),
                _ => Err(Status::OBJECT_PATH_NOT_FOUND.into()),
            };
        };
        let stream = match stream {
            Some(stream) => {
                let found = fs.streams().lookup_stream(found, Name(stream))?;
                Some(found.ok_or(Status::OBJECT_NAME_NOT_FOUND)?)
            }
            None => None,
        };
        place = Place { file: found, stream, parent: dir };
        start_of_dir = start;
    }
    Ok(PathEnd::Place(place))
}

/// Looks up a name in `dir`; `None` also where `dir` is not a directory.
pub(super) fn lookup(fs: &dyn Namespace, dir: NodeId, name: &[u16]) -> Result<Option<NodeId>, Refusal> {
    match fs.lookup(dir, Name(name)) {
        Err(Error::Invalid(_)) => Ok(None),
        other => Ok(other?),
    }
}

/// The components of a path, each with the unit at which it begins.
fn parts(path: &[u16]) -> impl Iterator<Item = (usize, &[u16])> {
    let mut start = 0;
    path.split(|unit| *unit == SEPARATOR)
        .map(move |part| {
            let at = start;
            start += part.len() + 1;
            (at, part)
        })
        .filter(|(_, part)| !part.is_empty())
}

/// Splits `FILE:STREAM` and `FILE:STREAM:$DATA`; an empty stream name means the file itself.
fn split_stream(part: &[u16]) -> (&[u16], Option<&[u16]>) {
    if let Some((file, stream)) = vhdmount::tree::stream::splits(part).next() {
        return (file, Some(stream).filter(|stream| !stream.is_empty()));
    }
    // The file or the stream has no name.
    match part.iter().position(|unit| *unit == COLON) {
        Some(colon) => (&part[..colon], Some(&part[colon + 1..]).filter(|stream| !stream.is_empty())),
        None => (part, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    #[test]
    fn streams_and_their_type_are_split_off() {
        for (part, file, stream) in [
            ("a.txt", "a.txt", None),
            ("a.txt:s", "a.txt", Some("s")),
            ("a.txt:s:$DATA", "a.txt", Some("s")),
            ("a.txt::$DATA", "a.txt", None),
            ("a.txt:", "a.txt", None),
            (":s", "", Some("s")),
        ] {
            let part = units(part);
            let (found, found_stream) = split_stream(&part);
            assert_eq!((found, found_stream), (&units(file)[..], stream.map(units).as_deref()), "{part:?}");
        }
    }

    #[test]
    fn parts_know_where_they_begin() {
        let path = units(r"\ab\\c");
        let found: Vec<_> = parts(&path).map(|(at, part)| (at, part.len())).collect();
        assert_eq!(found, [(1, 2), (5, 1)]);
        assert_eq!(parts(&units(r"\")).count(), 0);
    }
}
