//! What Windows' answers about an image file and its volume mean for its space. The binary makes the calls, which need
//! code that the library does not contain; the rules are here, where they are tested on every system.

use std::ops::Range;

use super::{Family, Held, HostFs, HostMap, HostSpace, limits};

// Attributes of files ([MS-FSCC] 2.6) and of volumes (2.5.1).
const READ_ONLY: u32 = 0x1;
const SPARSE: u32 = 0x200;
const COMPRESSED: u32 = 0x800;
const ENCRYPTED: u32 = 0x4000;
const READ_ONLY_VOLUME: u32 = 0x0008_0000;

/// What Windows answers about a file and the volume that holds it; sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WindowsAnswers {
    /// Length of the file.
    pub file_size: u64,
    /// `FILE_STANDARD_INFO.AllocationSize`.
    pub allocated: u64,
    /// `FILE_ATTRIBUTE_…`
    pub attributes: u32,
    /// Root of the volume (`D:\`, `\\server\share\`), from `GetVolumePathNameW`.
    pub root: String,
    /// The filesystem's name as Windows writes it (`NTFS`); empty if unknown.
    pub filesystem: String,
    /// `FILE_…` flags of the volume.
    pub volume_flags: u32,
    /// Cluster size; 0 if unknown.
    pub cluster: u64,
    /// Free for the calling user, whose quota counts: the first answer of `GetDiskFreeSpaceExW`.
    pub free_for_user: u64,
    /// Free on the volume, whatever the caller's quota: the third answer of the call.
    pub free: u64,
    /// The volume lies on another machine.
    pub remote: bool,
    /// The file lies in a shadow copy of the volume, which is read-only.
    pub shadow_copy: bool,
    /// `FSCTL_QUERY_ALLOCATED_RANGES` works for this file.
    pub reports_ranges: bool,
}

impl WindowsAnswers {
    /// The space of the file and its volume.
    pub fn space(&self) -> HostSpace {
        let filesystem = HostFs::from(&*self.filesystem.to_ascii_lowercase());
        let family = filesystem.family();
        let has = |flag| self.attributes & flag != 0;
        let mut space = HostSpace {
            file_size: self.file_size,
            allocated: self.allocated,
            free: self.free,
            unit: self.cluster,
            mount: shown(&self.root).to_owned(),
            filesystem,
            ..HostSpace::default()
        };
        space.limit(self.free_for_user, "the quota of the user who asks");
        // Without a cluster size the limit of NTFS is not known.
        if self.cluster > 0 || family == Family::Fat {
            space.limit_to_largest_file(limits::largest_file(family, self.cluster, true));
        }
        if self.shadow_copy {
            space.forbid("the image lies in a shadow copy: the figures are of that moment, and nothing is written to it");
        } else if self.volume_flags & READ_ONLY_VOLUME != 0 {
            space.forbid("the host volume is read-only");
        } else if has(READ_ONLY) {
            space.forbid("the file is read-only (attrib): nothing can be written to it");
        }
        let reasons = [
            (self.remote, "a network drive: the other side's quotas, compression and holes do not show here"),
            (
                has(COMPRESSED),
                "the host compresses the file: what new data will take is not known before it is written; \
                 incompressible data is assumed",
            ),
            (
                has(ENCRYPTED),
                "the host encrypts the file (EFS): Windows does not attach such an image from every volume",
            ),
            (
                self.has_holes() && !self.reports_ranges,
                "the file occupies less than its length, and the system does not report where its holes are: they are \
                 taken to be wherever they cost most",
            ),
            (
                family == Family::Refs,
                "ReFS: blocks that files share (cloned) take new space when they are overwritten, which does not \
                 show here",
            ),
            (family == Family::ClusterShared, "a cluster shared volume: other nodes write to it as well"),
        ];
        let reasons: Vec<_> = reasons.into_iter().filter_map(|(is, why)| is.then_some(why)).collect();
        space.estimate = reasons.join("; ");
        space
    }

    /// The file may lack space inside its length, so that its ranges have to be asked for.
    pub fn has_holes(&self) -> bool {
        self.attributes & SPARSE != 0 || self.allocated < self.file_size
    }

    /// Where the file occupies space; `None` when all of it does and nothing more. `ranges` are the allocated ranges,
    /// ascending, as far as the system reports them.
    pub fn map(&self, ranges: Option<Vec<Range<u64>>>) -> Option<HostMap> {
        let own = |range| (range, Held::Own);
        if self.has_holes() {
            return Some(match ranges {
                Some(ranges) => HostMap::new(ranges.into_iter().map(own)),
                None => HostMap::unknown(),
            });
        }
        // Space behind the end: how a disk that is expanded while it runs keeps what it may still need.
        let end = self.file_size.checked_next_multiple_of(self.cluster.max(1));
        (self.allocated > end.unwrap_or(u64::MAX)).then(|| HostMap::new([own(0..self.allocated)]))
    }
}

