//! Windows link targets as paths that a POSIX kernel can follow: always relative, never out of the mount.
//!
//! `C:\…` and `\??\C:\…` mean the volume that holds the link (offline there are no drive letters), or the only other
//! volume where the path exists; `Volume{GUID}` means the partition of that GUID. What cannot be resolved keeps its
//! Windows text, so that a person still sees what was meant.

use super::Tree;
use crate::fs::{LinkTarget, Name, NodeId};

/// Deeper than any path that Windows can form (32,767 units).
const MAX_DEPTH: usize = 16_384;
const BACKSLASH: u16 = b'\\' as u16;
const SLASH: u16 = b'/' as u16;
const DOT: u16 = b'.' as u16;

/// A Windows target, taken apart.
enum Target<'a> {
    /// From the link's directory.
    Relative(&'a [u16]),
    /// From the root of the link's own volume: `\Users`.
    Rooted(&'a [u16]),
    /// From the root of a drive: `C:\Users`.
    Drive(&'a [u16]),
    /// From the root of the partition with this GUID.
    Volume(String, &'a [u16]),
    /// A network path, a device, …
    Elsewhere,
}

impl Tree {
    /// The text of the link `node` in `volume`.
    pub(super) fn link_text(&self, volume: usize, node: NodeId, target: &LinkTarget) -> Vec<u8> {
        let LinkTarget::Windows { path, relative, .. } = target else { return target.to_text() };
        self.resolve_target(volume, node, parse(&path.0, *relative)).unwrap_or_else(|| target.to_text())
    }

    fn resolve_target(&self, volume: usize, node: NodeId, target: Target<'_>) -> Option<Vec<u8>> {
        let depth = self.depth(volume, node)?;
        match target {
            Target::Relative(path) => Some(clamp(parts(path), depth)),
            Target::Rooted(path) => Some(self.from(volume, depth, volume, self.walk(volume, path)?)),
            Target::Drive(path) => {
                if let Some(found) = self.walk(volume, path) {
                    return Some(self.from(volume, depth, volume, found));
                }
                let others = (0..self.volumes.len()).filter(|other| *other != volume && self.only.is_none());
                let mut found = others.filter_map(|other| Some((other, self.walk(other, path)?)));
                let (other, text) = found.next()?;
                // Two candidates are none: a guess would be worse than the Windows text.
                found.next().is_none().then(|| self.from(volume, depth, other, text))
            }
            Target::Volume(id, path) => {
                let other = self.volumes.iter().position(|volume| volume.partition_id == id)?;
                if other != volume && self.only.is_some() {
                    return None;
                }
                Some(self.from(volume, depth, other, self.walk(other, path)?))
            }
            Target::Elsewhere => None,
        }
    }

    /// The relative path from a directory `depth` below the root of `volume` to `text` below the root of `other`.
    fn from(&self, volume: usize, depth: usize, other: usize, text: Vec<Vec<u8>>) -> Vec<u8> {
        let mut out = vec![b"..".to_vec(); depth];
        if other != volume {
            out.push(b"..".to_vec());
            out.push(self.volumes[other].name.clone().into_bytes());
        }
        out.extend(text);
        if out.is_empty() { b".".to_vec() } else { out.join(&b'/') }
    }

    /// How many directories lie between the volume's root and `node`.
    fn depth(&self, volume: usize, node: NodeId) -> Option<usize> {
        let fs = &*self.volumes[volume].fs;
        let mut at = node;
        for depth in 0..MAX_DEPTH {
            at = fs.parent(at).ok()?;
            if at == fs.root() {
                return Some(depth);
            }
        }
        // A circle of directories.
        None
    }

    /// The parts of an absolute path, if all of it exists. Case need not be right: look-ups through the mount do not
    /// care either.
    fn walk(&self, volume: usize, path: &[u16]) -> Option<Vec<Vec<u8>>> {
        let fs = &*self.volumes[volume].fs;
        let (mut dir, mut out) = (fs.root(), Vec::new());
        for part in parts(path) {
            dir = fs.lookup(dir, Name(part)).ok()??;
            out.push(Name(part).to_text());
        }
        Some(out)
    }
}

/// A relative path whose `..` stop at the volume's root, as Windows has it: `depth` directories up at most.
fn clamp<'a>(parts: impl Iterator<Item = &'a [u16]>, mut depth: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        if part == [DOT, DOT] {
            let Some(up) = depth.checked_sub(1) else { continue };
            depth = up;
        } else {
            depth += 1;
        }
        out.push(Name(part).to_link_part());
    }
    if out.is_empty() { b".".to_vec() } else { out.join(&b'/') }
}

fn parts(path: &[u16]) -> impl Iterator<Item = &[u16]> {
    // No Windows name can hold `/`, so there it can only be meant as a separator.
    path.split(|unit| *unit == BACKSLASH || *unit == SLASH).filter(|part| !part.is_empty() && *part != [DOT])
}

fn parse(path: &[u16], relative: bool) -> Target<'_> {
    if relative {
        return if path.first() == Some(&BACKSLASH) { Target::Rooted(path) } else { Target::Relative(path) };
    }
    let device = [r"\??\", r"\\?\", r"\\.\"];
    let rest = device.iter().find_map(|prefix| strip(path, prefix)).unwrap_or(path);
    if let [letter, colon, rest @ ..] = rest
        && *colon == u16::from(b':')
        && u8::try_from(*letter).is_ok_and(|letter| letter.is_ascii_alphabetic())
    {
        return Target::Drive(rest);
    }
    if let Some(rest) = strip(rest, "Volume{") {
        let Some(end) = rest.iter().position(|unit| *unit == u16::from(b'}')) else {
            return Target::Elsewhere;
        };
        return Target::Volume(String::from_utf16_lossy(&rest[..end]).to_ascii_lowercase(), &rest[end + 1..]);
    }
    Target::Elsewhere
}

/// `path` without `prefix`, compared as Windows compares ASCII.
fn strip<'a>(path: &'a [u16], prefix: &str) -> Option<&'a [u16]> {
    let (head, rest) = path.split_at_checked(prefix.len())?;
    let same = |unit: u16, byte: u8| u8::try_from(unit).is_ok_and(|unit| unit.eq_ignore_ascii_case(&byte));
    head.iter().zip(prefix.bytes()).all(|(unit, byte)| same(*unit, byte)).then_some(rest)
}
