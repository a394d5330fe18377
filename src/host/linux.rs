//! The running system: statvfs(3) for the volume, the mount table for its name, FIEMAP for the file's blocks.

use std::{
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use fiemap::{Fiemap, FiemapExtentFlags};
use rustix::fs::{AtFlags, IFlags, StatVfs, StatVfsMountFlags, StatxFlags, fstatvfs, statvfs};

use super::{
    Family, Held, Host, HostFs, HostMap, HostSpace, Running, System, limits, quota::Quota, quotas_of_owner,
    root,
};
use crate::{
    Error, Result,
    bytes::{ByteSource, FileSource},
};

/// ext4's flag for a file that is mapped by extents (`EXT4_EXTENTS_FL`).
const EXTENTS: u32 = 0x0008_0000;
/// QEMU gives the images that it makes an extent size hint of this; XFS alone heeds it.
const LARGEST_HINT: u64 = 1 << 20;
/// XFS holds back blocks for the tree of extents at each write that allocates; what it never gave in experiments.
const XFS_MARGIN_BLOCKS: u64 = 16;
/// A report of many volumes has a few KiB.
const MAX_REPORT: u64 = 1 << 20;

/// The quotas of a user and of a group on the volume in a device.
type Quotas<'a> = dyn Fn(&Path, u32, u32) -> [Quota; 2] + 'a;

impl System {
    /// As [`Host::space`], with the answers of `quotas`: asking for those of others takes a privilege.
    ///
    /// # Errors
    /// When the host does not answer.
    pub fn space_with(&self, file: &FileSource, quotas: &Quotas<'_>) -> Result<HostSpace> {
        let context = || format!("{}: asking for its space", file.path().display());
        let metadata = file.file().metadata().map_err(|e| Error::io(context(), e))?;
        if metadata.file_type().is_block_device() {
            return Ok(HostSpace::of_device(file.size()));
        }
        let volume = fstatvfs(file.file()).map_err(|e| Error::io(context(), e.into()))?;
        let mount = Mount::of(file, metadata.dev()).unwrap_or_default();
        let flags = rustix::fs::ioctl_getflags(file.file()).unwrap_or(IFlags::empty());
        let family = mount.filesystem.family();
        let unit = match family {
            Family::Network { transfer_blocks: true } => 4096,
            _ => volume.f_frsize,
        };
        let mut space = HostSpace {
            file_size: metadata.len(),
            allocated: metadata.blocks().saturating_mul(512),
            free: volume.f_bavail.saturating_mul(volume.f_frsize),
            unit,
            mount: mount.at.display().to_string(),
            filesystem: mount.filesystem.clone(),
            estimate: limits::estimate(family).unwrap_or_default().into(),
            ..HostSpace::default()
        };
        if matches!(family, Family::Ext | Family::Ext4) {
            let extents = family == Family::Ext4 && flags.bits() & EXTENTS != 0;
            space.pointers = (!extents).then_some(unit / 4);
            space.reserved = volume.f_bfree.saturating_sub(volume.f_bavail).saturating_mul(volume.f_frsize);
        }
        if family == Family::Xfs {
            space.margin = volume.f_frsize.saturating_mul(XFS_MARGIN_BLOCKS);
        }
        if volume.f_blocks == 0 {
            without_size(&mut space);
        }
        let extents = space.pointers.is_none();
        space.limit_to_largest_file(limits::largest_file(family, unit, extents));
        limit_to_quotas(&mut space, file, &metadata, &volume, &mount, quotas);
        if flags.intersects(IFlags::COMPRESSED) {
            space.estimate =
                "the host compresses the file: what new data will take is not known before it is \
                              written; incompressible data is assumed"
                    .into();
        }
        if family == Family::Ours {
            // Read-only here, not where it runs; what it can take there is what statfs answers.
            space.say("a volume of a mounted image: what it can take where it runs");
            space.below = Some(backed_below(&mount.at).unwrap_or(space.free));
        } else if volume.f_flag.contains(StatVfsMountFlags::RDONLY) {
            space.forbid("the host volume is mounted read-only");
        } else if flags.intersects(IFlags::IMMUTABLE | IFlags::APPEND) {
            space.forbid("the file is immutable or append-only (lsattr): nothing can be written to it");
        }
        Ok(space)
    }
}

impl Host for System {
    fn space(&self, file: &FileSource) -> Result<HostSpace> {
        self.space_with(file, &quotas_of_owner)
    }

    fn map(&self, file: &FileSource, space: &HostSpace) -> Option<HostMap> {
        if let Some(map) = fiemap(file) {
            let hint = space.filesystem.family() == Family::Xfs;
            return Some(if hint { map.with_unit_of_runs(LARGEST_HINT) } else { map });
        }
        // A volume of ours may have reserved all of the file and its image still lack blocks.
        (space.allocated < space.file_size || space.below.is_some()).then(|| HostMap::sought(file))
    }

    fn running(&self) -> Result<Running> {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo")
            .map_err(|e| Error::io("/proc/self/mountinfo", e))?;
        // The last one covers those before it.
        let root = mounts.lines().rev().filter_map(Mount::parse).find(|mount| mount.at == Path::new("/"));
        root::running(Path::new("/sys/class/block"), &root.unwrap_or_default().source)
    }
}

/// The file's extents, with those that are reserved or shared; `None` where the filesystem does not report them.
fn fiemap(file: &FileSource) -> Option<HostMap> {
    if !file.file().metadata().ok()?.is_file() {
        return None;
    }
    let mut failed = false;
    let extents = Fiemap::new(file.file()).map_while(|extent| match extent {
        // Without progress the next request would be the same again.
        Ok(extent) if extent.fe_length > 0 => Some(extent),
        Ok(_) => None,
        Err(_) => {
            failed = true;
            None
        }
    });
    let stretches = extents.map(|extent| {
        let shared = extent.fe_flags.contains(FiemapExtentFlags::SHARED);
        let end = extent.fe_logical.saturating_add(extent.fe_length);
        (extent.fe_logical..end, if shared { Held::Shared } else { Held::Own })
    });
    let map = HostMap::new(stretches);
    (!failed).then_some(map)
}

/// A volume that reports no size: memory without a limit of its own, or nothing is known.
fn without_size(space: &mut HostSpace) {
    match space.filesystem.family() {
        Family::Memory => {
            let memory = rustix::system::sysinfo();
            let unit = u64::from(memory.mem_unit);
            space.free = memory.freeram.saturating_add(memory.freeswap).saturating_mul(unit);
            space.say("a filesystem in memory without a limit: free memory and swap");
        }
        _ => space.say("the host volume does not report its free space"),
    }
}

fn limit_to_quotas(
    space: &mut HostSpace,
    file: &FileSource,
    metadata: &std::fs::Metadata,
    volume: &StatVfs,
    mount: &Mount,
    quotas: &Quotas<'_>,
) {
    // A project's folder answers with what the project may have: it is smaller then than the volume.
    if let Some(folder) = std::fs::canonicalize(file.path()).ok().as_deref().and_then(Path::parent)
        && std::fs::metadata(folder).is_ok_and(|folder| folder.dev() == metadata.dev())
        && let Ok(project) = statvfs(folder)
        && project.f_blocks < volume.f_blocks
    {
        let left = project.f_bavail.saturating_mul(project.f_frsize);
        space.limit(left, "the project quota of its folder");
    }
    if mount.source.is_absolute() {
        let whose = ["the quota of the file's owner", "the quota of the file's group"];
        for (quota, whose) in quotas(&mount.source, metadata.uid(), metadata.gid()).into_iter().zip(whose) {
            match quota {
                Quota::None => {}
                Quota::Left(left) => space.limit(left, whose),
                Quota::Hidden => space.say(&format!("{whose} is not shown to this user")),
            }
        }
    }
}

/// What the image behind one of our mounts can still get from its own host, from the report at the mount's root.
fn backed_below(mount: &Path) -> Option<u64> {
    use std::io::Read;
    let mut text = String::new();
    let report = std::fs::File::open(mount.join(".capacity.json")).ok()?;
    report.take(MAX_REPORT).read_to_string(&mut text).ok()?;
    let report: serde_json::Value = serde_json::from_str(&text).ok()?;
    let figure = |name: &str| report.get(name)?.as_u64();
    figure("achievable_size")?.checked_sub(figure("backed")?)
}

/// A line of `/proc/self/mountinfo` (proc(5)).
#[derive(Debug, Default, PartialEq, Eq)]
struct Mount {
    at: PathBuf,
    filesystem: HostFs,
    source: PathBuf,
}

impl Mount {
    /// The mount through which `file` was opened, else the one with the shortest path of its device.
    fn of(file: &FileSource, device: u64) -> Option<Self> {
        // STATX_MNT_ID needs Linux 5.8; before it, the device has to do.
        let statx = rustix::fs::statx(file.file(), "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok();
        let statx = statx.filter(|statx| statx.stx_mask & StatxFlags::MNT_ID.bits() != 0);
        let id = statx.map_or_else(String::new, |statx| statx.stx_mnt_id.to_string());
        let device = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
        Self::find(&std::fs::read_to_string("/proc/self/mountinfo").ok()?, &id, &device)
    }

    fn find(mountinfo: &str, id: &str, device: &str) -> Option<Self> {
        let by = |field: usize, wanted: &str| {
            let lines = mountinfo.lines().filter(move |line| line.split(' ').nth(field) == Some(wanted));
            lines.filter_map(Self::parse).min_by_key(|mount| mount.at.as_os_str().len())
        };
        // btrfs and overlays have files of other device numbers than their mount: the mount's number is sure.
        by(0, id).or_else(|| by(2, device))
    }

    fn parse(line: &str) -> Option<Self> {
        let (fields, tail) = line.split_once(" - ")?;
        let mut tail = tail.split(' ');
        Some(Self {
            at: unescaped(fields.split(' ').nth(4)?),
            filesystem: tail.next()?.into(),
            source: unescaped(tail.next().unwrap_or_default()),
        })
    }
}

/// Spaces and the like are written as a backslash and three octal digits.
fn unescaped(field: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let (mut out, mut rest) = (Vec::with_capacity(field.len()), field.as_bytes());
    while let [first, tail @ ..] = rest {
        let octal = tail.get(..3).filter(|_| *first == b'\\').and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        out.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &tail[3..] } else { tail };
    }
    std::ffi::OsString::from_vec(out).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "22 1 253:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
        30 22 0:33 /@vm /srv/virtual\\040machines rw shared:2 - btrfs /dev/vdb rw\n\
        31 22 253:0 /home /home rw - ext4 /dev/vda rw\n";

    #[test]
    fn the_mount_is_found_by_its_number_and_else_by_the_device() {
        let found = |id, device| Mount::find(MOUNTS, id, device).map(|mount| (mount.at, mount.filesystem));
        assert_eq!(found("30", "0:99"), Some(("/srv/virtual machines".into(), HostFs::from("btrfs"))));
        assert_eq!(found("31", "253:0"), Some(("/home".into(), HostFs::from("ext4"))));
        assert_eq!(found("", "253:0"), Some(("/".into(), HostFs::from("ext4"))));
        assert_eq!(found("7", "9:9"), None);
    }

    #[test]
    fn escapes_that_are_none_stay() {
        assert_eq!(unescaped("a\\040b\\134c"), PathBuf::from("a b\\c"));
        assert_eq!(unescaped("a\\9\\04"), PathBuf::from("a\\9\\04"));
    }
}
