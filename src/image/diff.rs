//! What a differencing disk changes, in files: the trees of its volumes beside those of its parent's. Files whose bytes lie in the
//! same place of the same file of the host are equal without being read.

mod content;
mod walk;

use std::ops::{ControlFlow, Range};

use serde::Serialize;

use super::{Content, Image, OpenOptions};
use crate::{
    Error, Result,
    container::{Container, Layer, Place},
    fs::probe::Probe,
};

/// What happened to a file, a directory or a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// The parent does not have it.
    Added,
    /// The parent alone has it.
    Removed,
    /// Content, size, times or attributes differ.
    Changed,
}

/// A path that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The volume: `p3`.
    pub volume: String,
    /// From the volume's root on; a directory ends with `/`, a stream follows a `:`.
    pub path: String,
    /// What happened.
    pub change: Change,
    /// Bytes in the overlay; of what was removed, in the parent. 0 for directories and links.
    pub size: u64,
}

/// What is known of one volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VolumeDifferences {
    /// `p3`
    pub name: String,
    /// Bytes of it that the overlay holds, whether they are other ones than before or not.
    pub held: u64,
    /// Paths that were added, removed and changed.
    pub added: u64,
    /// See `added`.
    pub removed: u64,
    /// See `added`.
    pub changed: u64,
    /// Why its files were not compared; empty if they were.
    pub not_compared: String,
    /// Why all of its files were added or removed; empty if they were compared with others.
    pub note: String,
    /// Directories and files that could not be read, so that more may differ.
    pub problems: Vec<String>,
}

/// Problems that are kept of each volume.
const MAX_PROBLEMS: usize = 100;

impl VolumeDifferences {
    fn problem(&mut self, path: &str, error: &Error) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(format!("{path}: {error}"));
        }
    }
}

/// Where differences go; a break ends the comparison.
pub type Sink<'a> = dyn FnMut(Difference) -> ControlFlow<()> + 'a;

/// Compares the volumes of a differencing image with those of its parent.
///
/// # Errors
/// [`Error::Invalid`] for an image without a parent; as opening the parent. What cannot be read inside is in the result.
pub fn against_parent(
    image: &Image,
    options: &OpenOptions,
    sink: &mut Sink<'_>,
) -> Result<Vec<VolumeDifferences>> {
    let parent = image.below(options)?.ok_or_else(|| {
        Error::invalid(
            "the image has no parent, so that there is nothing to compare it with: it is no overlay",
        )
    })?;
    let mut all = Vec::new();
    for new in &image.opened.volumes {
        let old = parent.opened.volumes.iter().find(|old| is_same(new, old));
        let mut found = differences(&new.volume.name, held(image.container(), new)?);
        let flow = match (&new.probe, old.map(|old| &old.probe)) {
            (Probe::Readable(new), None) => {
                found.note = "the parent has no such volume".to_owned();
                walk::one_side(&**new, Change::Added, &mut found, sink)
            }
            (_, None) => {
                found.not_compared = "the parent has no such volume".to_owned();
                ControlFlow::Continue(())
            }
            (Probe::Readable(new), Some(Probe::Unformatted | Probe::Unknown)) => {
                found.note = "unformatted in the parent".to_owned();
                walk::one_side(&**new, Change::Added, &mut found, sink)
            }
            (Probe::Unformatted | Probe::Unknown, Some(Probe::Readable(old))) => {
                found.note = "no filesystem any more".to_owned();
                walk::one_side(&**old, Change::Removed, &mut found, sink)
            }
            (Probe::Readable(new), Some(Probe::Readable(old))) if found.held > 0 => {
                walk::compare(&**new, &**old, &mut found, sink)
            }
            _ if found.held == 0 => ControlFlow::Continue(()),
            _ => {
                found.not_compared = "its filesystem is not read, here or in the parent".to_owned();
                ControlFlow::Continue(())
            }
        };
        all.push(found);
        if flow.is_break() {
            return Ok(all);
        }
    }
    for old in &parent.opened.volumes {
        if !image.opened.volumes.iter().any(|new| is_same(new, old)) {
            let mut found = differences(&old.volume.name, 0);
            let why = "the parent alone has this volume".to_owned();
            let flow = match &old.probe {
                Probe::Readable(old) => {
                    found.note = why;
                    walk::one_side(&**old, Change::Removed, &mut found, sink)
                }
                _ => {
                    found.not_compared = why;
                    ControlFlow::Continue(())
                }
            };
            all.push(found);
            if flow.is_break() {
                break;
            }
        }
    }
    Ok(all)
}

fn differences(name: &str, held: u64) -> VolumeDifferences {
    VolumeDifferences {
        name: name.to_owned(),
        held,
        added: 0,
        removed: 0,
        changed: 0,
        not_compared: String::new(),
        note: String::new(),
        problems: Vec::new(),
    }
}

/// The same place on the disk, under the same name.
fn is_same(new: &Content, old: &Content) -> bool {
    new.volume.name == old.volume.name && new.volume.place(0) == old.volume.place(0)
}

/// Bytes of a volume that the top image holds itself.
fn held(container: &Container, content: &Content) -> Result<u64> {
    let Some(top) = container.disk.layers().first() else { return Ok(0) };
    let mut held = 0;
    let whole = 0..content.volume.bytes.size();
    content.volume.stretches().each(whole, &mut |part: Range<u64>, stretch| {
        if let Some(place) = stretch.part_on_disk(&part) {
            held += held_in(&**top, place)?;
        }
        Ok::<_, Error>(())
    })?;
    Ok(held)
}

fn held_in(top: &dyn Layer, place: Range<u64>) -> Result<u64> {
    let (mut at, end) = (place.start, place.end.min(top.virtual_size()));
    let mut held = 0;
    while at < end {
        let segment = top.resolve(at)?;
        let len = segment.len.max(1).min(end - at);
        // Zeros are held as well: they hide what the parent has.
        if segment.place != Place::Parent {
            held += len;
        }
        at += len;
    }
    Ok(held)
}
