//! Converts link targets to paths that a POSIX kernel can follow: always relative, with `..` only at the beginning and
//! never more of them than there are directories up to the volume's root. So the `..` of a target never lead out of its
//! volume.
//!
//! A drive letter or a volume GUID is resolved by the database of mounted devices, in the registry of the Windows on the
//! link's own volume or else on any other of the disk. Without one, `C:\…` leads to the volume that holds the link, or to
//! the only other volume where the path exists, and a GUID to the partition of that GUID. A target that cannot be resolved
//! keeps its Windows text, which a user can still read.
//!
//! The absolute POSIX path of a link that WSL, Interix or an NFS server stored is searched for below each directory above
//! the link, the nearest first (where WSL keeps a Linux, `/` is a directory of the volume), then as `/mnt/c/…` on the drive.
//! A path that exists nowhere leads to its place below the volume's root.

use super::{
    Tree,
    mounted_devices::{Device, MountedDevices},
};
use crate::{
    fs::{FileSystem, LinkTarget, Name, NameBuf, NodeId, NodeKind, reach::MISPLACED},
    guid::Guid,
    identity::PartitionId,
};

/// Deeper than any path that Windows can form (32,767 units).
const MAX_DEPTH: usize = 16_384;
const BACKSLASH: u16 = b'\\' as u16;
const SLASH: u16 = b'/' as u16;
const DOT: u16 = b'.' as u16;
/// Most directories above a link that are tried as the root of a Linux installation.
const MAX_ROOTS: usize = 32;

