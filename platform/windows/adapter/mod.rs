//! Answers WinFsp's requests from a [`Namespace`]: paths, information, listings, streams, reparse points. Needs no
//! Windows: requests come as values and slices, replies are values or a [`Status`].

mod directory;
mod ea;
mod info;
mod node;
mod path;
mod records;
mod reparse;
mod security;
mod status;
#[cfg(test)]
mod tests;
mod volume;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use vhdmount::{
    Error,
    bytes::ByteSource,
    fs::{NodeId, Streams, Usage},
    tree::Namespace,
};

pub(crate) use info::Info;
#[cfg(windows)]
pub(crate) use records::{DIR_INFO, FILE_INFO, MAX_DIRECTORY_ENTRY, STREAM_INFO, directory_entry};
pub(crate) use status::{Answer, Status};
pub(crate) use volume::Face;
#[cfg(windows)]
pub(crate) use volume::MAX_LABEL;

use self::{
    path::{PathEnd, Place},
    records::Records,
    status::{Refusal, ntstatus},
};
use crate::reporter::Reporter;

/// Most open files. Each holds its decoded run list, so a program that leaks handles must not exhaust the memory.
const MAX_OPEN: usize = 1 << 16;

/// Access rights to modify: FILE_WRITE_DATA, FILE_APPEND_DATA, FILE_WRITE_EA, FILE_DELETE_CHILD, FILE_WRITE_ATTRIBUTES,
/// DELETE, WRITE_DAC, WRITE_OWNER, GENERIC_ALL, GENERIC_WRITE.
const WRITING: u32 = 0x0002 | 0x0004 | 0x0010 | 0x0040 | 0x0100 | 0x0001_0000 | 0x000C_0000 | 0x5000_0000;
/// Access rights to the content: FILE_READ_DATA, FILE_EXECUTE, GENERIC_EXECUTE, GENERIC_READ.
const READING: u32 = 0x0001 | 0x0020 | 0x2000_0000 | 0x8000_0000;

/// FILE_DELETE_ON_CLOSE and FILE_OPEN_REPARSE_POINT of NtCreateFile.
const DELETE_ON_CLOSE: u32 = 0x1000;
const OPEN_REPARSE_POINT: u32 = 0x0020_0000;
/// FILE_OPEN and FILE_OPEN_IF, which leave an existing file as it is. The disposition is the high byte of the options.
const OPEN_EXISTING: [u32; 2] = [1, 3];

/// A [`Namespace`] behind WinFsp.
pub(crate) struct Adapter {
    fs: Arc<dyn Namespace>,
    face: Face,
    /// Windows checks the access rights in the volume's security descriptors.
    check_access: bool,
    reporter: Reporter,
    open: AtomicUsize,
}

/// An open file, directory, link or stream.
pub(crate) struct Handle {
    place: Place,
    volatile: bool,
    is_directory: bool,
    content: OnceLock<Arc<dyn ByteSource>>,
}

/// The attributes of a path, and the descriptor for the access check, empty without one.
pub(crate) struct Named {
    pub(crate) attributes: u32,
    pub(crate) descriptor: Vec<u8>,
}

/// The result for a path.
pub(crate) enum ByName {
    Named(Named),
    /// The path continues after a link, whose name begins at this UTF-16 unit.
    Link(u32),
}

impl Handle {
    /// True when nothing of the file may be cached.
    pub(crate) fn is_volatile(&self) -> bool {
        self.volatile
    }

    fn node(&self) -> NodeId {
        self.place.stream.unwrap_or(self.place.file)
    }
}

impl Adapter {
    pub(crate) fn new(fs: Arc<dyn Namespace>, face: Face, check_access: bool) -> Self {
        Self { fs, face, check_access, reporter: Reporter::default(), open: AtomicUsize::new(0) }
    }

    pub(crate) fn face(&self) -> &Face {
        &self.face
    }

    /// FILETIME of the root's creation, which Windows shows as that of the volume.
    pub(crate) fn created(&self) -> u64 {
        node::info(&*self.fs, self.fs.root()).map_or(0, |info| info.created)
    }

