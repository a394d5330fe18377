//! Reparse points as Windows reads them (`REPARSE_DATA_BUFFER`, MS-FSCC 2.1.2): the stored ones, and symbolic links
//! generated for the tree's own links and for targets inside the mount.

use vhdmount::{
    Error, Result,
    fs::{LinkTarget, NameBuf, NodeId, NodeKind, Stat, Xattrs},
    tree::Namespace,
};

use super::info::attribute;

/// Name of the extended attribute that holds the stored reparse point.
const STORED: &str = "system.ntfs_reparse_data";

pub(crate) const TAG_SYMLINK: u32 = 0xA000_000C;
const TAG_MOUNT_POINT: u32 = 0xA000_0003;
const TAG_APP_EXEC_LINK: u32 = 0x8000_001B;
/// The tag bit of reparse points that stand for another file (name surrogates).
const NAME_SURROGATE: u32 = 0x2000_0000;
/// `SYMLINK_FLAG_RELATIVE`
const RELATIVE: u32 = 1;

/// A reparse point: its tag and the whole buffer, tag included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) tag: u32,
    pub(super) data: Vec<u8>,
}

/// The reparse point shown for a node, if any. Points whose content this program decodes itself (deduplication, …), or
/// which only explain why it cannot (a cloud), are hidden: Windows would look for the filter driver of that tag.
pub(super) fn of(fs: &dyn Namespace, node: NodeId, stat: &Stat) -> Result<Option<Point>> {
    if stat.attributes & attribute::REPARSE_POINT != 0 {
        let Some(data) = fs.xattrs().xattr(node, STORED)? else { return Ok(None) };
        let tag = data.first_chunk().map(|tag| u32::from_le_bytes(*tag)).unwrap_or_default();
        return Ok(is_shown(tag, stat.kind).then_some(Point { tag, data }));
    }
    match stat.kind {
        NodeKind::Symlink => Ok(from_text(&fs.read_link_text(node)?)),
        _ => Ok(None),
    }
}

fn is_shown(tag: u32, kind: NodeKind) -> bool {
    let is_content = matches!(kind, NodeKind::File | NodeKind::Directory);
    tag != 0 && (!is_content || tag & NAME_SURROGATE != 0 || tag == TAG_APP_EXEC_LINK)
}

/// The reparse point that Windows is to follow for `point`: a Windows link is redirected to its target's path inside the
/// mount, so that `C:\…` never refers to the host's disk.
///
/// # Errors
/// [`Error::NotFound`] when the target is not in the mount.
pub(super) fn to_follow(fs: &dyn Namespace, node: NodeId, point: Point) -> Result<Point> {
    if ![TAG_SYMLINK, TAG_MOUNT_POINT].contains(&point.tag) {
        return Ok(point);
    }
    let target = fs.read_link(node)?;
    let text = fs.read_link_text(node)?;
    // A target that the tree cannot resolve keeps its text.
    let outside = target.posix().is_none()
        && matches!(&target, LinkTarget::Windows { relative: false, .. } if text == target.to_text());
    let inside = if outside { None } else { from_text(&text) };
    inside.ok_or_else(|| Error::not_found(format!("{} is not in the image", String::from_utf8_lossy(&text))))
}

/// A relative symbolic link from the tree's link text; `None` for an absolute target, or one that no Windows path can
/// express.
fn from_text(text: &[u8]) -> Option<Point> {
    if text.is_empty() || text.starts_with(b"/") {
        return None;
    }
    let mut target = Vec::with_capacity(text.len());
    for (index, part) in text.split(|byte| *byte == b'/').enumerate() {
        if index > 0 {
            target.push(u16::from(b'\\'));
        }
        match part {
            b"." | b".." => target.extend(part.iter().copied().map(u16::from)),
            part => target.extend(NameBuf::from_text(part)?.0),
        }
    }
    symlink(&target)
}

/// `REPARSE_DATA_BUFFER` of a relative symbolic link; substitute name and print name are equal.
fn symlink(target: &[u16]) -> Option<Point> {
    let path: Vec<u8> = target.iter().flat_map(|unit| unit.to_le_bytes()).collect();
    let len = u16::try_from(path.len()).ok()?;
    let data_len = len.checked_mul(2)?.checked_add(12)?;
    let mut data = TAG_SYMLINK.to_le_bytes().to_vec();
    for field in [data_len, 0, 0, len, len, len] {
        data.extend(field.to_le_bytes());
    }
    data.extend(RELATIVE.to_le_bytes());
    data.extend(&path);
    data.extend(&path);
    Some(Point { tag: TAG_SYMLINK, data })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(point: &Point) -> String {
        let field = |at: usize| usize::from(u16::from_le_bytes([point.data[at], point.data[at + 1]]));
        assert_eq!(field(4) + 8, point.data.len());
        let units = point.data[20 + field(8)..][..field(10)]
            .as_chunks()
            .0
            .iter()
            .map(|unit| u16::from_le_bytes(*unit));
        String::from_utf16(&units.collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn links_of_the_tree_become_links_of_windows() {
        assert_eq!(target(&from_text(b"../p3").unwrap()), r"..\p3");
        assert_eq!(target(&from_text("../../Grüße/a".as_bytes()).unwrap()), r"..\..\Grüße\a");
        assert_eq!(target(&from_text(b".").unwrap()), ".");
        assert_eq!(from_text(b"/etc"), None);
        assert_eq!(from_text(&[b'a'; 40_000]), None);
    }

    #[test]
    fn points_are_shown_where_windows_knows_what_they_are() {
        assert!(is_shown(TAG_SYMLINK, NodeKind::Symlink) && is_shown(0xA000_001D, NodeKind::Symlink));
        assert!(is_shown(TAG_APP_EXEC_LINK, NodeKind::File));
        // Deduplication, clouds.
        assert!(!is_shown(0x8000_0013, NodeKind::File) && !is_shown(0x9000_001A, NodeKind::Directory));
        assert!(!is_shown(0, NodeKind::Symlink));
    }
}
