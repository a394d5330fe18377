//! What a volume holds. Filesystems and volume formats do not import each other: here their detection is interleaved.

use std::sync::Arc;

use crate::{
    Result,
    bytes::ByteSource,
    fs::{
        Context, Options,
        probe::{self, Known, Probe},
    },
    volume::{self, Look},
};

/// Finds out what `volume` holds.
///
/// # Errors
/// When its first sectors cannot be read, and no copy of a boot sector is left.
pub fn probe(volume: &Arc<dyn ByteSource>, options: &Options) -> Result<Probe> {
    probe_in(volume, options, &Context::default())
}

/// As [`probe`], of one of an image's volumes.
pub(super) fn probe_in(volume: &Arc<dyn ByteSource>, options: &Options, context: &Context) -> Result<Probe> {
    probe::probe_among(volume, options, context, &|stage, front| {
        let stage = match stage {
            probe::Stage::First => volume::Stage::First,
            probe::Stage::Front => volume::Stage::Front,
            probe::Stage::Last => volume::Stage::Last,
        };
        let known = volume::recognize(&Look { stage, volume: &**volume, front })?;
        Ok(known.map(|volume::Known { name, hint }| Known { name, hint }))
    })
}
