//! The examination beside fsck.fat: what mkfs.fat and mtools made is sound for both, and for each kind of damage both say so.

use std::path::Path;

use vhdmount::check::{Collector, Severity};

use super::{SHAPES, fill, format, mtools, open};
use crate::support::{have, run, scratch, tool};

fn examine(image: &Path) -> Vec<(Severity, String, String)> {
    let mut collector = Collector::default();
    vhdmount::fs::check(&open(image), &mut collector).unwrap();
    let (findings, _) = collector.into_parts();
    findings.into_iter().map(|found| (found.severity, found.structure, found.problem)).collect()
}

/// What fsck.fat says, and whether it is content.
fn fsck(image: &Path) -> (bool, String) {
    let output = tool("fsck.fat").arg("-n").arg(image).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text.into_owned())
}

/// A volume that other programs made and that is not damaged.
pub(super) fn is_clean(image: &Path) {
    assert_eq!(examine(image), [], "{}", image.display());
    let (success, text) = fsck(image);
    assert!(success, "{text}");
}

/// Where things are, read from the boot sector.
struct Layout {
    bytes: Vec<u8>,
    fat: usize,
    fat_len: usize,
    root: usize,
    wide: bool,
}

impl Layout {
    fn new(bytes: Vec<u8>) -> Self {
        let at = |offset: usize| usize::from(u16::from_le_bytes([bytes[offset], bytes[offset + 1]]));
        let wide = at(22) == 0;
        let (fat, fat_len) = (at(14) * 512, if wide { at(36) } else { at(22) } * 512);
        let root = fat + 2 * fat_len;
        Self { bytes, fat, fat_len, root, wide }
    }

    /// The entry of a file with this short name, among the root's first.
    fn entry(&mut self, name: &[u8; 11]) -> &mut [u8] {
        let at = (self.root..self.root + 512).step_by(32).find(|at| self.bytes[*at..].starts_with(name));
        let at = at.unwrap();
        &mut self.bytes[at..at + 32]
    }

    fn first_cluster(&mut self, name: &[u8; 11]) -> usize {
        let entry = self.entry(name);
        usize::from(u16::from_le_bytes([entry[26], entry[27]]))
    }

    fn set(&mut self, cluster: usize, value: u32) {
        for fat in [self.fat, self.fat + self.fat_len] {
            let value = value.to_le_bytes();
            match self.wide {
                true => self.bytes[fat + cluster * 4..][..4].copy_from_slice(&value),
                false => self.bytes[fat + cluster * 2..][..2].copy_from_slice(&value[..2]),
            }
        }
    }
}

const ONE: &[u8; 11] = b"ONE        ";
const OTHER: &[u8; 11] = b"OTHER      ";

type Damage = fn(&mut Layout);

/// What is done, how bad we find it, a part of what we say and of what fsck.fat says.
const KINDS: [(Damage, Severity, &str, &str); 9] = [
    (|volume| volume.entry(ONE)[0] = 0xe5, Severity::Warning, "belong to no file", "Reclaimed"),
    (
        |volume| {
            let first: [u8; 2] = volume.entry(OTHER)[26..28].try_into().unwrap();
            volume.entry(ONE)[26..28].copy_from_slice(&first);
        },
        Severity::Error,
        "they belong to file /ONE and file /OTHER",
        "share clusters",
    ),
    (|volume| volume.entry(ONE)[29] += 0x20, Severity::Error, "its chain has", "cluster chain length is"),
    (
        |volume| volume.entry(ONE)[28..32].fill(0),
        Severity::Warning,
        "its chain has",
        "cluster chain length is",
    ),
    (
        |volume| {
            let cluster = volume.first_cluster(ONE);
            volume.set(cluster, 0);
        },
        Severity::Error,
        "is marked as free",
        "Contains a free cluster",
    ),
    (
        |volume| {
            let cluster = volume.first_cluster(ONE);
            volume.set(cluster, u32::try_from(cluster).unwrap());
            volume.entry(ONE)[29] += 0x20;
        },
        Severity::Error,
        "comes back to cluster",
        "",
    ),
    (
        |volume| volume.bytes[volume.fat + volume.fat_len + 100] ^= 1,
        Severity::Warning,
        "are not those of FAT 1",
        "FATs differ",
    ),
    (
        |volume| volume.entry(ONE)[..11].copy_from_slice(OTHER),
        Severity::Error,
        "a second entry with this name",
        "Duplicate directory entry",
    ),
    (|volume| volume.entry(ONE)[0] = b':', Severity::Warning, "the short name", "Bad short file name"),
];

#[test]
fn damage_is_found_as_fsck_finds_it() {
    if !have(&["mkfs.fat", "mcopy", "mmd", "mdel", "fsck.fat"]) {
        return;
    }
    for shape in [SHAPES[3], SHAPES[6]] {
        let work = scratch();
        let (image, folder) = (work.path().join("image"), work.path().join("folder"));
        format(&image, shape);
        std::fs::create_dir(&folder).unwrap();
        for name in ["ONE", "OTHER"] {
            let file = work.path().join(name);
            std::fs::write(&file, vec![b'x'; 700]).unwrap();
            run(mtools("mcopy", &image).arg(&file).arg(format!("::/{name}")));
        }
        fill(&image, &folder, shape.1 * shape.2);
        is_clean(&image);
        let sound = std::fs::read(&image).unwrap();
        for (number, (damage, severity, ours, theirs)) in KINDS.into_iter().enumerate() {
            let mut volume = Layout::new(sound.clone());
            damage(&mut volume);
            std::fs::write(&image, &volume.bytes).unwrap();
            let found = examine(&image);
            let wanted = |found: &(Severity, String, String)| found.0 == severity && found.2.contains(ours);
            assert!(found.iter().any(wanted), "{shape:?}, {number}: {found:#?}");
            let (success, text) = fsck(&image);
            assert!(!success && text.contains(theirs), "{shape:?}, {number}: {text}");
        }
    }
}
