//! Makes a mount: by mount(2) where the kernel permits it, otherwise through fusermount3. Either way the result is an
//! open FUSE connection with no request answered yet.

use std::{
    ffi::{CString, OsStr, OsString},
    fs::{self, OpenOptions},
    io::{self, IoSliceMut, Read},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{ffi::OsStrExt, ffi::OsStringExt, fs::MetadataExt},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
        recvmsg, socketpair,
    },
};

use super::{MountError, checks, mount_table::SUBTYPE, options::Attributes};

/// A new mount.
pub(super) struct Connection {
    /// `/dev/fuse`, connected to the mount.
    pub(super) device: OwnedFd,
    /// The socket to fusermount3, which unmounts when it is closed.
    pub(super) auto_unmount: Option<OwnedFd>,
}

pub(super) fn mount(mountpoint: &Path, attributes: &Attributes) -> Result<Connection, MountError> {
    let refused = |error: io::Error| checks::explain(mountpoint, &error);
    if !attributes.auto_unmount {
        match directly(mountpoint, attributes).map_err(refused)? {
            Some(device) => return Ok(Connection { device, auto_unmount: None }),
            None => log::debug!("mount(2) is not permitted: fusermount3 is asked"),
        }
    }
    through_fusermount(mountpoint, attributes).map_err(refused)
}

/// Mounts by mount(2); `None` when the kernel does not permit it.
fn directly(mountpoint: &Path, attributes: &Attributes) -> io::Result<Option<OwnedFd>> {
    let mode = fs::metadata(mountpoint)?.mode();
    let device = match OpenOptions::new().read(true).write(true).open("/dev/fuse") {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
        opened => opened?,
    };
    let (user, group) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let mut data = format!(
        "fd={},rootmode={mode:o},user_id={user},group_id={group},subtype={SUBTYPE}",
        device.as_raw_fd()
    );
    for option in &attributes.kernel {
        data.push(',');
        data += option;
    }
    let data = CString::new(data)?;
    // Passed unescaped: mount(2) gives commas and backslashes in the source no meaning.
    match rustix::mount::mount(&*attributes.source, mountpoint, "fuse", attributes.flags, &*data) {
        Ok(()) => Ok(Some(device.into())),
        Err(Errno::PERM) => Ok(None),
        Err(Errno::INVAL) if attributes.kernel.iter().any(|option| option.contains("context=")) => {
            let problem =
                "the kernel refuses the options, as where SELinux is not in force: Invalid argument";
            Err(io::Error::other(problem))
        }
        Err(error) => Err(error.into()),
    }
}

/// Mounts as other callers of fusermount3 do: it sends the connection back through a socket that it inherits.
fn through_fusermount(mountpoint: &Path, attributes: &Attributes) -> io::Result<Connection> {
    // Without close-on-exec, so that fusermount3 inherits it. No other thread can leak it: the program has one thread so
    // far.
    let kind = (AddressFamily::UNIX, SocketType::STREAM);
    let (theirs, ours) = socketpair(kind.0, kind.1, SocketFlags::empty(), None)?;
    rustix::io::fcntl_setfd(&ours, rustix::io::FdFlags::CLOEXEC)?;
    let mut child = Command::new(fusermount()?)
        .arg("-o")
        .arg(list(attributes))
        .arg("--")
        .arg(mountpoint)
        .env("_FUSE_COMMFD", theirs.as_raw_fd().to_string())
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    drop(theirs);
    match receive(&ours)? {
        Some(device) if attributes.auto_unmount => Ok(Connection { device, auto_unmount: Some(ours) }),
        Some(device) => {
            child.wait()?;
            Ok(Connection { device, auto_unmount: None })
        }
        None => {
            drop(ours);
            let mut said = String::new();
            if let Some(mut stderr) = child.stderr.take() {
                let _ = stderr.by_ref().take(1 << 16).read_to_string(&mut said);
            }
            child.wait()?;
            Err(io::Error::other(said.trim().to_owned()))
        }
    }
}

fn receive(socket: &OwnedFd) -> io::Result<Option<OwnedFd>> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    loop {
        match recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            received => {
                received?;
                break;
            }
        }
    }
    Ok(control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    }))
}

/// The options as one comma-separated list, with commas and backslashes escaped in the source. Kernel options are not
/// escaped: fusermount3 passes those that it does not know to the kernel unchanged.
fn list(attributes: &Attributes) -> OsString {
    let mut list = b"fsname=".to_vec();
    for byte in attributes.source.as_bytes() {
        list.extend(matches!(byte, b'\\' | b',').then_some(b'\\'));
        list.push(*byte);
    }
    list.extend(format!(",subtype={SUBTYPE}").bytes());
    let more = attributes.flag_names.iter().copied().chain(attributes.kernel.iter().map(String::as_str));
    for option in more.chain(attributes.auto_unmount.then_some("auto_unmount")) {
        list.push(b',');
        list.extend(option.bytes());
    }
    OsString::from_vec(list)
}

/// Where distributions install fusermount3. Root does not run a program found through `PATH`, which another user may
/// control.
const FOLDERS: [&str; 6] = ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/sbin", "/run/wrappers/bin"];

/// Finds fusermount3, or the fusermount of FUSE 2.
pub(super) fn fusermount() -> io::Result<PathBuf> {
    let path = match rustix::process::geteuid().is_root() {
        true => OsString::new(),
        false => std::env::var_os("PATH").unwrap_or_default(),
    };
    let folders = || FOLDERS.iter().map(PathBuf::from).chain(folders_of(&path));
    let found = ["fusermount3", "fusermount"]
        .iter()
        .find_map(|name| folders().map(|folder| folder.join(name)).find(|program| program.is_file()));
    found.ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn folders_of(path: &OsStr) -> Vec<PathBuf> {
    std::env::split_paths(path).filter(|folder| folder.is_absolute()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::MountOptions;

    #[test]
    fn a_name_starts_no_option_of_fusermount() {
        let mut options = MountOptions::new(PathBuf::from("/mnt"), r"a,allow_other\".into(), 0, 0);
        options.raw_fuse_options = vec!["noatime".into(), r#"context="x:c1,c2""#.into()];
        let list = list(&Attributes::of(&options).unwrap());
        let expected =
            r#"fsname=a\,allow_other\\,subtype=vhdmount,ro,nodev,nosuid,noatime,default_permissions,"#;
        assert_eq!(list.to_str().unwrap(), format!(r#"{expected}context="x:c1,c2""#));
    }

    #[test]
    fn root_looks_for_fusermount_in_fixed_places_alone() {
        if let Ok(program) = fusermount()
            && rustix::process::geteuid().is_root()
        {
            assert!(FOLDERS.iter().any(|folder| program.starts_with(folder)), "{program:?}");
        }
    }
}
