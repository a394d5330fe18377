//! The messages between the two processes: one packet for a request, one for its answer, with a descriptor where a file was
//! opened. Neither process trusts the other: what does not fit is an error.

use std::{
    ffi::OsString,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::PathBuf,
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
        SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg,
        socketpair,
    },
};
use vhdmount::host::Quota;

/// Longest message: the answer with the most names, and paths of 4096 bytes.
const MAX_MESSAGE: usize = 80 << 10;

/// Most descriptors of a message: the connection of a mount, and the socket to fusermount3.
const MAX_FILES: usize = 2;

/// The bytes and descriptors of a message.
pub(in super::super::super) type Answer = (Vec<u8>, Vec<OwnedFd>);

/// What the confined process asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super::super) enum Request {
    Open(PathBuf),
    SimilarName(PathBuf, String),
    DisksIn(PathBuf),
    Quotas(PathBuf, u32, u32),
    Narrow,
    /// The image is open: make the mount, and answer with its connection.
    Mount,
    /// Workers answer the connection.
    Serving,
    /// The mount has been announced; whether it holds all that the image should.
    Announced(bool),
}

impl Request {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let path = |path: &PathBuf| path.as_os_str().as_bytes().to_vec();
        match self {
            Self::Open(at) => [b"o".to_vec(), path(at)].concat(),
            Self::SimilarName(folder, name) => [b"s", &*path(folder), b"\0", name.as_bytes()].concat(),
            Self::DisksIn(folder) => [b"d".to_vec(), path(folder)].concat(),
            Self::Quotas(device, uid, gid) => {
                [b"q", &uid.to_le_bytes()[..], &gid.to_le_bytes(), &path(device)].concat()
            }
            Self::Narrow => b"n".to_vec(),
            Self::Mount => b"M".to_vec(),
            Self::Serving => b"S".to_vec(),
            Self::Announced(complete) => vec![b'A', u8::from(*complete)],
        }
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let path = |bytes: &[u8]| {
            let path = PathBuf::from(OsString::from_vec(bytes.to_vec()));
            (path.is_absolute() && !bytes.contains(&0)).then_some(path)
        };
        let (kind, rest) = bytes.split_first()?;
        Some(match kind {
            b'o' => Self::Open(path(rest)?),
            b's' => {
                let end = rest.iter().position(|byte| *byte == 0)?;
                let name = std::str::from_utf8(&rest[end + 1..]).ok()?;
                Self::SimilarName(path(&rest[..end])?, name.to_owned())
            }
            b'd' => Self::DisksIn(path(rest)?),
            b'q' => {
                let (uid, rest) = rest.split_first_chunk()?;
                let (gid, rest) = rest.split_first_chunk()?;
                Self::Quotas(path(rest)?, u32::from_le_bytes(*uid), u32::from_le_bytes(*gid))
            }
            b'n' if rest.is_empty() => Self::Narrow,
            b'M' if rest.is_empty() => Self::Mount,
            b'S' if rest.is_empty() => Self::Serving,
            b'A' if rest.len() == 1 => Self::Announced(rest != [0]),
            _ => return None,
        })
    }
}

/// The answer.
pub(super) enum Reply {
    Done(Vec<u8>),
    Failed(io::Error),
}

impl Reply {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Done(bytes) => [&[0], &**bytes].concat(),
            Self::Failed(error) => {
                let errno = error.raw_os_error().unwrap_or_else(|| Errno::ACCESS.raw_os_error());
                vec![u8::try_from(errno).unwrap_or(u8::MAX)]
            }
        }
    }

    pub(super) fn parse(mut bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        match bytes.first() {
            Some(0) => Ok(bytes.split_off(1)),
            Some(errno) => Err(io::Error::from_raw_os_error((*errno).into())),
            None => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

pub(super) fn quotas_to_bytes(quotas: [Quota; 2]) -> Vec<u8> {
    let bytes = quotas.map(|quota| {
        let (tag, left) = match quota {
            Quota::None => (0, 0),
            Quota::Left(left) => (1, left),
            Quota::Hidden => (2, 0),
        };
        [&[tag], &u64::to_le_bytes(left)[..]].concat()
    });
    bytes.concat()
}

pub(super) fn quotas(bytes: &[u8]) -> Option<[Quota; 2]> {
    let quota = |bytes: &[u8; 9]| {
        let (tag, left) = bytes.split_first()?;
        Some(match tag {
            0 => Quota::None,
            1 => Quota::Left(u64::from_le_bytes(left.try_into().ok()?)),
            2 => Quota::Hidden,
            _ => return None,
        })
    };
    let (user, rest) = bytes.split_first_chunk()?;
    Some([quota(user)?, quota(rest.try_into().ok()?)?])
}

/// Two ends of a connection that keeps messages apart.
pub(in super::super::super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let kind = (AddressFamily::UNIX, SocketType::SEQPACKET);
    Ok(socketpair(kind.0, kind.1, SocketFlags::CLOEXEC, None)?)
}

/// Sends a message with its descriptors; never waits for the other side to read.
pub(super) fn send(socket: &OwnedFd, bytes: &[u8], files: &[OwnedFd]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FILES))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let files: Vec<_> = files.iter().map(AsFd::as_fd).collect();
    if !files.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&files));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags)?;
    Ok(())
}

/// Receives a message with its descriptors; `None` at the end of the connection.
pub(super) fn receive(socket: &OwnedFd) -> io::Result<Option<Answer>> {
    let mut bytes = vec![0; MAX_MESSAGE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FILES))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        match recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            Err(Errno::CONNRESET) => return Ok(None),
            received => break received?,
        }
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    bytes.truncate(received.bytes);
    let files = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => files.collect(),
        _ => Vec::new(),
    });
    Ok(Some((bytes, files.collect())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_answers_are_what_was_sent() {
        let requests = [
            Request::Open("/srv/a b".into()),
            Request::SimilarName("/srv".into(), "Base".into()),
            Request::DisksIn("/".into()),
            Request::Quotas("/dev/vda".into(), 1000, u32::MAX),
            Request::Narrow,
            Request::Mount,
            Request::Serving,
            Request::Announced(true),
            Request::Announced(false),
        ];
        for request in requests {
            assert_eq!(Request::parse(&request.to_bytes()).as_ref(), Some(&request));
        }
        for nonsense in [&b""[..], b"x", b"orelative", b"o/a\0b", b"s/srv", b"q123", b"n1"] {
            assert_eq!(Request::parse(nonsense), None, "{nonsense:?}");
        }
        let both = [Quota::Left(7), Quota::Hidden];
        assert_eq!(quotas(&quotas_to_bytes(both)), Some(both));
        assert_eq!(quotas(&[3; 18]), None);
        assert_eq!(Reply::parse(Reply::Done(vec![1]).to_bytes()).unwrap(), [1]);
        let failed = Reply::Failed(io::Error::from_raw_os_error(2)).to_bytes();
        assert_eq!(Reply::parse(failed).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