/// A Windows target, parsed.
enum Target<'a> {
    /// Relative to the link's directory.
    Relative(&'a [u16]),
    /// From the root of the link's own volume: `\Users`.
    Rooted(&'a [u16]),
    /// From the root of the drive with this letter: `C:\Users`.
    Drive(u8, &'a [u16]),
    /// From the root of the volume with this GUID.
    Volume(Guid, &'a [u16]),
    /// A network path, a device, …
    Elsewhere,
}

/// The result of a query to the databases of mounted devices.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// The name means this volume.
    Volume(usize),
    /// The name means no readable volume of this disk, or the databases disagree.
    Elsewhere,
    /// No database has the name.
    Unknown,
}

impl Tree {
    /// The text of the link `node` in `volume`, as the kernel follows it.
    pub(super) fn link_text(&self, volume: usize, node: NodeId, target: &LinkTarget) -> Vec<u8> {
        let Some(depth) = self.link_depth(volume, node) else { return inert_text(target) };
        if let Some(path) = target.posix() {
            return self.posix_text(volume, node, depth, &path);
        }
        let LinkTarget::Windows { path, relative, .. } = target else { return inert_text(target) };
        let resolved = self.resolve_target(volume, node, depth, parse(&path.0, *relative));
        resolved.unwrap_or_else(|| inert_text(target))
    }

    /// How many directories a link may go up. `None` for a link with several names, or in a directory that its record
    /// does not name: the place from which it is followed is unknown, so its text must not go up.
    fn link_depth(&self, volume: usize, node: NodeId) -> Option<usize> {
        if node.0 & MISPLACED != 0 {
            return None;
        }
        let links = self.volumes[volume].fs.stat(node).ok()?.links;
        self.depth(volume, node).filter(|_| links == 1)
    }

    fn posix_text(&self, volume: usize, node: NodeId, depth: usize, path: &[u8]) -> Vec<u8> {
        if path.first() != Some(&b'/') {
            return normal(posix_parts(path), depth);
        }
        let (_, parts) = normal_parts(posix_parts(path), 0);
        let names: Option<Vec<_>> = parts.iter().map(|part| NameBuf::from_text(part)).collect();
        if let Some(names) = &names {
            if let Some(found) = self.below_a_root(volume, node, depth, names) {
                return found;
            }
            if let [mnt, drive, rest @ ..] = &names[..]
                && mnt.as_name().is("mnt")
                && let [letter] = drive.0[..]
                && let Some(letter) = u8::try_from(letter).ok().filter(u8::is_ascii_alphabetic)
            {
                let rest = rest.iter().map(|name| &name.0[..]).collect::<Vec<_>>().join(&BACKSLASH);
                let found = self.resolve_target(volume, node, depth, Target::Drive(letter, &rest));
                if let Some(found) = found {
                    return found;
                }
            }
        }
        self.from(volume, depth, volume, parts)
    }

    /// The path from the link to `names` below the nearest directory above it that contains them.
    fn below_a_root(&self, volume: usize, node: NodeId, depth: usize, names: &[NameBuf]) -> Option<Vec<u8>> {
        let fs = &*self.volumes[volume].fs;
        let mut dir = node;
        let above = (0..=depth).take(MAX_ROOTS).filter_map(|up| {
            dir = fs.parent(dir).ok()?;
            Some((up, dir))
        });
        let roots = above.chain([(depth, fs.root())]);
        let mut found = roots.filter_map(|(up, root)| {
            let parts = names.iter().map(|name| &name.0[..]);
            Some(self.from(volume, up, volume, self.walk_from(volume, root, parts, Some(node))?))
        });
        found.next()
    }

    fn resolve_target(
        &self,
        volume: usize,
        node: NodeId,
        depth: usize,
        target: Target<'_>,
    ) -> Option<Vec<u8>> {
        match target {
            Target::Relative(path) => Some(normal(windows_parts(path), depth)),
            Target::Rooted(path) => Some(self.from(volume, depth, volume, self.walk(volume, path, None)?)),
            Target::Drive(letter, path) => match self.known(volume, &|database| database.drive(letter)) {
                Known::Volume(other) => self.inside(volume, depth, other, path),
                Known::Elsewhere => None,
                Known::Unknown => self.guess(volume, node, depth, path),
            },
            Target::Volume(id, path) => match self.known(volume, &|database| database.volume(&id)) {
                Known::Volume(other) => self.inside(volume, depth, other, path),
                Known::Elsewhere | Known::Unknown => {
                    let other = self.volume_of(Device::Partition(PartitionId::Gpt { partition: id }))?;
                    self.inside(volume, depth, other, path)
                }
            },
            Target::Elsewhere => None,
        }
    }

    /// The path to `path` below the root of `other`, if it exists there and `other` is mounted.
    fn inside(&self, volume: usize, depth: usize, other: usize, path: &[u16]) -> Option<Vec<u8>> {
        if other != volume && self.only.is_some() {
            return None;
        }
        Some(self.from(volume, depth, other, self.walk(other, path, None)?))
    }

    /// The path to an absolute target whose drive's volume is unknown, if the target exists on one volume only.
    fn guess(&self, volume: usize, node: NodeId, depth: usize, path: &[u16]) -> Option<Vec<u8>> {
        // Not through the link itself, as when `Windows` on another drive leads to `C:\Windows`.
        if let Some(found) = self.walk(volume, path, Some(node)) {
            return Some(self.from(volume, depth, volume, found));
        }
        let others = (0..self.volumes.len()).filter(|other| *other != volume && self.only.is_none());
        let mut found = others.filter_map(|other| Some((other, self.walk(other, path, None)?)));
        let (other, text) = found.next()?;
        // With two candidates the link keeps its Windows text, which is better than a wrong guess.
        found.next().is_none().then(|| self.from(volume, depth, other, text))
    }

    /// Queries the databases: that of `volume` itself, or else all others, if they agree.
    fn known(&self, volume: usize, ask: &dyn Fn(&MountedDevices) -> Option<Device>) -> Known {
        let answer = |of: usize| {
            let device = ask(self.mounted_devices(of)?)?;
            Some(self.volume_of(device).map_or(Known::Elsewhere, Known::Volume))
        };
        if let Some(own) = answer(volume) {
            return own;
        }
        let mut others = (0..self.volumes.len()).filter(|other| *other != volume).filter_map(answer);
        let Some(first) = others.next() else { return Known::Unknown };
        if others.all(|other| other == first) { first } else { Known::Elsewhere }
    }

    /// The database of the Windows installation on a volume, read at the first query. One that names no volume of this
    /// disk is ignored: the disk is a copy with changed identifiers, or the database was emptied for deployment.
    fn mounted_devices(&self, volume: usize) -> Option<&MountedDevices> {
        let database = match self.databases[volume].get() {
            Some(database) => database,
            None => {
                let database = MountedDevices::of(&*self.volumes[volume].fs)
                    .filter(|database| database.devices().any(|device| self.volume_of(device).is_some()));
                self.databases[volume].get_or_init(|| database)
            }
        };
        database.as_ref()
    }

    fn volume_of(&self, device: Device) -> Option<usize> {
        match device {
            Device::Partition(id) => self.volumes.iter().position(|volume| volume.id == Some(id)),
            Device::Other => None,
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

    /// The number of directories between the volume's root and `node`.
    fn depth(&self, volume: usize, node: NodeId) -> Option<usize> {
        // The parents as in the tree: an orphan is not in the directory that its record names.
        let mut at = self.number(volume, node);
        for depth in 0..MAX_DEPTH {
            at = self.parent(at).ok()?;
            if at == self.volume_root(volume) {
                return Some(depth);
            }
        }
        // A cycle of parent directories.
        None
    }

    /// The components of an absolute path, if all of it exists, or those up to another link, from which the kernel
    /// follows the rest. `None` if it leads through `avoid`. Ignores case, as lookups through the mount do.
    fn walk(&self, volume: usize, path: &[u16], avoid: Option<NodeId>) -> Option<Vec<Vec<u8>>> {
        let root = self.volumes[volume].fs.root();
        self.walk_from(volume, root, parts(path), avoid)
    }

    fn walk_from<'p>(
        &self,
        volume: usize,
        mut dir: NodeId,
        mut parts: impl Iterator<Item = &'p [u16]>,
        avoid: Option<NodeId>,
    ) -> Option<Vec<Vec<u8>>> {
        let fs = &*self.volumes[volume].fs;
        let mut out = Vec::new();
        while let Some(part) = parts.next() {
            let found = fs.lookup(dir, Name(part)).ok().flatten();
            if found.is_none() && fs.stat(dir).ok()?.kind == NodeKind::Symlink {
                out.push(Name(part).to_text());
                out.extend(parts.map(|part| Name(part).to_text()));
                break;
            }
            dir = found.filter(|found| avoid != Some(*found))?;
            out.push(Name(part).to_text());
        }
        Some(out)
    }
}

/// The text of a link whose place is unknown or whose target cannot be resolved: it stays in the directory of the link.
pub(super) fn inert_text(target: &LinkTarget) -> Vec<u8> {
    match (target.posix(), target) {
        (Some(path), _) => normal(posix_parts(&path), 0),
        (None, LinkTarget::Windows { path, relative: true, .. }) => normal(windows_parts(&path.0), 0),
        // The separators are `\`, so a POSIX kernel takes the text as one name.
        _ => target.to_text(),
    }
}

/// A relative path without `.`, and with `..` only at the beginning: on Windows `NAME\..` is empty whatever `NAME` is,
/// and the root is its own parent. `depth` is the number of directories up to the root. A kernel that follows `NAME/..`
/// through a link named `NAME` would end up elsewhere.
fn normal<P: AsRef<[u8]>>(parts: impl Iterator<Item = P>, depth: usize) -> Vec<u8> {
    let (up, names) = normal_parts(parts, depth);
    let mut out = vec![b"..".to_vec(); up];
    out.extend(names);
    if out.is_empty() { b".".to_vec() } else { out.join(&b'/') }
}

/// The number of directories that a path goes up, and the names after that.
fn normal_parts<P: AsRef<[u8]>>(parts: impl Iterator<Item = P>, depth: usize) -> (usize, Vec<Vec<u8>>) {
    let (mut up, mut names) = (0, Vec::new());
    for part in parts {
        match part.as_ref() {
            b"" | b"." => {}
            b".." => {
                if names.pop().is_none() && up < depth {
                    up += 1;
                }
            }
            name => names.push(name.to_vec()),
        }
    }
    (up, names)
}

fn windows_parts(path: &[u16]) -> impl Iterator<Item = Vec<u8>> + '_ {
    parts(path).map(|part| Name(part).to_link_part())
}

/// The components of a POSIX path, up to a NUL, which ends the path as it does for a kernel.
fn posix_parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == 0).next().unwrap_or_default().split(|byte| *byte == b'/')
}

