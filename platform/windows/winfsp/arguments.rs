//! The arguments of WinFsp's callbacks, each a type whose methods are safe to call.
//!
//! Each type has the layout of the pointer that WinFsp passes, and no other code makes a value of it: a value exists
//! because WinFsp called a callback with it. So WinFsp's guarantees to a callback are the type's invariant, stated once,
//! where the type is declared. No type can be copied, and a method's borrow ends with the value, so nothing outlives its
//! callback. Callbacks run on several threads at once; shared data is only read.

use std::{cell::RefCell, ffi::c_void, ptr};

use super::{
    super::{
        adapter::{Adapter, Answer, Handle, MAX_DIRECTORY_ENTRY, Status},
        calls::units_before_nul,
    },
    Mounted,
    raw::{
        CREATE_KIND, Context, CreateRequest, CreateResponse, DISABLE_CACHE, DirInfo, Fs, IoStatusBlock, Wide,
    },
};

/// Larger requests are answered in pieces of this size.
const PIECE: usize = 1 << 20;

thread_local! {
    /// A thread's buffer, as large as its largest request so far.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The file system that is called: the one that [`super::Volume`] made, alive until all callbacks have returned. Its user
/// context is a [`Mounted`] that lives as long.
#[repr(transparent)]
pub(super) struct FileSystem(Fs);

impl FileSystem {
    pub(super) fn mounted(&self) -> &Mounted {
        // SAFETY: the type's invariant.
        unsafe { &*(*self.0).user_context.cast::<Mounted>() }
    }

    pub(super) fn adapter(&self) -> &Adapter {
        &self.mounted().adapter
    }

    /// The request of the kind `Create` that this callback answers; `None` in a callback for another kind.
    pub(super) fn create_request(&self) -> Option<CreateOperation<'_>> {
        // SAFETY: the function may be called at any time during a callback. It returns null, or a context that lives as
        // long as the callback and points to the callback's own request and response, which no other thread uses
        // meanwhile; both begin with the same fields for all kinds of requests.
        unsafe {
            let context = (self.mounted().library.operation_context)().as_ref()?;
            let (request, response) = (context.request.as_ref()?, context.response.as_mut()?);
            (request.kind == CREATE_KIND).then_some(CreateOperation { request, response })
        }
    }
}

/// An open in progress.
pub(super) struct CreateOperation<'a> {
    request: &'a CreateRequest,
    response: &'a mut CreateResponse,
}

impl CreateOperation<'_> {
    pub(super) fn desired_access(&self) -> u32 {
        self.request.desired_access
    }

    /// Keeps the file out of the kernel's cache.
    pub(super) fn disable_cache(&mut self) {
        self.response.flags |= DISABLE_CACHE;
    }
}

/// A file: null, or the [`Handle`] that the callback `open` returned and `close` has not yet received. Requests for one
/// file run concurrently and share it.
#[repr(transparent)]
pub(super) struct OpenFile(Context);

impl OpenFile {
    /// `INVALID_PARAMETER` when the request is for the whole volume instead of a file.
    pub(super) fn handle(&self) -> Answer<&Handle> {
        // SAFETY: the type's invariant.
        unsafe { self.0.cast::<Handle>().as_ref() }.ok_or(Status::INVALID_PARAMETER)
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.is_null()
    }
}

/// A file being closed: the [`Handle`] that the callback `open` returned, passed for the last time.
#[repr(transparent)]
pub(super) struct ClosedFile(Context);

impl ClosedFile {
    pub(super) fn into_handle(self) -> Handle {
        // SAFETY: the type's invariant; `NewFile::put` took it from a box.
        *unsafe { Box::from_raw(self.0.cast::<Handle>()) }
    }
}

/// The place where `open` stores the file's context.
#[repr(transparent)]
pub(super) struct NewFile(Out<Context>);

impl NewFile {
    pub(super) fn put(self, handle: Handle) {
        self.0.put(Box::into_raw(Box::new(handle)).cast());
    }
}

/// A path, name or pattern: null, or UTF-16 that ends with NUL.
#[repr(transparent)]
pub(super) struct Text(Wide);

impl Text {
    pub(super) fn units(&self) -> &[u16] {
        // SAFETY: the type's invariant.
        unsafe { units_before_nul(self.0) }
    }
}

