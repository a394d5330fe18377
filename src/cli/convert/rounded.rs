//! A disk whose size the new format can have.

use vhdmount::{
    bytes::{ByteSource, Extent, ExtentKind, InFile},
    container::Format,
    image::Image,
};

use crate::cli::config::Convert;

const MIB: u64 = 1 << 20;

/// The disk, and zeros up to a size that the new format can have.
pub(super) struct Rounded<'a> {
    disk: &'a dyn ByteSource,
    size: u64,
}

impl<'a> Rounded<'a> {
    pub(super) fn new(image: &'a Image, command: &Convert) -> Self {
        let disk: &dyn ByteSource = &**image.disk();
        let unit = match command.format {
            _ if command.azure => MIB,
            Format::Raw => 1,
            Format::Vhd | Format::Vhdx => u64::from(super::sector_size(image)),
        };
        Self { disk, size: disk.size().next_multiple_of(unit) }
    }
}

impl ByteSource for Rounded<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> vhdmount::Result<()> {
        let inside = usize::try_from(self.disk.size().saturating_sub(offset)).unwrap_or(usize::MAX);
        let (here, beyond) = buf.split_at_mut(inside.min(buf.len()));
        beyond.fill(0);
        if here.is_empty() { Ok(()) } else { self.disk.read_exact_at(offset, here) }
    }

    fn extent_at(&self, offset: u64) -> vhdmount::Result<Extent> {
        match offset < self.disk.size() {
            true => self.disk.extent_at(offset),
            false => Ok(Extent { kind: ExtentKind::Hole, len: self.size.saturating_sub(offset) }),
        }
    }

    fn in_file(&self, offset: u64) -> Option<InFile<'_>> {
        self.disk.in_file(offset)
    }
}
