//! Windows link targets as paths that a POSIX kernel can follow: always relative, never out of the mount.
//!
//! A drive letter or a volume's GUID means what the database of mounted devices says, in the registry of the Windows on
//! the link's own volume or else on any other of the disk. Without one, `C:\…` means the volume that holds the link, or the
//! only other volume where the path exists, and a GUID the partition of that GUID. What cannot be resolved keeps its Windows
//! text, so that a person still sees what was meant.

use super::{
    Tree,
    mounted_devices::{Device, MountedDevices},
};
use crate::{
    fs::{LinkTarget, Name, NodeId, NodeKind},
    guid::Guid,
};

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
    /// From the root of the drive with this letter: `C:\Users`.
    Drive(u8, &'a [u16]),
    /// From the root of the volume with this GUID.
    Volume(Guid, &'a [u16]),
    /// A network path, a device, …
    Elsewhere,
}

/// What the databases say of a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// It is this volume.
    Volume(usize),
    /// It is no volume of this disk that can be read, or the databases disagree.
    Elsewhere,
    /// Nothing.
    Unknown,
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
            Target::Rooted(path) => Some(self.from(volume, depth, volume, self.walk(volume, path, None)?)),
            Target::Drive(letter, path) => match self.known(volume, &|database| database.drive(letter)) {
                Known::Volume(other) => self.inside(volume, depth, other, path),
                Known::Elsewhere => None,
                Known::Unknown => self.guess(volume, node, depth, path),
            },
            Target::Volume(id, path) => match self.known(volume, &|database| database.volume(&id)) {
                Known::Volume(other) => self.inside(volume, depth, other, path),
                Known::Elsewhere | Known::Unknown => {
                    let id = id.to_string();
                    let other = self.volumes.iter().position(|volume| volume.partition_id == id)?;
                    self.inside(volume, depth, other, path)
                }
            },
            Target::Elsewhere => None,
        }
    }

    /// `path` from the root of `other`, if it exists there and is mounted.
    fn inside(&self, volume: usize, depth: usize, other: usize, path: &[u16]) -> Option<Vec<u8>> {
        if other != volume && self.only.is_some() {
            return None;
        }
        Some(self.from(volume, depth, other, self.walk(other, path, None)?))
    }

    /// Where an absolute path exists, when nothing tells which volume its drive is.
    fn guess(&self, volume: usize, node: NodeId, depth: usize, path: &[u16]) -> Option<Vec<u8>> {
        // Not by way of the link itself: `Windows` on another drive that leads to `C:\Windows`.
        if let Some(found) = self.walk(volume, path, Some(node)) {
            return Some(self.from(volume, depth, volume, found));
        }
        let others = (0..self.volumes.len()).filter(|other| *other != volume && self.only.is_none());
        let mut found = others.filter_map(|other| Some((other, self.walk(other, path, None)?)));
        let (other, text) = found.next()?;
        // Two candidates are none: a guess would be worse than the Windows text.
        found.next().is_none().then(|| self.from(volume, depth, other, text))
    }

    /// What the databases say: that of `volume` itself, or else what all others agree on.
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

    /// The database of the Windows on a volume, read when it is first asked for. One that names no volume of this disk is
    /// of no use: the disk is a copy whose identifiers were changed, or the database was emptied to deploy it.
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
            Device::Gpt(id) => {
                let id = id.to_string();
                self.volumes.iter().position(|volume| volume.partition_id == id)
            }
            Device::Mbr(signature, offset) => {
                self.volumes.iter().position(|volume| volume.mbr_id == Some((signature, offset)))
            }
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

    /// The parts of an absolute path, if all of it exists, or as far as another link: the rest is then the kernel's to
    /// follow. None of it is `avoid`. Case need not be right: look-ups through the mount do not care either.
    fn walk(&self, volume: usize, path: &[u16], avoid: Option<NodeId>) -> Option<Vec<Vec<u8>>> {
        let fs = &*self.volumes[volume].fs;
        let (mut dir, mut out) = (fs.root(), Vec::new());
        let mut parts = parts(path);
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

/// `path` without `prefix`, compared as Windows compares ASCII.
fn strip<'a>(path: &'a [u16], prefix: &str) -> Option<&'a [u16]> {
    let (head, rest) = path.split_at_checked(prefix.len())?;
    let same = |unit: u16, byte: u8| u8::try_from(unit).is_ok_and(|unit| unit.eq_ignore_ascii_case(&byte));
    head.iter().zip(prefix.bytes()).all(|(unit, byte)| same(*unit, byte)).then_some(rest)
}
