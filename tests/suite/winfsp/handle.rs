//! What the driver does with an open file: it reads, lists and asks as a program's calls and the cache make it do.

use super::{
    volume::{Params, Volume},
    wire::{Answer, DirInfo, FileInfo, Kind, Request, Status, dir_infos, stream_infos, utf16},
};

/// `FSCTL_GET_REPARSE_POINT`.
const GET_REPARSE_POINT: u32 = 0x9_00A8;
const PAGE: u32 = 4096;

/// An open file. Closed when dropped, as the driver does: `Cleanup` if the volume wants it, then `Close`.
#[derive(Debug)]
pub(super) struct Handle<'v> {
    pub(super) volume: &'v Volume,
    pub(super) path: Vec<u16>,
    /// The file of a stream, which stays open as long.
    pub(super) main: Option<Box<Self>>,
    pub(super) context: [u64; 2],
    pub(super) granted: u32,
    pub(super) info: FileInfo,
    /// The path as the file system spells it; empty: as it was asked for.
    pub(super) normalized: Vec<u16>,
    /// Nothing of it may be kept in the cache.
    pub(super) uncached: bool,
}

impl Handle<'_> {
    pub(super) fn request(&self, kind: Kind) -> Request {
        Request::new(kind).of(self.context)
    }

    pub(super) fn ask(&self, request: Request) -> Result<Answer, Status> {
        self.volume.ask(request)
    }

    /// With the name that the file was opened by, which some requests repeat.
    pub(super) fn named(&self, kind: Kind) -> Request {
        self.request(kind).file_name(&self.path)
    }

    pub(super) fn info(&self) -> Result<FileInfo, Status> {
        Ok(self.ask(self.request(Kind::QueryInformation))?.file_info(24))
    }

    /// A read that the cache is not asked for. Shorter than `length` at the end of the file only.
    pub(super) fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Status> {
        let request = self.request(Kind::Read).buffer(32, length).u64(40, offset).u32(48, length);
        let answer = self.ask(request)?;
        assert!(answer.information() <= length, "{} of {length} bytes", answer.information());
        Ok(answer.filled().to_vec())
    }

    /// Calls `sink` with the content, read as the cache does: whole pages, also beyond the end of the file.
    pub(super) fn read_all(&self, chunk: u32, mut sink: impl FnMut(&[u8])) -> Result<(), Status> {
        assert_eq!(chunk % PAGE, 0);
        let size = self.info.file_size;
        let mut offset = 0;
        while offset < size {
            let left = (size - offset).next_multiple_of(u64::from(PAGE));
            let length = u32::try_from(left).unwrap_or(u32::MAX).min(chunk);
            let got = self.read(offset, length)?;
            assert_eq!(got.len() as u64, (size - offset).min(u64::from(length)), "at {offset} of {size}");
            sink(&got);
            offset += got.len() as u64;
        }
        Ok(())
    }

    pub(super) fn content(&self) -> Result<Vec<u8>, Status> {
        let mut content = Vec::new();
        self.read_all(256 << 10, |bytes| content.extend_from_slice(bytes))?;
        Ok(content)
    }

    /// All entries, asked for with a buffer of so many bytes.
    pub(super) fn list(&self, length: u32) -> Result<Vec<DirInfo>, Status> {
        self.list_with(length, usize::MAX, None)
    }

    /// As [`Self::list`]; each time the program takes no more than `take` entries of what the file system returned.
    /// A `pattern` is passed on where the volume wants it.
    pub(super) fn list_with(
        &self,
        length: u32,
        take: usize,
        pattern: Option<&str>,
    ) -> Result<Vec<DirInfo>, Status> {
        let mut all: Vec<DirInfo> = Vec::new();
        loop {
            let request = self.query(length, all.last(), pattern);
            let room = request.buffer;
            let answer = self.ask(request)?;
            assert!(answer.information() <= room, "{} of {room} bytes", answer.information());
            let (entries, ended) = dir_infos(answer.filled());
            let none = entries.is_empty();
            let complete = ended && entries.len() <= take;
            all.extend(entries.into_iter().take(take));
            if complete || none {
                return Ok(all);
            }
            assert!(all.len() < 1_000_000, "the directory does not end");
        }
    }

    fn query(&self, length: u32, last: Option<&DirInfo>, pattern: Option<&str>) -> Request {
        const PATTERN_IS_FILE_NAME: u32 = 1 << 1;
        let params = &self.volume.params;
        let least = (DirInfo::SIZE + u32::from(params.max_component()) * 2).next_multiple_of(8);
        let length = length.max(least);
        let mut request = self.request(Kind::QueryDirectory).buffer(32, length).u32(40, length);
        let is_name = pattern.is_some_and(|pattern| !pattern.contains(['*', '?', '<', '>', '"']))
            && params.has(Params::PASS_QUERY_DIRECTORY_FILE_NAME);
        if let Some(pattern) = pattern
            && (is_name || params.has(Params::PASS_QUERY_DIRECTORY_PATTERN))
        {
            // A volume that ignores case gets patterns in capitals.
            let sensitive = params.has(Params::CASE_SENSITIVE_SEARCH);
            let pattern = if sensitive { pattern.to_owned() } else { pattern.to_uppercase() };
            let pattern: Vec<u16> = pattern.encode_utf16().collect();
            request = request.text(44, &pattern).u32(52, if is_name { PATTERN_IS_FILE_NAME } else { 0 });
        }
        match last {
            Some(last) if params.has(Params::DIRECTORY_MARKER_AS_NEXT_OFFSET) => {
                let offset = utf16(&last.next_offset.to_le_bytes());
                request.text(48, &offset)
            }
            Some(last) => request.text(48, &last.name),
            None => request,
        }
    }

    /// A self-relative security descriptor.
    pub(super) fn security(&self) -> Result<Vec<u8>, Status> {
        Ok(self.ask(self.request(Kind::QuerySecurity))?.blob(24).to_vec())
    }

    /// `FILE_FULL_EA_INFORMATION`.
    pub(super) fn eas(&self) -> Result<Vec<u8>, Status> {
        Ok(self.ask(self.request(Kind::QueryEa))?.blob(24).to_vec())
    }

    /// Name and size of each stream, as `FindFirstStreamW` puts them together: `::$DATA` is the file itself.
    pub(super) fn streams(&self) -> Result<Vec<(String, u64)>, Status> {
        let answer = self.ask(self.request(Kind::QueryStreamInformation))?;
        let streams = stream_infos(answer.blob(24)).into_iter();
        Ok(streams.map(|(name, size)| (String::from_utf16_lossy(&name), size)).collect())
    }

    /// `REPARSE_DATA_BUFFER`.
    pub(super) fn reparse_point(&self) -> Result<Vec<u8>, Status> {
        let request = self.named(Kind::FileSystemControl).u32(32, GET_REPARSE_POINT);
        Ok(self.ask(request)?.blob(24).to_vec())
    }

    /// Leaves it open.
    pub(super) fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Handle<'_> {
    fn drop(&mut self) {
        // A test that fails must not wait for a file system that is gone.
        if std::thread::panicking() {
            std::mem::forget(self.main.take());
            return;
        }
        if !self.volume.params.has(Params::POST_CLEANUP_WHEN_MODIFIED_ONLY) {
            self.volume.driver.transact(self.named(Kind::Cleanup));
        }
        self.volume.driver.transact(self.request(Kind::Close));
    }
}
