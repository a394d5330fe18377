//! The check of one directory's entries: long and short names, the start of each chain and its length against the file size.

use std::{
    collections::HashSet,
    hash::{BuildHasher, Hash, RandomState},
};

use super::{
    super::{
        boot::Root,
        chain::Chain,
        directory::{Slot, Slots},
        format::{ShortEntry, attr, slot},
        name::{Assembler, fold, push_short},
    },
    Check, Object,
    chain::End,
    tree::{MAX_LOSERS, shown},
};
use crate::{Result, check::Severity, fs::findings::Kind};

const DOTS: Kind = Kind {
    severity: Severity::Warning,
    name: "directories without their `.` and `..`",
    meaning: "The directory is read all the same; other systems may lose their way in it.",
};
const LONG_NAME: Kind = Kind {
    severity: Severity::Warning,
    name: "long names without their entry",
    meaning: "Nothing but the long name is lost; the file or directory is listed by its short one.",
};
const BAD_NAME: Kind = Kind {
    severity: Severity::Warning,
    name: "names that cannot be",
    meaning: "The slot may not hold an entry at all: check whether the directory has other data from here on.",
};
const DUPLICATE: Kind = Kind {
    severity: Severity::Error,
    name: "names that occur twice in a directory",
    meaning: "Only one of them can be reached by this name.",
};
const LABEL: Kind = Kind {
    severity: Severity::Warning,
    name: "volume labels where none should be",
    meaning: "The first label in the root directory is shown; nothing else is affected.",
};
const SHORT: Kind = Kind {
    severity: Severity::Error,
    name: "chains that end before their file",
    meaning: "The end of the file cannot be read. Restore it from a backup.",
};
const LONG: Kind = Kind {
    severity: Severity::Warning,
    name: "chains that go on behind their file",
    meaning: "The file is read as long as its entry says; if that is wrong, its end is in the further clusters.",
};
const BEHIND: Kind = Kind {
    severity: Severity::Warning,
    name: "chains that are damaged behind their file",
    meaning: "The file itself can be read.",
};
const NO_CLUSTERS: Kind = Kind {
    severity: Severity::Error,
    name: "directories without clusters",
    meaning: "Whatever was in the directory is not listed.",
};
const DIRECTORY_SIZE: Kind = Kind {
    severity: Severity::Warning,
    name: "directories with a size",
    meaning: "The directory is read all the same.",
};

/// Bytes that are invalid in short names, besides control characters; some drivers write lower case and `+,;=[]`.
const FORBIDDEN: &[u8] = b"\"*./:<>?\\|\x7f";

/// The names seen in one directory. A directory has at most 262,144 slots.
#[derive(Default)]
struct Names {
    short: HashSet<[u8; 11]>,
    long: HashSet<u64>,
    seed: RandomState,
}

impl Check<'_, '_> {
    /// Checks the directory whose chain starts at cluster `first`, inside `parent`; 0: the root.
    pub(super) fn entries(&mut self, chain: &Chain, first: u32, parent: u32) -> Result<()> {
        let fat = self.fat;
        let (mut slots, mut names) = (Slots::new(chain, &fat.pages, 0), Names::default());
        let (mut long, mut pieces, mut labels) = (Assembler::new(), 0_u32, 0_u32);
        let mut at = 0_u32;
        while let Some((slot, position)) = slots.next()? {
            if let Slot::Long(piece) = &slot {
                long.add(piece);
                pieces += 1;
            } else {
                let units = match &slot {
                    Slot::Entry(entry) => long.finish(entry).map(<[u16]>::to_vec),
                    _ => None,
                };
                if pieces > 0 && units.is_none() {
                    let problem =
                        format!("{pieces} pieces of a long name before slot {at} do not belong to it");
                    self.report_of(&LONG_NAME, Object::Here, &problem);
                }
                pieces = 0;
                long.clear();
                match slot {
                    Slot::Entry(entry) => self.entry(&entry, units, position, &mut names),
                    Slot::Label(_) => {
                        labels += 1;
                        if first != 0 || labels > 1 {
                            self.report_of(&LABEL, Object::Here, &format!("a volume label in slot {at}"));
                        }
                    }
                    Slot::Dot(_) if at == 0 && first != 0 => {}
                    Slot::DotDot(entry) if at == 1 && first != 0 => self.dot_dot(&entry, parent),
                    Slot::Dot(_) | Slot::DotDot(_) => {
                        self.report_of(&DOTS, Object::Here, &format!("`.` or `..` in slot {at}"));
                    }
                    Slot::End | Slot::Deleted(_) | Slot::Long(_) => {}
                }
            }
            at += 1;
        }
        if first != 0 {
            self.dot(first);
        }
        if pieces > 0 {
            let problem = format!("{pieces} pieces of a long name at the end belong to nothing");
            self.report_of(&LONG_NAME, Object::Here, &problem);
        }
        Ok(())
    }

