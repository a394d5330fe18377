//! The check of the table's copies against each other, and of the first two entries, which are marks.

use super::{super::boot::Width, Check};
use crate::{
    bytes::{Extent, ExtentKind},
    check::Severity,
    fs::findings::Kind,
};

const COPIES: Kind = Kind {
    severity: Severity::Warning,
    name: "copies of the table",
    meaning: "The first sound copy is used, and another one for chains that it has lost. Where they differ, files may show \
              an older or a newer content; fsck.fat or chkdsk makes them equal.",
};
const UNREADABLE: Kind = Kind {
    severity: Severity::Warning,
    name: "unreadable parts of the table",
    meaning: "Another copy of the table is used there; where there is none, the files are cut short.",
};
const MEDIA: Kind = Kind {
    severity: Severity::Warning,
    name: "media descriptor",
    meaning: "The table's first entry should repeat the boot sector's descriptor: the table may be damaged there.",
};

/// Bytes of the tables that are compared at once, at most and at least: where they are stored in patches, large pieces would be
/// mostly holes.
const PIECE: u64 = 1 << 20;
const LEAST: u64 = 16 << 10;

impl Check<'_, '_> {
    pub(super) fn tables(&mut self) {
        let (fat, geometry) = (self.fat, &self.fat.geometry);
        let table = fat.chains.table();
        for copy in 0..table.copies() {
            match table.raw_alone(copy, 0, &mut self.reader) {
                Ok(raw) if raw & 0xff == u32::from(geometry.media) => {}
                Ok(raw) => {
                    let problem = format!("{:#04x}, but the first entry is {raw:#x}", geometry.media);
                    self.report(&MEDIA, &format!("FAT {}", table.number(copy, geometry)), problem);
                }
                // Reported by the comparison.
                Err(_) => {}
            }
        }
        let len = (u64::from(geometry.clusters) + 2) * geometry.width.bits();
        let len = len.div_ceil(8).min(geometry.fat_len);
        for copy in 1..table.copies() {
            self.compare(copy, len);
        }
    }

    /// Compares a copy with the first one.
    fn compare(&mut self, copy: usize, len: u64) {
        let (fat, geometry) = (self.fat, &self.fat.geometry);
        let (table, volume) = (fat.chains.table(), &**fat.pages.volume());
        let [one, other] = [0, copy].map(|copy| table.number(copy, geometry));
        let (mut different, mut first) = (0_u64, None);
        let mut buffers = [Vec::new(), Vec::new()];
        let mut offset = 0;
        // A truncation of the volume is reported with the volume.
        let len = len.min(volume.size().saturating_sub(table.position(0).max(table.position(copy))));
        while offset < len {
            // How far both copies are holes, or at least one is not.
            let extents = [0, copy].map(|copy| volume.extent_at(table.position(copy) + offset).ok());
            let hole = |extent: Option<Extent>| extent.filter(|extent| extent.kind == ExtentKind::Hole);
            let holes = extents.map(|extent| hole(extent).map_or(0, |extent| extent.len));
            let both = holes[0].min(holes[1]).min(len - offset);
            if both > 0 {
                offset += both;
                continue;
            }
            let stored = extents.map(|extent| match extent {
                Some(extent) if extent.kind == ExtentKind::Hole => 0,
                extent => extent.map_or(PIECE, |extent| extent.len),
            });
            let take = stored[0].max(stored[1]).clamp(LEAST, PIECE).min(len - offset);
            let step = usize::try_from(take).expect("at most a piece");
            let mut read = true;
            for (buffer, copy) in buffers.iter_mut().zip([0, copy]) {
                buffer.resize(step, 0);
                if let Err(error) = volume.read_exact_at(table.position(copy) + offset, buffer) {
                    if self.findings.counted(&UNREADABLE) {
                        let structure = format!("FAT {}", table.number(copy, geometry));
                        self.findings.report(&UNREADABLE, structure, error.to_string());
                    }
                    read = false;
                }
            }
            if read && buffers[0] != buffers[1] {
                let entry = |at: u64| u32::try_from(at * 8 / geometry.width.bits()).expect("28 bits");
                // One more for an entry of FAT12 that straddles the end.
                let last = entry(offset + take).saturating_add(1).min(geometry.clusters + 2);
                for cluster in entry(offset)..last {
                    if self.differs(copy, cluster) {
                        different += 1;
                        first = first.or(Some(cluster));
                    }
                }
            }
            offset += take;
        }
        if let Some(first) = first {
            let problem =
                format!("{different} entries are not those of FAT {one}, the first: cluster {first}");
            self.report(&COPIES, &format!("FAT {other}"), problem);
        }
    }

    fn differs(&mut self, copy: usize, cluster: u32) -> bool {
        let table = self.fat.chains.table();
        let Ok(one) = table.raw_alone(0, cluster, &mut self.reader) else { return false };
        let Ok(other) = table.raw_alone(copy, cluster, &mut self.reader) else { return false };
        // The second entry holds the volume's state, which some drivers keep in the first copy only.
        let state = match self.fat.geometry.width {
            _ if cluster != 1 => 0,
            Width::Fat12 => 0,
            Width::Fat16 => 0xc000,
            Width::Fat32 => 0x0c00_0000,
        };
        one | state != other | state
    }
}
