//! EFS: the content of an encrypted stream, without its keys, in ntfs-3g's raw form, from which Windows can restore it: the
//! ciphertext in whole sectors, and the number of padding bytes in the last one (16 bits).

use std::sync::Arc;

use crate::{
    Error, Result,
    bytes::{ByteSource, Extent, ExtentKind, Wrapper, check_range},
    fs::{
        ntfs::{
            attributes::efs_size::{TRAILER, raw_size},
            records::file::{Place, Value},
        },
        runs::RunSource,
    },
};

/// Opens the raw form of an encrypted stream.
///
/// # Errors
/// [`Error::Unsupported`] for a stream that was written only in part: the rest is not encrypted.
pub(in super::super) fn raw(volume: Arc<dyn ByteSource>, value: &Value) -> Result<Arc<dyn ByteSource>> {
    let Place::Clusters(runs) = &value.place else {
        return Err(Error::unsupported("an encrypted stream inside its record, which Windows never writes"));
    };
    if value.valid != value.size {
        return Err(Error::unsupported(format!(
            "encrypted by EFS, of {} bytes only {} were written: there is no raw form of it",
            value.size, value.valid
        )));
    }
    let size = raw_size(value.size).ok_or_else(|| Error::corrupt("encrypted stream", None, "too long"))?;
    let units = size.saturating_sub(TRAILER as u64);
    let padding = u16::try_from(units - value.size).expect("less than a unit").to_le_bytes();
    Ok(Arc::new(Raw { units: RunSource::new(volume, runs.clone(), units, units), padding, size }))
}

/// The ciphertext with its trailer.
struct Raw {
    units: RunSource,
    padding: [u8; TRAILER],
    size: u64,
}

impl Wrapper for Raw {
    fn below(&self) -> &dyn ByteSource {
        &self.units
    }

    fn start_below(&self) -> Option<u64> {
        Some(0)
    }

    fn length(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(self.size, offset, buf.len())?;
        let stored = self.units.size().saturating_sub(offset);
        let stored = usize::try_from(stored).unwrap_or(usize::MAX).min(buf.len());
        let (units, trailer) = buf.split_at_mut(stored);
        if !units.is_empty() {
            self.units.read_exact_at(offset, units)?;
        }
        let first = offset.saturating_sub(self.units.size());
        let first = usize::try_from(first).expect("the range was checked");
        trailer.copy_from_slice(&self.padding[first..first + trailer.len()]);
        Ok(())
    }

    fn extent(&self, offset: u64) -> Result<Extent> {
        if offset >= self.units.size() {
            let len = self.size.saturating_sub(offset);
            return Ok(Extent { kind: if len == 0 { ExtentKind::Hole } else { ExtentKind::Data }, len });
        }
        self.units.extent_at(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::ntfs::attributes::FLAG_ENCRYPTED;
    use crate::{
        bytes::{MemorySource, read_vec},
        fs::runs::RunList,
    };

    fn value(size: u64, valid: u64) -> Value {
        let mut runs = RunList::new();
        runs.push(4096, Some(100)).unwrap();
        let place = Place::Clusters(Arc::new(runs));
        Value { flags: FLAG_ENCRYPTED, compression_unit: 0, size, valid, place }
    }

    fn volume() -> Arc<dyn ByteSource> {
        Arc::new(MemorySource((0..5000_u32).map(|i| i.to_le_bytes()[0]).collect()))
    }

    #[test]
    fn ciphertext_is_whole_units_with_the_padding_behind() {
        for (size, units, padding) in
            [(1, 512, [255, 1]), (511, 512, [1, 0]), (512, 512, [0, 0]), (513, 1024, [255, 1])]
        {
            let raw = raw(volume(), &value(size, size)).unwrap();
            assert_eq!(raw.size(), units + 2);
            let all = read_vec(&*raw, 0, usize::try_from(units + 2).unwrap()).unwrap();
            let stored = read_vec(&*volume(), 100, usize::try_from(units).unwrap()).unwrap();
            assert_eq!((&all[..all.len() - 2], &all[all.len() - 2..]), (&stored[..], &padding[..]));
            for at in all.len() - 4..=all.len() {
                assert_eq!(read_vec(&*raw, at as u64, all.len() - at).unwrap(), all[at..]);
            }
            assert!(raw.read_exact_at(units + 1, &mut [0; 2]).is_err());
            assert_eq!(raw.extent_at(units).unwrap(), Extent { kind: ExtentKind::Data, len: 2 });
        }
    }

    #[test]
    fn empty_streams_stay_empty_and_unwritten_ones_are_refused() {
        assert_eq!(raw(volume(), &value(0, 0)).unwrap().size(), 0);
        assert!(raw(volume(), &value(100, 50)).is_err());
        assert!(raw(volume(), &value(u64::MAX, u64::MAX)).is_err());
        // Damage: more than the clusters hold.
        let long = raw(volume(), &value(5000, 5000)).unwrap();
        assert!(long.read_exact_at(4500, &mut [0; 10]).is_err());
    }

    #[test]
    fn run_list_and_place_count_as_those_of_the_stream() {
        let raw = raw(volume(), &value(513, 513)).unwrap();
        assert!(raw.memory() > 0);
        assert_eq!(raw.position(), Some(100));
    }
}