    /// Runs a request; logs and maps its errors. A panic fails this request alone.
    fn answer<T>(&self, request: &str, node: NodeId, work: impl FnOnce() -> Result<T, Refusal>) -> Answer<T> {
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(Refusal::Status(status))) => Err(status),
            Ok(Err(Refusal::Error(error))) => {
                let expected = matches!(error, Error::Invalid(_));
                self.reporter.report(&*self.fs, node, request, &error, expected);
                Err(ntstatus(&error))
            }
            // The panic hook has logged the panic.
            Err(_) => {
                let error = Error::io("a bug in this program", std::io::Error::other("it panicked"));
                self.reporter.report(&*self.fs, node, request, &error, false);
                Err(Status::INTERNAL_ERROR)
            }
        }
    }

    /// Space usage of the disk, or of the volume that is mounted alone, limited by what the host can back.
    pub(crate) fn usage(&self) -> Answer<Usage> {
        self.answer("volume information", self.fs.root(), || Ok(self.fs.space().usage()?))
    }

    /// Attributes and security descriptor of a path.
    pub(crate) fn by_name(&self, path: &[u16]) -> Answer<ByName> {
        self.answer("lookup", self.fs.root(), || {
            let place = match path::walk(&*self.fs, path)? {
                PathEnd::Place(place) => place,
                PathEnd::Link(start) => {
                    return Ok(ByName::Link(
                        u32::try_from(start).map_err(|_| Status::OBJECT_PATH_NOT_FOUND)?,
                    ));
                }
            };
            // From here on errors concern the file.
            Ok(ByName::Named(self.answer("lookup", place.file, || self.named(place))?))
        })
    }

    fn named(&self, place: Place) -> Result<Named, Refusal> {
        let attributes = self.info_of(place)?.attributes;
        let descriptor = match self.check_access {
            true => node::descriptor(&*self.fs, place.file)?,
            false => Vec::new(),
        };
        Ok(Named { attributes, descriptor })
    }

    /// Opens a path for reading. `options`: those of NtCreateFile, with the disposition in the high byte.
    pub(crate) fn open(&self, path: &[u16], options: u32, access: u32) -> Answer<(Handle, Info)> {
        if access & WRITING != 0
            || options & DELETE_ON_CLOSE != 0
            || !OPEN_EXISTING.contains(&(options >> 24))
        {
            return Err(Status::MEDIA_WRITE_PROTECTED);
        }
        self.answer("open", self.fs.root(), || {
            let PathEnd::Place(place) = path::walk(&*self.fs, path)? else {
                return Err(Status::OBJECT_PATH_NOT_FOUND.into());
            };
            if self.open.fetch_add(1, Ordering::Relaxed) >= MAX_OPEN {
                self.open.fetch_sub(1, Ordering::Relaxed);
                return Err(Status::TOO_MANY_OPENED_FILES.into());
            }
            let opened = self.answer("open", place.file, || self.opened(place, options, access));
            if opened.is_err() {
                self.open.fetch_sub(1, Ordering::Relaxed);
            }
            Ok(opened?)
        })
    }

    fn opened(&self, place: Place, options: u32, access: u32) -> Result<(Handle, Info), Refusal> {
        let mut info = self.info_of(place)?;
        let volatile = self.fs.is_volatile(place.file);
        let is_directory = info.attributes & info::attribute::DIRECTORY != 0;
        let handle = Handle { place, volatile, is_directory, content: OnceLock::new() };
        let is_link = info.reparse_tag != 0 && options & OPEN_REPARSE_POINT != 0;
        if !is_directory && access & READING != 0 {
            match self.content(&handle) {
                Ok(content) => info.size = content.size(),
                // A link is opened for what it stores besides content.
                Err(_) if is_link => info.size = 0,
                // A file that cannot be decoded fails here; its attributes and streams can still be opened.
                Err(refusal) => return Err(refusal),
            }
        }
        Ok((handle, info))
    }

    /// Closes a file.
    pub(crate) fn close(&self, handle: Handle) {
        let node = handle.node();
        let _ = self.answer("close", node, || {
            drop(handle);
            Ok(())
        });
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// The information of an open file.
    pub(crate) fn info(&self, handle: &Handle) -> Answer<Info> {
        self.answer("information", handle.node(), || {
            let mut info = self.info_of(handle.place)?;
            if let Some(content) = handle.content.get() {
                info.size = content.size();
            }
            Ok(info)
        })
    }

    fn info_of(&self, place: Place) -> Result<Info, Refusal> {
        let info = node::info(&*self.fs, place.file)?;
        Ok(match place.stream {
            Some(stream) => {
                let stat = self.fs.stat(stream)?;
                info.of_stream(stat.size, stat.allocated)
            }
            None => info,
        })
    }

    fn content<'h>(&self, handle: &'h Handle) -> Result<&'h Arc<dyn ByteSource>, Refusal> {
        if let Some(content) = handle.content.get() {
            return Ok(content);
        }
        let content = self.fs.open(handle.node())?;
        Ok(handle.content.get_or_init(|| content))
    }

    /// Fills `buf` with the file's bytes from `offset` on; fewer only at its end.
    pub(crate) fn read(&self, handle: &Handle, offset: u64, buf: &mut [u8]) -> Answer<usize> {
        self.answer("read", handle.node(), || {
            // A damaged record may have both an index of names and content.
            if handle.is_directory {
                return Err(Status::INVALID_DEVICE_REQUEST.into());
            }
            let content = self.content(handle)?;
            let left = content.size().saturating_sub(offset);
            if left == 0 && !buf.is_empty() {
                return Err(Status::END_OF_FILE.into());
            }
            let len = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
            content.read_exact_at(offset, &mut buf[..len])?;
            Ok(len)
        })
    }

    /// Lists an open directory from a marker on; 0 is the beginning. A damaged directory lists every entry that can be
    /// read, then fails: a partial listing must not pass for a complete one.
    pub(crate) fn list(&self, handle: &Handle, marker: u64, buffer: &mut [u8]) -> Answer<usize> {
        self.answer("readdir", handle.node(), || {
            let listed = directory::list(&*self.fs, handle.place.file, marker, buffer);
            match (listed.len, listed.problem) {
                (0, Some(error)) => Err(error.into()),
                (0, None) => Err(Status::BUFFER_OVERFLOW.into()),
                (len, _) => Ok(len),
            }
        })
    }

    /// One entry of an open directory, under the volume's spelling of its name.
    pub(crate) fn entry(&self, handle: &Handle, name: &[u16]) -> Answer<(Vec<u16>, Info)> {
        self.answer("lookup", handle.node(), || directory::entry(&*self.fs, handle.place.file, name))
    }

    /// The security descriptor of an open file. An unreadable one fails the request only when Windows checks access by
    /// it; otherwise the file can still be recovered.
    pub(crate) fn descriptor(&self, handle: &Handle) -> Answer<Vec<u8>> {
        let read = || Ok(node::descriptor(&*self.fs, handle.place.file)?);
        match self.answer("security descriptor", handle.place.file, read) {
            Err(_) if !self.check_access => Ok(security::READABLE_BY_ALL.to_vec()),
            answer => answer,
        }
    }

    /// Lists the streams of an open file, including the unnamed one.
    pub(crate) fn streams(&self, handle: &Handle, buffer: &mut [u8]) -> Answer<usize> {
        self.answer("streams", handle.node(), || {
            let info = node::info(&*self.fs, handle.place.file)?;
            let mut records = Records::new(buffer);
            let is_directory = info.attributes & info::attribute::DIRECTORY != 0;
            let mut list: Vec<_> = self
                .fs
                .streams()
                .list_streams(handle.place.file)?
                .into_iter()
                .map(|s| (s.name.0, s.size, s.size))
                .collect();
            if !is_directory {
                list.insert(0, (Vec::new(), info.size, info.allocated));
            }
            for (name, size, allocated) in list {
                let Some(record) = records::stream(&name, size, allocated) else { continue };
                if !records.add(&record) {
                    return Err(Status::BUFFER_OVERFLOW.into());
                }
            }
            records.end();
            Ok(records.len())
        })
    }

    /// The extended attributes of an open file; empty when there are none.
    pub(crate) fn extended_attributes(&self, handle: &Handle) -> Answer<Vec<u8>> {
        self.answer("extended attributes", handle.node(), || {
            Ok(node::extended_attributes(&*self.fs, handle.place.file)?.bytes)
        })
    }

    /// The reparse point of an open file, as it is stored.
    pub(crate) fn reparse_point(&self, handle: &Handle) -> Answer<Vec<u8>> {
        self.answer("reparse point", handle.node(), || {
            let place = handle.place;
            let point = match place.stream {
                None => reparse::of(&*self.fs, place.file, &self.fs.stat(place.file)?)?,
                Some(_) => None,
            };
            Ok(point.ok_or(Status::NOT_A_REPARSE_POINT)?.data)
        })
    }

    /// The reparse point to follow at a path: links are redirected to their target's path inside the mount.
    pub(crate) fn link_at(&self, path: &[u16]) -> Answer<Vec<u8>> {
        self.answer("lookup", self.fs.root(), || {
            let PathEnd::Place(place) = path::walk(&*self.fs, path)? else {
                return Err(Status::OBJECT_PATH_NOT_FOUND.into());
            };
            let point = reparse::of(&*self.fs, place.file, &self.fs.stat(place.file)?)?;
            let point = point.filter(|_| place.stream.is_none()).ok_or(Status::NOT_A_REPARSE_POINT)?;
            match reparse::to_follow(&*self.fs, place.file, point) {
                Ok(point) => Ok(point.data),
                Err(Error::NotFound(why)) => {
                    log::debug!("a link is not followed: {why}");
                    Err(Status::REPARSE_POINT_NOT_RESOLVED.into())
                }
                Err(error) => Err(error.into()),
            }
        })
    }
}
