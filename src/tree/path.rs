//! Resolves paths inside a tree, for the commands that need no mount: `ls`, `cat`. Links are followed as the kernel
//! would.

use super::{Namespace, stream};
use crate::{
    Error, Result,
    fs::{NameBuf, NodeId, NodeKind},
};

/// Most links followed in a path; Linux fails with ELOOP beyond it.
const MAX_LINKS: u32 = 40;

/// Resolves paths in any namespace.
pub struct Resolver<'a> {
    fs: &'a dyn Namespace,
}

/// The result of resolving a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolved {
    /// The node of the path.
    pub node: NodeId,
    /// The directory in which it was found.
    pub parent: NodeId,
}

impl<'a> Resolver<'a> {
    /// A resolver for paths of this namespace.
    pub fn new(fs: &'a dyn Namespace) -> Self {
        Self { fs }
    }

    /// Resolves `path`, separated by `/`, from the root. The last component may be `file:stream`. A link at the end is
    /// followed if `follow`.
    ///
    /// # Errors
    /// [`Error::NotFound`] with the component that does not exist.
    pub fn resolve(&self, path: &[u8], follow: bool) -> Result<Resolved> {
        let mut links = 0;
        // The directories passed so far, so that `..` is exact, and the components left, last first.
        let mut trail = vec![self.fs.root()];
        let mut node = self.fs.root();
        let mut todo: Vec<Vec<u8>> = parts(path).rev().map(<[u8]>::to_vec).collect();
        while let Some(part) = todo.pop() {
            match &part[..] {
                b"." => continue,
                b".." => {
                    if trail.len() > 1 {
                        trail.pop();
                    }
                    node = *trail.last().expect("the root stays");
                    continue;
                }
                _ => {}
            }
            let dir = node;
            let found = self.step(dir, &part)?.ok_or_else(|| {
                let (part, path) = (String::from_utf8_lossy(&part), String::from_utf8_lossy(path));
                Error::not_found(format!("{path}: there is no {part:?}"))
            })?;
            let kind = self.fs.stat(found)?.kind;
            if kind == NodeKind::Symlink && (follow || !todo.is_empty()) {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Error::invalid("too many links on the way (a loop?)"));
                }
                let target = self.fs.read_link_text(found)?;
                if target.starts_with(b"/") {
                    let target = String::from_utf8_lossy(&target);
                    return Err(Error::not_found(format!(
                        "a link on the way leads out of the image: {target}"
                    )));
                }
                todo.extend(parts(&target).rev().map(<[u8]>::to_vec));
                continue;
            }
            node = found;
            if kind == NodeKind::Directory {
                trail.push(node);
            } else if todo.is_empty() {
                return Ok(Resolved { node, parent: dir });
            }
        }
        let parent = trail.len().checked_sub(2).map_or(self.fs.root(), |i| trail[i]);
        Ok(Resolved { node, parent })
    }

    /// Looks up one component: an entry, or a stream of one.
    fn step(&self, dir: NodeId, part: &[u8]) -> Result<Option<NodeId>> {
        let Some(name) = NameBuf::from_text(part) else { return Ok(None) };
        stream::lookup(self.fs, dir, name.as_name())
    }
}

fn parts(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty())
}
