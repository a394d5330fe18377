//! The requests that the driver of WinFsp sends and the answers that it gets: `FSP_FSCTL_TRANSACT_REQ` and
//! `FSP_FSCTL_TRANSACT_RSP` of `winfsp/fsctl.h`, as Microsoft's compiler lays them out, byte by byte.

use std::fmt;

/// Where what differs between requests begins.
const BODY: usize = 16;
/// `FileName`, and what follows the fixed part.
const FILE_NAME: usize = 80;
const REQUEST_BUFFER: usize = 88;
const ANSWER_BUFFER: usize = 128;
/// `sizeof(FSP_FSCTL_TRANSACT_REQ)`, which the driver gives as its version.
const VERSION: u16 = 88;

/// `FspFsctlTransact…Kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Kind {
    Create = 1,
    Overwrite = 2,
    Cleanup = 3,
    Close = 4,
    Read = 5,
    Write = 6,
    QueryInformation = 7,
    SetInformation = 8,
    QueryEa = 9,
    SetEa = 10,
    FlushBuffers = 11,
    QueryVolumeInformation = 12,
    SetVolumeInformation = 13,
    QueryDirectory = 14,
    FileSystemControl = 15,
    QuerySecurity = 19,
    SetSecurity = 20,
    QueryStreamInformation = 21,
}

/// `NTSTATUS`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Status(pub(super) u32);

impl Status {
    pub(super) const SUCCESS: Self = Self(0);
    pub(super) const REPARSE: Self = Self(0x0000_0104);
    pub(super) const INVALID_DEVICE_REQUEST: Self = Self(0xC000_0010);
    pub(super) const END_OF_FILE: Self = Self(0xC000_0011);
    pub(super) const ACCESS_DENIED: Self = Self(0xC000_0022);
    pub(super) const OBJECT_NAME_NOT_FOUND: Self = Self(0xC000_0034);
    pub(super) const OBJECT_PATH_NOT_FOUND: Self = Self(0xC000_003A);
    pub(super) const MEDIA_WRITE_PROTECTED: Self = Self(0xC000_00A2);
    pub(super) const FILE_IS_A_DIRECTORY: Self = Self(0xC000_00BA);
    pub(super) const FILE_CORRUPT_ERROR: Self = Self(0xC000_0102);
    pub(super) const NOT_A_DIRECTORY: Self = Self(0xC000_0103);
    pub(super) const NOT_A_REPARSE_POINT: Self = Self(0xC000_0275);

    pub(super) fn failed(self) -> bool {
        self.0 >> 31 == 1
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// A request, as it goes to the stand-in.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) bytes: Vec<u8>,
    /// Size of the caller's buffer.
    pub(super) buffer: u32,
    /// Where its address belongs, and the caller's token; 0: nowhere.
    pub(super) address_at: u32,
    pub(super) token_at: u32,
}

impl Request {
    pub(super) fn new(kind: Kind) -> Self {
        let request = Self { bytes: vec![0; REQUEST_BUFFER], buffer: 0, address_at: 0, token_at: 0 };
        request.u16(0, VERSION).u32(4, kind as u32)
    }

    pub(super) fn u16(self, at: usize, value: u16) -> Self {
        self.put(at, &value.to_le_bytes())
    }

    pub(super) fn u32(self, at: usize, value: u32) -> Self {
        self.put(at, &value.to_le_bytes())
    }

    pub(super) fn u64(self, at: usize, value: u64) -> Self {
        self.put(at, &value.to_le_bytes())
    }

    fn put(mut self, at: usize, bytes: &[u8]) -> Self {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// The file that the request is about, as the file system named it when it was opened.
    pub(super) fn of(self, context: [u64; 2]) -> Self {
        self.u64(BODY, context[0]).u64(BODY + 8, context[1])
    }

    /// The caller's buffer, of `Length`; its address stands at `at`.
    pub(super) fn buffer(mut self, at: usize, length: u32) -> Self {
        (self.buffer, self.address_at) = (length, u32::try_from(at).unwrap());
        self
    }

    pub(super) fn token(mut self, at: usize) -> Self {
        self.token_at = u32::try_from(at).unwrap();
        self
    }

    /// Adds bytes behind the request; a `FSP_FSCTL_TRANSACT_BUF` at `at` points to them.
    pub(super) fn blob(mut self, at: usize, bytes: &[u8]) -> Self {
        let offset = u16::try_from(self.bytes.len() - REQUEST_BUFFER).unwrap();
        self.bytes.extend_from_slice(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        self.u16(at, offset).u16(at + 2, u16::try_from(bytes.len()).unwrap())
    }

    /// As [`Self::blob`], UTF-16 with its final NUL.
    pub(super) fn text(self, at: usize, text: &[u16]) -> Self {
        let bytes: Vec<u8> = text.iter().chain(&[0]).flat_map(|unit| unit.to_le_bytes()).collect();
        self.blob(at, &bytes)
    }

    /// `FileName`: comes before everything else that is added.
    pub(super) fn file_name(self, name: &[u16]) -> Self {
        self.text(FILE_NAME, name)
    }

    /// With its size filled in.
    pub(super) fn finish(self) -> Self {
        let size = u16::try_from(self.bytes.len()).unwrap();
        self.u16(2, size)
    }
}

/// An answer and what is in the caller's buffer then.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) bytes: Vec<u8>,
    pub(super) buffer: Vec<u8>,
}

impl Answer {
    pub(super) fn status(&self) -> Status {
        Status(self.u32(20))
    }

