//! Classifies a Windows path by its text: a file, a whole disk or volume (`\\.\PhysicalDrive0`, `\\.\C:`, `\\?\Volume{…}`),
//! or a file in a shadow copy. Such paths have no canonical form that could be opened again, and devices refuse the file
//! calls of `std`. Works on text alone, so that every system can test it.

/// The name of a disk or volume to open as a device; `None` for the path of a file. A trailing separator, which would name
/// the root folder, is removed.
pub fn device(path: &str) -> Option<String> {
    let path = path.replace('/', r"\");
    let name = path.strip_prefix(r"\\.\").or_else(|| path.strip_prefix(r"\\?\"))?.trim_end_matches('\\');
    let parts: Vec<_> = name.split('\\').collect();
    let is = |index: usize, what: &str| parts.get(index).is_some_and(|part| part.eq_ignore_ascii_case(what));
    let is_device = match parts[..] {
        [""] => false,
        [_] => !is(0, "UNC") && !is(0, "GLOBALROOT"),
        [_, _, _] if is(0, "GLOBALROOT") && is(1, "Device") => true,
        // \Device\Harddisk0\Partition1, \Device\Harddisk0\DR0; not a file of a volume that has such a name.
        [_, _, disk, _] => is(0, "GLOBALROOT") && is(1, "Device") && is_harddisk(disk),
        _ => false,
    };
    is_device.then(|| path.trim_end_matches('\\').to_owned())
}

/// The root of the shadow copy that contains a file, with a trailing separator; `None` for any other path.
pub fn shadow_copy(path: &str) -> Option<&str> {
    const PREFIX: &str = r"\\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy";
    // Keeps the length; `\\.\` and `\\?\` name the same device.
    let normal = path.replace('/', r"\").replacen(r"\\.\", r"\\?\", 1);
    let (head, rest) = normal.split_at_checked(PREFIX.len())?;
    let digits = rest.find(|c: char| !c.is_ascii_digit())?;
    let is_root = head.eq_ignore_ascii_case(PREFIX) && digits > 0 && rest[digits..].starts_with('\\');
    is_root.then(|| &path[..=PREFIX.len() + digits])
}

/// The path to open for a file that the image at `child` names by an absolute path. The parents of a child in a shadow copy
/// are in that copy. A path to another machine is used only if the child comes from the same machine, since the connection
/// reveals the user to it. `None`: the file is not looked for.
pub fn named_by_image(child: &str, path: &str) -> Option<String> {
    let path = path.replace('/', r"\");
    let rest = below_volume(&path);
    if let Some(root) = shadow_copy(child) {
        return rest.map(|rest| format!("{root}{rest}"));
    }
    if rest.is_some() {
        return Some(path);
    }
    let (of_child, of_parent) = (server(child)?, server(&path)?);
    of_parent.eq_ignore_ascii_case(&of_child).then_some(path)
}

/// The path relative to the root of its volume, for `X:\…` and `\\?\Volume{…}\…`.
fn below_volume(path: &str) -> Option<&str> {
    let path = path.strip_prefix(r"\\?\").unwrap_or(path);
    let (volume, rest) = path.split_once('\\')?;
    let is_letter = matches!(volume.as_bytes(), [letter, b':'] if letter.is_ascii_alphabetic());
    let is_guid = volume.get(..7).is_some_and(|head| head.eq_ignore_ascii_case("Volume{"));
    (is_letter || is_guid).then_some(rest)
}

/// The server name of `\\server\share\…`.
fn server(path: &str) -> Option<String> {
    let path = path.replace('/', r"\");
    let is_unc = path.get(..8).is_some_and(|head| head.eq_ignore_ascii_case(r"\\?\UNC\"));
    let rest = if is_unc { &path[8..] } else { path.strip_prefix(r"\\")? };
    let (server, share) = rest.split_once('\\')?;
    (!matches!(server, "" | "." | "?") && !share.is_empty()).then(|| server.to_owned())
}

/// `Harddisk0`, which has partitions; neither `HarddiskVolume1` nor its shadow copies.
fn is_harddisk(name: &str) -> bool {
    let Some((head, number)) = name.split_at_checked("Harddisk".len()) else { return false };
    head.eq_ignore_ascii_case("Harddisk") && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_and_volumes_are_distinguished_from_files() {
        for path in [
            r"\\.\PhysicalDrive0",
            r"\\.\C:",
            r"\\?\C:",
            r"\\?\Volume{e0b41111-0000-0000-0000-100000000000}",
            r"\\.\HarddiskVolume2",
            r"\\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy12",
            r"\\.\GLOBALROOT\Device\HarddiskVolume3",
            r"\\?\GLOBALROOT\Device\Harddisk0\Partition1",
            r"\\?\globalroot\device\harddisk10\DR10",
        ] {
            assert_eq!(device(path).as_deref(), Some(path));
            assert_eq!(device(&format!(r"{path}\")).as_deref(), Some(path), "the root folder is none");
        }
        assert_eq!(device("//./PhysicalDrive1").as_deref(), Some(r"\\.\PhysicalDrive1"));
        for path in [
            r"C:\images\disk.vhdx",
            "C:/images/disk.vhdx",
            r"\\server\share\disk.vhdx",
            r"\\?\UNC\server\share\disk.vhdx",
            r"\\?\C:\images\disk.vhdx",
            r"\\.\C:\disk.vhdx",
            r"\\?\Volume{e0b4}\disk.vhdx",
            r"\\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy12\disk.vhdx",
            r"\\?\GLOBALROOT\Device\HarddiskVolume3\disk.vhdx",
            r"\\?\GLOBALROOT\Device\Harddisk0\Partition1\disk.vhdx",
            r"\\.\pipe\disk",
            r"\\?\GLOBALROOT",
            r"\\?\UNC",
            r"\\.\",
            r"\\.",
            "",
            "disk.vhdx",
        ] {
            assert_eq!(device(path), None, "{path}");
        }
    }

    #[test]
    fn a_shadow_copy_is_recognized_by_its_root() {
        let root = r"\\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy12\";
        assert_eq!(shadow_copy(&format!(r"{root}vm\disk.vhdx")), Some(root));
        assert_eq!(shadow_copy(root), Some(root));
        let other = "//./globalroot/Device/harddiskvolumeshadowcopy3/";
        assert_eq!(shadow_copy(&format!("{other}disk.vhdx")), Some(other));
        let dots = r"\\.\GlobalRoot\Device\HarddiskVolumeShadowCopy3\";
        assert_eq!(shadow_copy(&format!("{dots}disk.vhdx")), Some(dots));
        for path in [
            r"\\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy12",
            r"\\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy\disk.vhdx",
            r"\\?\GLOBALROOT\Device\HarddiskVolumeShadowCopyX\disk.vhdx",
            r"\\?\GLOBALROOT\Device\HarddiskVolume12\disk.vhdx",
            r"C:\disk.vhdx",
            "",
            "äöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöü",
        ] {
            assert_eq!(shadow_copy(path), None, "{path}");
        }
    }

    #[test]
    fn a_parent_is_looked_for_where_the_child_is() {
        let copy = r"\\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy7\vm\child.vhdx";
        let in_copy = r"\\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy7\base\parent.vhdx";
        for (child, named, found) in [
            (r"D:\vm\child.vhdx", r"E:\base\parent.vhdx", Some(r"E:\base\parent.vhdx")),
            (r"child.vhdx", r"E:/base/parent.vhdx", Some(r"E:\base\parent.vhdx")),
            (r"D:\child.vhdx", r"\\?\Volume{e0}\parent.vhdx", Some(r"\\?\Volume{e0}\parent.vhdx")),
            (copy, r"E:\base\parent.vhdx", Some(in_copy)),
            (copy, r"\\?\E:\base\parent.vhdx", Some(in_copy)),
            (copy, r"\\?\Volume{e0}\base\parent.vhdx", Some(in_copy)),
            (copy, r"\\files\vm\parent.vhdx", None),
            (r"\\files\vm\child.vhdx", r"\\FILES\base\parent.vhdx", Some(r"\\FILES\base\parent.vhdx")),
            (r"\\?\UNC\files\vm\child.vhdx", r"\\files\vm\parent.vhdx", Some(r"\\files\vm\parent.vhdx")),
            (r"\\files\vm\child.vhdx", r"\\elsewhere\vm\parent.vhdx", None),
            (r"D:\child.vhdx", r"\\elsewhere\vm\parent.vhdx", None),
            (r"D:\child.vhdx", r"\\?\UNC\elsewhere\vm\parent.vhdx", None),
            (r"D:\child.vhdx", r"\\.\pipe\parent", None),
            (r"D:\child.vhdx", r"\\.\PhysicalDrive0", None),
            (r"D:\child.vhdx", r"E:parent.vhdx", None),
            (r"D:\child.vhdx", r"parent.vhdx", None),
            (r"D:\child.vhdx", "", None),
        ] {
            assert_eq!(named_by_image(child, named).as_deref(), found, "{child}: {named}");
        }
    }
}
