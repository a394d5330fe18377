//! What the driver does with a volume on behalf of programs: it opens, reads and lists as `src/sys` of WinFsp does, as far
//! as the file system below can see. Nothing is cached here, so every question reaches the file system.

use std::path::Path;

use super::{
    driver::{Driver, Event, Setting},
    handle::Handle,
    rights::{access, disposition, option},
    wire::{Answer, DirInfo, Kind, Request, Status, utf16},
};

/// `FSP_FSCTL_VOLUME_PARAMS`.
#[derive(Debug, Clone)]
pub(super) struct Params(Vec<u8>);

impl Params {
    pub(super) const CASE_SENSITIVE_SEARCH: u32 = 1;
    pub(super) const POST_CLEANUP_WHEN_MODIFIED_ONLY: u32 = 1 << 10;
    pub(super) const PASS_QUERY_DIRECTORY_PATTERN: u32 = 1 << 11;
    pub(super) const PASS_QUERY_DIRECTORY_FILE_NAME: u32 = 1 << 13;
    pub(super) const DIRECTORY_MARKER_AS_NEXT_OFFSET: u32 = 1 << 27;

    pub(super) fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.0[at..at + 2].try_into().unwrap())
    }

    pub(super) fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.0[at..at + 4].try_into().unwrap())
    }

    /// Longest name, in UTF-16 units.
    pub(super) fn max_component(&self) -> u16 {
        self.u16(6)
    }

    pub(super) fn serial(&self) -> u32 {
        self.u32(16)
    }

    pub(super) fn flags(&self) -> u32 {
        self.u32(36)
    }

    pub(super) fn has(&self, flag: u32) -> bool {
        self.flags() & flag != 0
    }

    pub(super) fn file_system(&self) -> String {
        let name = utf16(&self.0[424..456]);
        String::from_utf16(name.split(|&unit| unit == 0).next().unwrap_or_default()).unwrap()
    }
}

/// Label and sizes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VolumeInfo {
    pub(super) total: u64,
    pub(super) free: u64,
    pub(super) label: String,
}

/// How a program opens a file. As `CreateFile(GENERIC_READ, OPEN_EXISTING)` with backup semantics, unless changed.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    pub(super) access: u32,
    pub(super) options: u32,
    pub(super) disposition: u32,
}

impl Default for How {
    fn default() -> Self {
        Self { access: access::GENERIC_READ, options: 0, disposition: disposition::OPEN }
    }
}

impl How {
    pub(super) fn access(access: u32) -> Self {
        Self { access, ..Self::default() }
    }

    pub(super) fn options(options: u32) -> Self {
        Self { options, ..Self::default() }
    }
}

/// Why a file was not opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    Error(Status),
    /// The path goes through a reparse point: its tag (0: a path to go on with) and what came with it.
    Elsewhere {
        tag: u32,
        data: Vec<u8>,
    },
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Self::Error(status)
    }
}

/// A mounted volume.
#[derive(Debug)]
pub(super) struct Volume {
    pub(super) driver: Driver,
    pub(super) params: Params,
    /// The event that states where it is mounted.
    pub(super) mounted: Event,
}

impl Volume {
    /// `vhdmount -f OPTIONS IMAGE X:`; `None`, and SKIPPED, where it cannot be run.
    pub(super) fn mount(image: &Path, options: &[&str]) -> Option<Self> {
        let setting = Setting::new()?;
        let drive = setting.drive();
        Some(Self::mount_at(setting, image, &drive, options))
    }

    pub(super) fn mount_at(setting: Setting, image: &Path, mountpoint: &str, options: &[&str]) -> Self {
        let image = image.to_str().unwrap();
        Self::of(Driver::start(setting, &[&["-f"], options, &[image, mountpoint]].concat()))
    }

    /// The volume that a command has begun to mount.
    pub(super) fn of(driver: Driver) -> Self {
        let Event::Volume(params) = driver.event() else { panic!("first there is a volume") };
        let mounted = driver.event();
        driver.wait_until_it_says("Mounted at ");
        Self { driver, params: Params(params), mounted }
    }

    pub(super) fn ask(&self, request: Request) -> Result<Answer, Status> {
        self.driver.transact(request).ok()
    }

    pub(super) fn info(&self) -> Result<VolumeInfo, Status> {
        let answer = self.ask(Request::new(Kind::QueryVolumeInformation))?;
        let length = usize::from(answer.u16(40));
        assert!(length <= 64, "a label of {length} bytes");
        let label = String::from_utf16(&utf16(&answer.bytes[42..42 + length])).unwrap();
        Ok(VolumeInfo { total: answer.u64(24), free: answer.u64(32), label })
    }

    pub(super) fn set_label(&self, label: &str) -> Result<(), Status> {
        const FILE_FS_LABEL_INFORMATION: u32 = 2;
        let label: Vec<u16> = label.encode_utf16().collect();
        let request = Request::new(Kind::SetVolumeInformation).u32(16, FILE_FS_LABEL_INFORMATION);
        self.ask(request.text(20, &label)).map(drop)
    }

