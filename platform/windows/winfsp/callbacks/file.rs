//! Callbacks for files: lookup by path, open, read, information, close. `open` returns a `Handle` on the heap, which
//! `close` frees.

use super::{
    super::{
        super::adapter::{ByName, Info, Status},
        arguments::{Buffer, ClosedFile, FileSystem, Len, NewFile, OpenFile, Out, Room, Text},
        raw::{FileInfo, NtStatus},
    },
    guarded,
};

pub(super) extern "C" fn get_security_by_name(
    fs: FileSystem,
    path: Text,
    attributes: Out<u32>,
    descriptor: Buffer,
    room: Room,
) -> NtStatus {
    guarded(|| match fs.adapter().by_name(path.units())? {
        ByName::Link(start) => {
            attributes.put(start);
            Err(Status::REPARSE)
        }
        ByName::Named(named) => {
            attributes.put(named.attributes);
            // With an empty descriptor WinFsp checks no access.
            descriptor.put_all(&named.descriptor, &room, Status::BUFFER_OVERFLOW)
        }
    })
}

pub(super) extern "C" fn open(
    fs: FileSystem,
    path: Text,
    options: u32,
    granted: u32,
    context: NewFile,
    out: Out<FileInfo>,
) -> NtStatus {
    guarded(|| {
        let mut request = fs.create_request();
        // Without an access check a program that asks for MAXIMUM_ALLOWED is granted everything.
        let access = request.as_ref().map_or(granted, |request| request.desired_access());
        let (opened, info) = fs.adapter().open(path.units(), options, access)?;
        if let Some(request) = request.as_mut().filter(|_| opened.is_volatile()) {
            request.disable_cache();
        }
        out.put(file_info(&info));
        context.put(opened);
        Ok(())
    })
}

pub(super) extern "C" fn close(fs: FileSystem, file: ClosedFile) {
    guarded(|| {
        fs.adapter().close(file.into_handle());
        Ok(())
    });
}

pub(super) extern "C" fn read(
    fs: FileSystem,
    file: OpenFile,
    to: Buffer,
    offset: u64,
    len: Len,
    done: Out<u32>,
) -> NtStatus {
    guarded(|| {
        let handle = file.handle()?;
        let mut total = 0;
        while total < len.bytes() {
            let from = offset.checked_add(total.into()).ok_or(Status::INVALID_PARAMETER)?;
            match to.fill_from(total, &len, |buffer| fs.adapter().read(handle, from, buffer)) {
                Ok(0) => break,
                Ok(got) => total += got,
                // The end of the file, after bytes that were read.
                Err(Status::END_OF_FILE) if total > 0 => break,
                Err(status) => return Err(status),
            }
        }
        done.put(total);
        Ok(())
    })
}

pub(super) extern "C" fn get_file_info(fs: FileSystem, file: OpenFile, out: Out<FileInfo>) -> NtStatus {
    guarded(|| {
        out.put(file_info(&fs.adapter().info(file.handle()?)?));
        Ok(())
    })
}

/// Flushes a file or, without one, the volume: there is nothing to write.
pub(super) extern "C" fn flush(fs: FileSystem, file: OpenFile, out: Out<FileInfo>) -> NtStatus {
    if file.is_none() { Status::SUCCESS.code() } else { get_file_info(fs, file, out) }
}

pub(super) extern "C" fn get_security(
    fs: FileSystem,
    file: OpenFile,
    descriptor: Buffer,
    room: Room,
) -> NtStatus {
    guarded(|| {
        let found = fs.adapter().descriptor(file.handle()?)?;
        descriptor.put_all(&found, &room, Status::BUFFER_OVERFLOW)
    })
}

pub(super) extern "C" fn get_ea(
    fs: FileSystem,
    file: OpenFile,
    to: Buffer,
    len: Len,
    done: Out<u32>,
) -> NtStatus {
    guarded(|| {
        let chain = fs.adapter().extended_attributes(file.handle()?)?;
        to.fill(&len, &done, |buffer| {
            buffer.get_mut(..chain.len()).ok_or(Status::EA_TOO_LARGE)?.copy_from_slice(&chain);
            Ok(chain.len())
        })
    })
}

fn file_info(info: &Info) -> FileInfo {
    FileInfo {
        file_attributes: info.attributes,
        reparse_tag: info.reparse_tag,
        allocation_size: info.allocated,
        file_size: info.size,
        creation_time: info.created,
        last_access_time: info.accessed,
        last_write_time: info.written,
        change_time: info.changed,
        index_number: info.index,
        hard_links: 0,
        ea_size: info.ea_size,
    }
}