/// The position after which a listing goes on: null, or 64 bits, as the volume's flags select positions instead of names.
#[repr(transparent)]
pub(super) struct Marker(*mut u64);

impl Marker {
    /// 0 for the beginning.
    pub(super) fn position(&self) -> u64 {
        // SAFETY: the type's invariant.
        if self.0.is_null() { 0 } else { unsafe { self.0.read_unaligned() } }
    }
}

/// An output value: null, or a place for a `T`, aligned or not, that nothing else uses during the callback.
#[repr(transparent)]
pub(super) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// Stores the value; does nothing where WinFsp passed null.
    pub(super) fn put(&self, value: T) {
        if !self.0.is_null() {
            // SAFETY: the type's invariant.
            unsafe { self.0.write_unaligned(value) };
        }
    }
}

/// The output of one directory entry: a [`DirInfo`] with room for the longest name after it.
#[repr(transparent)]
pub(super) struct EntryOut(*mut DirInfo);

impl EntryOut {
    /// Stores `record`, made by `directory_entry`: no longer than an entry with the longest name.
    pub(super) fn put(&self, record: &[u8]) {
        let len = record.len().min(MAX_DIRECTORY_ENTRY);
        // SAFETY: the type's invariant; not more than the longest entry.
        unsafe { ptr::copy_nonoverlapping(record.as_ptr(), self.0.cast(), len) };
    }
}

/// The buffer that a callback fills: null, or as many bytes as the callback's [`Len`] or [`Room`] holds. The memory may
/// belong to the requesting program and change meanwhile: it is only ever written.
#[repr(transparent)]
pub(super) struct Buffer(*mut c_void);

/// The size of the callback's [`Buffer`] in bytes.
#[repr(transparent)]
pub(super) struct Len(u32);

/// Null, or the size of the callback's [`Buffer`] in bytes, replaced by the size that is needed.
#[repr(transparent)]
pub(super) struct Room(*mut usize);

impl Len {
    pub(super) fn bytes(&self) -> u32 {
        self.0
    }
}

impl Buffer {
    /// Lets `fill` write the buffer from byte `start` on, at most [`PIECE`] bytes, and returns how many bytes it wrote.
    pub(super) fn fill_from(
        &self,
        start: u32,
        len: &Len,
        fill: impl FnOnce(&mut [u8]) -> Answer<usize>,
    ) -> Answer<u32> {
        let room = usize::try_from(len.0.saturating_sub(start)).unwrap_or(0).min(PIECE);
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        BUFFER.with_borrow_mut(|buffer| {
            if buffer.len() < room {
                buffer.resize(room, 0);
            }
            let filled = fill(&mut buffer[..room])?.min(room);
            if filled > 0 {
                // SAFETY: the type's invariant: `room` bytes, and so `filled`, lie between `start` and the end.
                unsafe { ptr::copy_nonoverlapping(buffer.as_ptr(), self.0.byte_add(start).cast(), filled) };
            }
            Ok(u32::try_from(filled).expect("at most PIECE"))
        })
    }

    /// Lets `fill` write the buffer, and stores the number of bytes at `done`.
    pub(super) fn fill(
        &self,
        len: &Len,
        done: &Out<u32>,
        fill: impl FnOnce(&mut [u8]) -> Answer<usize>,
    ) -> Answer<()> {
        done.put(self.fill_from(0, len, fill)?);
        Ok(())
    }

    /// Copies `bytes` here and stores their number at `room`; returns `short` if they do not fit. Without a buffer it
    /// only stores the number; without `room` it does nothing.
    pub(super) fn put_all(&self, bytes: &[u8], room: &Room, short: Status) -> Answer<()> {
        if room.0.is_null() {
            return Ok(());
        }
        // SAFETY: the invariant of `Room`.
        let available = unsafe { room.0.replace(bytes.len()) };
        if self.0.is_null() {
            return Ok(());
        }
        if available < bytes.len() {
            return Err(short);
        }
        // SAFETY: the type's invariant: there are `available` bytes.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.0.cast(), bytes.len()) };
        Ok(())
    }
}

/// Passed on to WinFsp's own function without being read.
#[repr(transparent)]
pub(super) struct IoStatus(*mut IoStatusBlock);