    /// Opens for reading. Fails the test where the path leads elsewhere.
    pub(super) fn open(&self, path: &str) -> Result<Handle<'_>, Status> {
        self.open_as(path, How::default()).map_err(|refused| match refused {
            Refused::Error(status) => status,
            Refused::Elsewhere { tag, data } => panic!("{path} leads elsewhere: {tag:x} {data:02x?}"),
        })
    }

    /// Opens a path, `\` for the root, `file:stream` for a stream.
    pub(super) fn open_as(&self, path: &str, how: How) -> Result<Handle<'_>, Refused> {
        let path: Vec<u16> = path.encode_utf16().collect();
        self.open_name(&path, how)
    }

    pub(super) fn open_name(&self, path: &[u16], how: How) -> Result<Handle<'_>, Refused> {
        const DATA: [u16; 6] = [b':' as u16, b'$' as u16, b'D' as u16, b'A' as u16, b'T' as u16, b'A' as u16];
        let is = |unit: &u16, what: char| u32::from(*unit) == u32::from(what);
        assert!(path.first().is_some_and(|first| is(first, '\\')), "absolute");
        let mut path = path;
        let trailing = path.len() > 1 && path.last().is_some_and(|last| is(last, '\\'));
        if trailing {
            path = &path[..path.len() - 1];
        }
        let mut file = path.split(|unit| is(unit, ':')).next().unwrap_or_default();
        // The stream without a name is the file, whether its type is given or not.
        match path[file.len()..].strip_suffix(&DATA[..]) {
            Some(stream) if stream.len() <= 1 => path = file,
            Some(stream) => path = &path[..file.len() + stream.len()],
            None => {}
        }
        // To open a stream the driver first opens the file.
        let main = if file.len() < path.len() {
            if how.options & option::DIRECTORY_FILE != 0 {
                return Err(Status::NOT_A_DIRECTORY.into());
            }
            let disposition = match how.disposition {
                disposition::OPEN | disposition::OVERWRITE => disposition::OPEN,
                _ => disposition::OPEN_IF,
            };
            let options = option::OPEN_REPARSE_POINT;
            let how = How { access: access::READ_ATTRIBUTES, options, disposition };
            Some(Box::new(self.create(file, 0, how, false)?))
        } else {
            file = &[];
            None
        };
        let mut handle = self.create(path, file.len() * 2, how, trailing)?;
        handle.main = main;
        Ok(handle)
    }

    /// The create request itself; `stream` is where in the path the name of a stream begins, in bytes.
    fn create(&self, path: &[u16], stream: usize, how: How, trailing: bool) -> Result<Handle<'_>, Refused> {
        const USER_MODE: u32 = 1;
        const HAS_TRAVERSE_PRIVILEGE: u32 = 1 << 1;
        const HAS_TRAILING_BACKSLASH: u32 = 1 << 6;
        let mut flags = USER_MODE | HAS_TRAVERSE_PRIVILEGE;
        flags |= if trailing { HAS_TRAILING_BACKSLASH } else { 0 };
        let request = Request::new(Kind::Create)
            .file_name(path)
            .u32(16, how.disposition << 24 | how.options)
            .token(40)
            .u32(48, how.access)
            .u32(56, 7)
            .u32(64, flags)
            .u16(68, u16::try_from(stream).unwrap());
        let answer = self.driver.transact(request).ok()?;
        if answer.status() == Status::REPARSE {
            return Err(Refused::Elsewhere { tag: answer.information(), data: answer.blob(24).to_vec() });
        }
        assert_eq!(answer.status(), Status::SUCCESS);
        Ok(Handle {
            volume: self,
            path: path.to_vec(),
            main: None,
            context: [answer.u64(24), answer.u64(32)],
            granted: answer.u32(40),
            info: answer.file_info(48),
            normalized: utf16(answer.blob(120)),
            uncached: answer.u32(124) & 1 != 0,
        })
    }

    /// Everything below a directory: paths without the leading backslash. Links are not followed.
    pub(super) fn walk(&self, path: &str) -> Vec<(String, DirInfo)> {
        let how = How::options(option::DIRECTORY_FILE);
        let handle = self.open_as(path, how).unwrap_or_else(|why| panic!("{path}: {why:?}"));
        let entries = handle.list(64 << 10).unwrap_or_else(|why| panic!("list {path}: {why:?}"));
        drop(handle);
        let mut found = Vec::new();
        for entry in entries {
            let name = entry.name();
            if name == "." || name == ".." {
                continue;
            }
            let below = format!("{}\\{name}", path.trim_end_matches('\\'));
            let deeper = entry.info.is_directory() && !entry.info.is_reparse_point();
            found.push((below[1..].to_owned(), entry));
            if deeper {
                found.extend(self.walk(&below));
            }
        }
        found
    }
}