    /// Checks the first two slots of any directory but the root.
    fn dot(&mut self, first: u32) {
        let at = self.fat.geometry.cluster_offset(first);
        let mut bytes = [0; 2 * slot::SIZE as usize];
        if self.reader.read(at, &mut bytes).is_err() {
            return;
        }
        let [dot, dot_dot] =
            [0, 1].map(|i| bytes[i * slot::SIZE as usize..].first_chunk().map_or(Slot::End, Slot::parse));
        // `.` has the directory's own first cluster, low half first.
        let own = u32::from(u16::from_le_bytes([bytes[26], bytes[27]]));
        match (dot, dot_dot) {
            (Slot::Dot(_), Slot::DotDot(_)) if own == first & 0xffff => {}
            (Slot::Dot(_), Slot::DotDot(_)) => {
                self.report_of(&DOTS, Object::Here, &format!("`.` leads to cluster {own}, not to {first}"));
            }
            _ => self.report_of(&DOTS, Object::Here, "`.` and `..` are not its first entries"),
        }
    }

    fn dot_dot(&mut self, entry: &ShortEntry, parent: u32) {
        let up = self.fat.first_cluster(entry);
        let is_root = self.fat.geometry.root == Root::Chain { first_cluster: up };
        // 0 means the root; some drivers write the first cluster of FAT32's root instead.
        if up != parent && !(parent == 0 && is_root) {
            self.report_of(&DOTS, Object::Here, &format!("`..` leads to cluster {up}, not to {parent}"));
        }
    }

    fn entry(&mut self, entry: &ShortEntry, long: Option<Vec<u16>>, position: u64, names: &mut Names) {
        let mut short = Vec::new();
        push_short(entry, &self.fat.decoder, true, &mut short);
        let name = shown(long.as_deref().unwrap_or(&short));
        let is_directory = entry.attr & attr::DIRECTORY != 0;
        let object = if is_directory { Object::Directory(&name) } else { Object::File(&name) };
        self.names(entry, long.as_deref(), object, names);
        let first = self.fat.first_cluster(entry);
        if !is_directory {
            return self.file(first, entry.file_size.get(), object);
        }
        if entry.file_size.get() != 0 {
            self.report_of(&DIRECTORY_SIZE, object, &format!("has a size of {} bytes", entry.file_size));
        }
        if first == 0 {
            return self.report_of(&NO_CLUSTERS, object, "no clusters");
        }
        let claimed = self.claim(first, object);
        if claimed.clusters == 0 && self.losers.len() < MAX_LOSERS {
            self.losers.insert(position);
        }
        self.directory_chain(object, claimed.end);
    }

    fn names(&mut self, entry: &ShortEntry, long: Option<&[u16]>, object: Object<'_>, names: &mut Names) {
        let first = match entry.name[0] {
            slot::ESCAPED_E5 => 0xe5,
            byte => byte,
        };
        let mut bytes = std::iter::once(first).chain(entry.name[1..].iter().copied());
        if first == b' ' || bytes.any(|byte| byte < 0x20 || FORBIDDEN.contains(&byte)) {
            let text = entry.name.escape_ascii();
            self.report_of(&BAD_NAME, object, &format!("the short name \"{text}\""));
        }
        let long = long.map(|units| {
            let folded: Vec<u16> = units.iter().map(|unit| fold(*unit)).collect();
            names.seed.hash_one(HashOf(&folded))
        });
        let twice = !names.short.insert(entry.name) || long.is_some_and(|hash| !names.long.insert(hash));
        if twice {
            let text = entry.name.escape_ascii();
            self.report_of(
                &DUPLICATE,
                object,
                &format!("a second entry with this name (short name \"{text}\")"),
            );
        }
    }

    fn file(&mut self, first: u32, size: u32, file: Object<'_>) {
        let expected = u64::from(size).div_ceil(self.fat.geometry.cluster_size.into());
        if first == 0 {
            if size > 0 {
                self.report_of(&SHORT, file, &format!("{size} bytes, but no clusters"));
            }
            return;
        }
        let claimed = self.claim(first, file);
        let clusters = u64::from(claimed.clusters);
        match claimed.end {
            End::Shared => {}
            End::Broken(problem) if clusters < expected => {
                self.report_of(&SHORT, file, &format!("{size} bytes; its chain is damaged: {problem}"));
            }
            End::Broken(problem) => self.report_of(&BEHIND, file, &problem),
            End::Proper if clusters < expected => {
                self.report_of(
                    &SHORT,
                    file,
                    &format!("{size} bytes, {expected} clusters; its chain has {clusters}"),
                );
            }
            End::Proper if clusters > expected => {
                self.report_of(
                    &LONG,
                    file,
                    &format!("{size} bytes, {expected} clusters; its chain has {clusters}"),
                );
            }
            End::Proper => {}
        }
    }
}

#[derive(Hash)]
struct HashOf<'a>(&'a [u16]);
