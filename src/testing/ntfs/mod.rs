//! NTFS volumes from choices: records with lists of attributes, resident, fragmented, sparse and compressed content, named
//! streams, links, trees of index blocks, deleted and lost files, the metadata files. Written from the format's
//! description, independently of the reader.

mod attribute;
mod content;
mod file;
mod index;
mod record;
mod space;
mod system;
mod tree;
mod volume;

use super::{Made, input::Input};
use volume::Writer;

/// Makes a volume.
pub fn volume(input: &mut Input<'_>) -> Made {
    let mut writer = Writer::new(input);
    writer.system_files();
    let tree = writer.tree();
    let pieces = writer.finish(system::name);
    Made { pieces, files: tree.files, sound: tree.sound }
}

#[cfg(test)]
mod tests;