fn parts(path: &[u16]) -> impl Iterator<Item = &[u16]> {
    // No Windows name can contain `/`, so it can only be a separator.
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
        && let Ok(letter) = u8::try_from(*letter)
        && letter.is_ascii_alphabetic()
    {
        return Target::Drive(letter, rest);
    }
    if let Some(rest) = strip(rest, "Volume{") {
        let Some(end) = rest.iter().position(|unit| *unit == u16::from(b'}')) else {
            return Target::Elsewhere;
        };
        let id = Guid::parse(&String::from_utf16_lossy(&rest[..end]));
        return id.map_or(Target::Elsewhere, |id| Target::Volume(id, &rest[end + 1..]));
    }
    Target::Elsewhere
}

/// `path` without `prefix`; ASCII letters are compared without case.
fn strip<'a>(path: &'a [u16], prefix: &str) -> Option<&'a [u16]> {
    let (head, rest) = path.split_at_checked(prefix.len())?;
    let same = |unit: u16, byte: u8| u8::try_from(unit).is_ok_and(|unit| unit.eq_ignore_ascii_case(&byte));
    head.iter().zip(prefix.bytes()).all(|(unit, byte)| same(*unit, byte)).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_goes_up_at_its_beginning_alone_and_not_above_the_root() {
        for (path, depth, expected) in [
            ("a/b", 0, "a/b"),
            ("../a", 2, "../a"),
            ("../../../a", 2, "../../a"),
            ("a/../../b", 2, "../b"),
            // A kernel following a link `up` to the root would leave the volume.
            ("up/../../../etc/passwd", 1, "../etc/passwd"),
            ("./a//b/.", 3, "a/b"),
            ("a/..", 3, "."),
            ("..", 0, "."),
            ("../x\0/../../y", 1, "../x"),
        ] {
            let text = normal(posix_parts(path.as_bytes()), depth);
            assert_eq!(String::from_utf8(text).unwrap(), expected, "{path} at {depth}");
        }
    }

    #[test]
    fn a_link_without_a_place_stays_in_its_directory() {
        let posix = |text: &str| LinkTarget::Posix(text.into());
        let windows = |path: &str, relative| LinkTarget::Windows {
            path: NameBuf::literal(path),
            print: NameBuf::default(),
            relative,
        };
        for (target, expected) in [
            (posix("/etc/passwd"), "etc/passwd"),
            (posix("../../etc"), "etc"),
            (windows(r"..\..\x", true), "x"),
            (windows(r"\??\C:\..\x", false), r"\??\C:\..\x"),
            (windows(r"\??\..\x", false), "x"),
        ] {
            assert_eq!(String::from_utf8(inert_text(&target)).unwrap(), expected);
        }
    }
}
