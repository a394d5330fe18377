//! Callbacks for lists: the entries of a directory, from a position on or one by its name, and the streams of a file.

use super::{
    super::{
        super::adapter::{Status, directory_entry},
        arguments::{Buffer, EntryOut, FileSystem, Len, Marker, OpenFile, Out, Text},
        raw::NtStatus,
    },
    guarded,
};

/// Lists a directory. WinFsp applies the pattern itself; a pattern without wildcards arrives as a request by name.
pub(super) extern "C" fn read_directory(
    fs: FileSystem,
    file: OpenFile,
    _pattern: Text,
    marker: Marker,
    to: Buffer,
    len: Len,
    done: Out<u32>,
) -> NtStatus {
    guarded(|| {
        let handle = file.handle()?;
        to.fill(&len, &done, |buffer| fs.adapter().list(handle, marker.position(), buffer))
    })
}

pub(super) extern "C" fn get_dir_info_by_name(
    fs: FileSystem,
    file: OpenFile,
    name: Text,
    out: EntryOut,
) -> NtStatus {
    guarded(|| {
        let (stored, info) = fs.adapter().entry(file.handle()?, name.units())?;
        out.put(&directory_entry(&stored, &info, 0).ok_or(Status::OBJECT_NAME_NOT_FOUND)?);
        Ok(())
    })
}

pub(super) extern "C" fn get_stream_info(
    fs: FileSystem,
    file: OpenFile,
    to: Buffer,
    len: Len,
    done: Out<u32>,
) -> NtStatus {
    guarded(|| {
        let handle = file.handle()?;
        to.fill(&len, &done, |buffer| fs.adapter().streams(handle, buffer))
    })
}
