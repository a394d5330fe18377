//! Disks of every kind, written in every way and compared with plain bytes in memory.

mod model;
mod refused;
mod vhd;
mod vhdx;
mod whole;

use std::sync::Arc;

use super::*;
use crate::{
    bytes::{
        read_vec,
        testing::{MemoryFile, Sparse},
    },
    container::{
        self, Container, Format, Kind, NewParent, OpenOptions, Plan, create, image::Image, open_source,
    },
    guid::Guid,
};

const MIB: u64 = 1 << 20;

/// A new image.
fn made(plan: &Plan, stretches: &[(u64, Vec<u8>)]) -> Sparse {
    let file = MemoryFile::default();
    let mut writer = create::Writer::new(&file, plan).unwrap();
    for (offset, bytes) in stretches {
        writer.write(*offset, bytes).unwrap();
    }
    writer.finish().unwrap();
    file.content()
}

/// A dynamic VHDX.
fn dynamic(size: u64, block_size: u64) -> Plan {
    Plan { block_size, ..Plan::new(Format::Vhdx, size, 0) }
}

/// A child of a VHDX.
fn child(size: u64, block_size: u64) -> Plan {
    let parent = NewParent {
        identity: Guid([7; 16]),
        relative_path: Some(r".\base.vhdx".into()),
        absolute_path: None,
        time: 0,
    };
    Plan { kind: Kind::Differencing, parent: Some(parent), ..dynamic(size, block_size) }
}

fn pattern(len: u64, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(usize::try_from(len).unwrap());
    bytes
}

/// Reads a file as others do: with its log replayed in memory, and the parent below.
fn read_only(file: Sparse, parent: Option<&Arc<dyn ByteSource>>) -> Arc<dyn ByteSource> {
    read_source(Arc::new(file), parent)
}

fn read_source(file: Arc<dyn ByteSource>, parent: Option<&Arc<dyn ByteSource>>) -> Arc<dyn ByteSource> {
    let options = OpenOptions { force_parent: true, ..OpenOptions::default() };
    let top = Image::from_source(file, "", &options).unwrap();
    let mut images = vec![top];
    if let Some(parent) = parent {
        images.push(Image::from_source(parent.clone(), "", &options).unwrap());
    }
    Container::new(images, Vec::new()).disk
}

/// What `check` finds, but for notes and a log to replay.
fn problems_of(file: &Arc<dyn ByteSource>) -> Vec<String> {
    crate::testing::crash::problems(file).unwrap()
}