    pub(super) fn information(&self) -> u32 {
        self.u32(16)
    }

    /// The answer, or its status if that is an error.
    pub(super) fn ok(self) -> Result<Self, Status> {
        if self.status().failed() { Err(self.status()) } else { Ok(self) }
    }

    pub(super) fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.bytes[at..at + 2].try_into().unwrap())
    }

    pub(super) fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().unwrap())
    }

    pub(super) fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes[at..at + 8].try_into().unwrap())
    }

    /// What the `FSP_FSCTL_TRANSACT_BUF` at `at` points to. It must lie in the answer.
    pub(super) fn blob(&self, at: usize) -> &[u8] {
        let (offset, size) = (usize::from(self.u16(at)), usize::from(self.u16(at + 2)));
        if size == 0 {
            return &[];
        }
        &self.bytes[ANSWER_BUFFER + offset..ANSWER_BUFFER + offset + size]
    }

    /// The bytes that were put into the caller's buffer.
    pub(super) fn filled(&self) -> &[u8] {
        &self.buffer[..usize::try_from(self.information()).unwrap()]
    }

    pub(super) fn file_info(&self, at: usize) -> FileInfo {
        FileInfo::parse(&self.bytes[at..])
    }
}

/// `FSP_FSCTL_FILE_INFO`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileInfo {
    pub(super) attributes: u32,
    pub(super) reparse_tag: u32,
    pub(super) allocation_size: u64,
    pub(super) file_size: u64,
    /// Creation, last access, last write, change: FILETIME.
    pub(super) times: [u64; 4],
    pub(super) index_number: u64,
    pub(super) hard_links: u32,
    pub(super) ea_size: u32,
}

impl FileInfo {
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        Self {
            attributes: u32_at(0),
            reparse_tag: u32_at(4),
            allocation_size: u64_at(8),
            file_size: u64_at(16),
            times: [u64_at(24), u64_at(32), u64_at(40), u64_at(48)],
            index_number: u64_at(56),
            hard_links: u32_at(64),
            ea_size: u32_at(68),
        }
    }

    pub(super) fn is_directory(&self) -> bool {
        self.attributes & attribute::DIRECTORY != 0
    }

    pub(super) fn is_reparse_point(&self) -> bool {
        self.attributes & attribute::REPARSE_POINT != 0
    }
}

/// `FILE_ATTRIBUTE_…`.
pub(super) mod attribute {
    pub(in super::super) const DIRECTORY: u32 = 0x10;
    pub(in super::super) const SPARSE_FILE: u32 = 0x200;
    pub(in super::super) const REPARSE_POINT: u32 = 0x400;
    pub(in super::super) const COMPRESSED: u32 = 0x800;
    pub(in super::super) const ENCRYPTED: u32 = 0x4000;
    pub(in super::super) const RECALL: u32 = 0x44_0000;
}

/// `FSP_FSCTL_DIR_INFO`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DirInfo {
    pub(super) name: Vec<u16>,
    pub(super) info: FileInfo,
    /// Where a listing goes on behind it, if the volume counts so.
    pub(super) next_offset: u64,
}

impl DirInfo {
    /// Without a name.
    pub(super) const SIZE: u32 = 104;

    pub(super) fn name(&self) -> String {
        String::from_utf16_lossy(&self.name)
    }
}

/// The entries in a buffer, as the driver walks through it, and whether an empty one ended it.
pub(super) fn dir_infos(buffer: &[u8]) -> (Vec<DirInfo>, bool) {
    const NAME: usize = DirInfo::SIZE as usize;
    let mut found = Vec::new();
    let ended = records(buffer, |record| {
        assert!(record.len() >= NAME, "an entry of {} bytes", record.len());
        let next_offset = u64::from_le_bytes(record[80..88].try_into().unwrap());
        found.push(DirInfo {
            name: utf16(&record[NAME..]),
            info: FileInfo::parse(&record[8..]),
            next_offset,
        });
    });
    (found, ended)
}

/// `FSP_FSCTL_STREAM_INFO`: name and size of each.
pub(super) fn stream_infos(buffer: &[u8]) -> Vec<(Vec<u16>, u64)> {
    const NAME: usize = 24;
    let mut found = Vec::new();
    records(buffer, |record| {
        let size = u64::from_le_bytes(record[8..16].try_into().unwrap());
        found.push((utf16(&record[NAME..]), size));
    });
    found
}

/// Records that begin with their size and are aligned to 8 bytes. True when one of size 0 said that there are no more.
fn records(buffer: &[u8], mut each: impl FnMut(&[u8])) -> bool {
    let mut at = 0;
    while at + 2 <= buffer.len() {
        let size = usize::from(u16::from_le_bytes([buffer[at], buffer[at + 1]]));
        if size == 0 {
            return true;
        }
        each(&buffer[at..at + size]);
        at = (at + size).next_multiple_of(8);
    }
    false
}

pub(super) fn utf16(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect()
}
