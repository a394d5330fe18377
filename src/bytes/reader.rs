//! `std::io::Read` and `Seek` over a source, for code that expects a file.

use std::{
    io::{self, Read, Seek, SeekFrom},
    sync::Arc,
};

use super::ByteSource;

/// A source with a position. Each clone has its own position in the same bytes.
#[derive(Clone)]
pub struct Reader {
    source: Arc<dyn ByteSource>,
    position: u64,
}

impl Reader {
    /// A reader at offset 0.
    pub fn new(source: Arc<dyn ByteSource>) -> Self {
        Self { source, position: 0 }
    }
}

impl Read for Reader {
    /// Fills `buf` as far as the source reaches: short only at its end.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let rest = self.source.size().saturating_sub(self.position);
        let len = usize::try_from(rest).map_or(buf.len(), |rest| rest.min(buf.len()));
        if len == 0 {
            return Ok(0);
        }
        self.source.read_exact_at(self.position, &mut buf[..len]).map_err(io::Error::other)?;
        self.position += len as u64;
        Ok(len)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(distance) => self.source.size().checked_add_signed(distance),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
        };
        let negative = || io::Error::new(io::ErrorKind::InvalidInput, "a position before the first byte");
        self.position = position.ok_or_else(negative)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::{MemorySource, testing::Faulty};

    #[test]
    fn reads_and_seeks_as_a_file_does() {
        let mut reader = Reader::new(Arc::new(MemorySource(b"0123456789".to_vec())));
        let mut text = String::new();
        reader.seek(SeekFrom::End(-4)).unwrap();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), reader.stream_position().unwrap()), ("6789", 10));
        assert!(reader.seek(SeekFrom::Current(-11)).is_err());
        reader.seek(SeekFrom::Start(100)).unwrap();
        assert_eq!(reader.read(&mut [0; 3]).unwrap(), 0);
    }

    #[test]
    fn a_bad_sector_is_an_error_and_the_position_stays() {
        let source = Arc::new(MemorySource(vec![7; 100]));
        let bad = 50..51;
        let mut reader = Reader::new(Arc::new(Faulty::new(source, Vec::from([bad]))));
        assert_eq!(reader.read(&mut [0; 40]).unwrap(), 40);
        assert!(reader.read(&mut [0; 40]).is_err());
        assert_eq!(reader.stream_position().unwrap(), 40);
    }
}