/// A root as people write it: without the prefix that lifts the limit on a path's length.
fn shown(root: &str) -> &str {
    match root.strip_prefix(r"\\?\") {
        Some(rest) if rest.as_bytes().get(1) == Some(&b':') => rest,
        _ => root,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn answers() -> WindowsAnswers {
        WindowsAnswers {
            file_size: 30 * GIB,
            allocated: 30 * GIB,
            root: r"\\?\D:\".into(),
            filesystem: "NTFS".into(),
            cluster: 4096,
            free_for_user: 15 * GIB,
            free: 15 * GIB,
            reports_ranges: true,
            ..WindowsAnswers::default()
        }
    }

    #[test]
    fn a_plain_file_on_ntfs_is_exact() {
        let space = answers().space();
        assert_eq!((space.free, space.unit), (15 * GIB, 4096));
        assert_eq!(space.place(), r"D:\ (ntfs)");
        assert_eq!((&*space.note, &*space.estimate), ("", ""));
        assert_eq!(space.room, Some(u64::from(u32::MAX) * 4096 - 30 * GIB));
        assert_eq!(answers().map(None), None);
    }

    #[test]
    fn the_users_quota_counts_not_what_the_volume_has() {
        let space = WindowsAnswers { free_for_user: GIB, ..answers() }.space();
        assert_eq!((space.free, &*space.note), (GIB, "the quota of the user who asks"));
    }

    #[test]
    fn a_file_on_fat_ends_at_4_gib() {
        let space =
            WindowsAnswers { filesystem: "FAT32".into(), file_size: GIB, allocated: GIB, ..answers() }
                .space();
        assert_eq!(space.free, 3 * GIB - 1);
        let exfat = WindowsAnswers { filesystem: "exFAT".into(), ..answers() }.space();
        assert_eq!((exfat.free, exfat.room), (15 * GIB, None));
        let refs = WindowsAnswers { filesystem: "ReFS".into(), ..answers() }.space();
        assert_eq!((refs.free, refs.room), (15 * GIB, None));
    }

    #[test]
    fn a_file_on_ntfs_has_at_most_as_many_clusters_as_32_bits_count() {
        for cluster in [512, 4096, 65_536, 2 << 20] {
            let space =
                WindowsAnswers { cluster, free: 1 << 60, free_for_user: 1 << 60, ..answers() }.space();
            let largest = cluster * u64::from(u32::MAX);
            assert_eq!((space.room, space.free), (Some(largest - 30 * GIB), largest - 30 * GIB), "{cluster}");
        }
        // Not known, not guessed.
        assert_eq!(WindowsAnswers { cluster: 0, ..answers() }.space().room, None);
    }

    #[test]
    fn an_image_in_a_shadow_copy_does_not_grow() {
        let space = WindowsAnswers { shadow_copy: true, ..answers() }.space();
        assert!(space.free == 0 && space.note.contains("shadow copy"), "{}", space.note);
    }

    #[test]
    fn what_is_read_only_cannot_grow() {
        for (attributes, volume_flags) in [(READ_ONLY, 0), (0, READ_ONLY_VOLUME)] {
            let space = WindowsAnswers { attributes, volume_flags, ..answers() }.space();
            assert_eq!(space.free, 0);
            assert!(space.note.contains("read-only"), "{}", space.note);
        }
    }

    #[test]
    fn what_the_figures_cannot_know_makes_them_estimates() {
        let estimate = |answers: WindowsAnswers| answers.space().estimate;
        let compressed = WindowsAnswers { attributes: COMPRESSED, allocated: GIB, ..answers() };
        assert!(estimate(compressed).starts_with("the host compresses the file"));
        assert!(estimate(WindowsAnswers { attributes: ENCRYPTED, ..answers() }).contains("EFS"));
        assert!(estimate(WindowsAnswers { remote: true, ..answers() }).contains("network"));
        assert!(estimate(WindowsAnswers { filesystem: "ReFS".into(), ..answers() }).contains("share"));
        let unreported = WindowsAnswers { allocated: GIB, reports_ranges: false, ..answers() };
        assert!(estimate(unreported).contains("holes"));
    }

    #[test]
    fn holes_are_where_the_ranges_are_not_and_else_anywhere() {
        let sparse = WindowsAnswers { attributes: SPARSE, allocated: GIB, ..answers() };
        let map = sparse.map(Some(vec![0..GIB, 2 * GIB..3 * GIB])).unwrap();
        assert_eq!(map.occupied(0..30 * GIB), 2 * GIB);
        assert!(!map.is_vague());
        let unreported = sparse.map(None).unwrap();
        assert_eq!(unreported.occupied(0..30 * GIB), 0);
        assert!(unreported.is_vague());
    }

    #[test]
    fn space_behind_the_end_of_the_file_is_its_own() {
        let reserved = WindowsAnswers { allocated: 40 * GIB, ..answers() };
        assert_eq!(reserved.map(None).unwrap().occupied(30 * GIB..u64::MAX), 10 * GIB);
        // The last cluster is none.
        let odd = WindowsAnswers { file_size: 5, allocated: 4096, ..answers() };
        assert_eq!(odd.map(None), None);
    }

    #[test]
    fn a_root_is_shown_as_people_write_it() {
        assert_eq!(shown(r"\\?\D:\"), r"D:\");
        assert_eq!(shown(r"\\?\Volume{0}\"), r"\\?\Volume{0}\");
        assert_eq!(shown(r"\\?\UNC\server\share\"), r"\\?\UNC\server\share\");
        assert_eq!(shown(r"E:\mounted\"), r"E:\mounted\");
    }
}
