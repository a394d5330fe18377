//! Tests on real mounts of an in-memory filesystem, accessed as programs do.

pub(super) mod memory;

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{ErrorKind, Read, Seek, SeekFrom, Write},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, atomic::Ordering},
    thread,
};

use memory::{BAD_BYTE, MANY, Memory, SPARSE_DATA};
use rustix::fs::SeekFrom as RawSeekFrom;

use ::xattr;

use super::{
    MountError, MountOptions, Session, Streams, checks, default_owner, mount_background_session, unmount,
};

/// A mounted [`Memory`], unmounted when dropped; its mountpoint is removed.
struct Mount {
    session: Option<Session>,
    folder: tempfile::TempDir,
}

impl Mount {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        drop(self.session.take());
    }
}

fn options(mountpoint: &Path) -> MountOptions {
    let (uid, gid) = default_owner();
    MountOptions {
        raw_fuse_options: vec!["noatime".into()],
        ..MountOptions::new(mountpoint.into(), "an image, or two".into(), uid, gid)
    }
}

/// Mounts a [`Memory`]. Without FUSE it prints SKIPPED and returns `None`; with `VHDMOUNT_NO_SKIP` set it panics.
fn mount_with(change: impl FnOnce(&mut MountOptions)) -> Option<Mount> {
    mount_of(Arc::new(Memory::new()), change)
}

fn mount_of(memory: Arc<Memory>, change: impl FnOnce(&mut MountOptions)) -> Option<Mount> {
    if let Err(error) = fs::OpenOptions::new().read(true).write(true).open("/dev/fuse") {
        assert!(std::env::var_os("VHDMOUNT_NO_SKIP").is_none(), "/dev/fuse: {error}");
        let test = thread::current().name().unwrap_or("test").to_owned();
        writeln!(std::io::stderr(), "SKIPPED {test}: /dev/fuse: {error}").unwrap();
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(folder.path());
    change(&mut options);
    let session = mount_background_session(options, memory).unwrap();
    Some(Mount { session: Some(session), folder })
}

fn mounted() -> Option<Mount> {
    mount_with(|_| {})
}

fn errno(result: std::io::Result<impl std::fmt::Debug>) -> rustix::io::Errno {
    rustix::io::Errno::from_raw_os_error(result.unwrap_err().raw_os_error().unwrap())
}

#[test]
fn content_is_read_whole_and_at_random() {
    let Some(mount) = mounted() else { return };
    let (path, content) = (mount.path("file.bin"), memory::content());
    assert!(fs::read(&path).unwrap() == content);
    let file = File::open(&path).unwrap();
    let mut buf = vec![0; 5000];
    for offset in [0_usize, 1, 4095, 131_071, 1 << 20, content.len() - 5000] {
        file.read_exact_at(&mut buf, offset as u64).unwrap();
        assert!(buf == content[offset..offset + buf.len()], "{offset}");
    }
    assert_eq!(file.read_at(&mut buf, content.len() as u64 - 1).unwrap(), 1);
    assert_eq!(file.read_at(&mut buf, content.len() as u64 + 7).unwrap(), 0);
    assert_eq!(fs::read(mount.path("empty")).unwrap(), b"");
}

#[test]
fn direct_io_reads_the_same() {
    let Some(mount) = mount_with(|options| options.direct_io = true) else { return };
    assert!(fs::read(mount.path("file.bin")).unwrap() == memory::content());
    // Here the kernel does not cut requests at the end of the file.
    let file = File::open(mount.path("file.bin")).unwrap();
    for beyond in [0, 1, 1 << 20] {
        assert_eq!(file.read_at(&mut [0; 512], memory::content().len() as u64 + beyond).unwrap(), 0);
    }
}

#[test]
fn eight_readers_at_once_see_the_same() {
    let Some(mount) = mounted() else { return };
    let content = memory::content();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for name in ["file.bin", "many/0007", "sparse", "file.bin"] {
                    let read = fs::read(mount.path(name)).unwrap();
                    assert!(name != "file.bin" || read == content);
                }
                assert_eq!(fs::read_dir(mount.path("many")).unwrap().count(), MANY);
            });
        }
    });
}

/// Lists the directories one after the other and reads their files; from the given directory on, only the kernel's cache
/// can provide them. Returns how many were readable.
fn kept_of_tree(change: impl FnOnce(&mut MountOptions)) -> Option<usize> {
    let memory = Arc::new(Memory::tree());
    let mount = mount_of(memory.clone(), change)?;
    let mut kept = 0;
    for directory in 0..memory::TREE.0 {
        let listed = fs::read_dir(mount.path(&format!("{directory:02}"))).unwrap().count();
        assert_eq!(listed, memory::TREE.1);
        let last = directory + 1 == memory::TREE.0;
        memory.is_gone.store(last, Ordering::Relaxed);
        for file in 0..memory::TREE.1 {
            match fs::read(mount.path(&format!("{directory:02}/{file}"))) {
                Ok(content) => {
                    assert!(content == memory::tree_content(directory, file), "{directory}/{file}");
                    kept += usize::from(last);
                }
                Err(error) => assert!(last, "{error}"),
            }
        }
    }
    Some(kept)
}

#[test]
fn who_reads_a_tree_finds_small_files_in_the_kernel() {
    let Some(kept) = kept_of_tree(|_| ()) else { return };
    assert_eq!(kept, memory::TREE.1);
}

#[test]
fn a_single_worker_and_direct_io_store_nothing() {
    let Some(kept) = kept_of_tree(|options| options.threads = 1) else { return };
    assert_eq!(kept, 0);
    assert_eq!(kept_of_tree(|options| options.direct_io = true), Some(0));
}

#[test]
fn a_mapped_file_shows_its_content() {
    let Some(mount) = mounted() else { return };
    // std has no mmap: another program maps the file instead.
    let code = "import mmap,sys,hashlib\nf=open(sys.argv[1],'rb')\nm=mmap.mmap(f.fileno(),0,prot=mmap.PROT_READ)\n\
                sys.stdout.buffer.write(m[100:5100])";
    let output = Command::new("python3").args(["-c", code]).arg(mount.path("file.bin")).output();
    match output {
        Ok(output) => assert!(output.stdout == memory::content()[100..5100], "{output:?}"),
        Err(error) => eprintln!("SKIPPED a_mapped_file_shows_its_content: python3: {error}"),
    }
}

#[test]
fn a_large_directory_lists_every_entry_once() {
    let Some(mount) = mounted() else { return };
    for _ in 0..2 {
        let entries = fs::read_dir(mount.path("many")).unwrap().map(|entry| entry.unwrap());
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        let expected: Vec<_> = (0..MANY).map(|i| format!("{i:04}")).collect();
        assert!(names == expected);
    }
}

#[test]
fn attributes_and_permissions_come_from_the_disk_and_the_options() {
    let change = |options: &mut MountOptions| {
        (options.uid, options.gid, options.fmask, options.dmask) = (7, 8, 0o004, 0o055)
    };
    let Some(mount) = mount_with(change) else { return };
    let metadata = fs::metadata(mount.path("file.bin")).unwrap();
    assert_eq!((metadata.uid(), metadata.gid(), metadata.len()), (7, 8, memory::content().len() as u64));
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o640);
    assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (1_600_000_000, 123_456_700));
    assert_eq!(fs::metadata(mount.path("many")).unwrap().permissions().mode() & 0o7777, 0o700);
}

#[test]
fn names_are_escaped() {
    let Some(mount) = mounted() else { return };
    assert_eq!(fs::read(mount.path(r"a\x2fb")).unwrap(), b"slash");
    assert_eq!(fs::read(mount.path("Grüße 入 😀")).unwrap(), b"unicode");
    assert_eq!(fs::metadata(mount.path("none")).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn names_are_found_by_the_filesystems_own_rule() {
    let Some(mount) = mounted() else { return };
    assert_eq!(fs::metadata(mount.path("FILE.BIN")).unwrap().len(), memory::content().len() as u64);
    assert_eq!(fs::read(mount.path("MANY/0007")).unwrap(), b"7");
}

#[test]
fn links_are_followed_and_have_their_length() {
    let Some(mount) = mounted() else { return };
    let link = mount.path("link");
    assert_eq!(fs::read_link(&link).unwrap(), Path::new("many/0042"));
    assert_eq!(fs::symlink_metadata(&link).unwrap().len(), "many/0042".len() as u64);
    assert_eq!(fs::read(&link).unwrap(), b"42");
}

#[test]
fn streams_are_attributes_and_files() {
    let Some(mount) = mounted() else { return };
    let file = mount.path("file.bin");
    let names: Vec<_> = xattr::list(&file).unwrap().collect();
    assert_eq!(names, ["system.ntfs_attrib", "user.small", "user.large"].map(OsStr::new));
    assert_eq!(xattr::get(&file, "user.small").unwrap().unwrap(), b"stream");
    assert_eq!(xattr::get(&file, "system.ntfs_attrib").unwrap().unwrap(), [0x20, 0, 0, 0]);
    assert_eq!(xattr::get(&file, "user.none").unwrap(), None);
    assert_eq!(errno(xattr::get(&file, "user.large")), rustix::io::Errno::TOOBIG);
    assert_eq!(
        errno(rustix::fs::getxattr(&file, "user.small", &mut [0; 3]).map_err(Into::into)),
        rustix::io::Errno::RANGE
    );
    assert_eq!(fs::read(mount.path("file.bin:small")).unwrap(), b"stream");
    assert_eq!(fs::read(mount.path("file.bin:large:$DATA")).unwrap(), [7; 70_000]);
    assert_eq!(fs::metadata(mount.path("file.bin:none")).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn streams_are_no_attributes_where_not_wanted_but_still_files() {
    let Some(mount) = mount_with(|options| options.streams = Streams::None) else { return };
    assert_eq!(xattr::list(mount.path("file.bin")).unwrap().count(), 1);
    assert_eq!(xattr::get(mount.path("file.bin"), "user.small").unwrap(), None);
    assert_eq!(fs::read(mount.path("file.bin:small")).unwrap(), b"stream");
}

#[test]
fn holes_can_be_skipped() {
    let Some(mount) = mounted() else { return };
    let mut file = File::open(mount.path("sparse")).unwrap();
    let size = file.metadata().unwrap().len();
    let data = rustix::fs::seek(&file, RawSeekFrom::Data(0)).unwrap();
    assert_eq!(data, SPARSE_DATA.start);
    assert_eq!(rustix::fs::seek(&file, RawSeekFrom::Hole(data)).unwrap(), SPARSE_DATA.end);
    assert_eq!(rustix::fs::seek(&file, RawSeekFrom::Data(SPARSE_DATA.end)), Err(rustix::io::Errno::NXIO));
    assert_eq!(rustix::fs::seek(&file, RawSeekFrom::Hole(size)), Err(rustix::io::Errno::NXIO));
    file.seek(SeekFrom::Start(SPARSE_DATA.end - 1)).unwrap();
    let mut bytes = [9; 2];
    file.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes, [0x5a, 0]);
}

#[test]
fn what_changes_is_read_anew_at_each_open() {
    for direct_io in [false, true] {
        let Some(mount) = mount_with(|options| options.direct_io = direct_io) else { return };
        // A name leads to the same snapshot for `snapshots::TTL`.
        let counter = || {
            std::thread::sleep(super::snapshots::TTL * 3 / 2);
            mount.path("counter")
        };
        let lengths: Vec<usize> = (0..3).map(|_| fs::read(counter()).unwrap().len()).collect();
        assert!(lengths[0] > 0 && lengths.is_sorted_by(|a, b| a < b), "{lengths:?}");
        // An open file keeps its content and its length.
        let mut first = File::open(counter()).unwrap();
        let mut later = File::open(counter()).unwrap();
        let read = |file: &mut File| {
            let size = file.metadata().unwrap().len();
            let mut text = String::new();
            assert_eq!(file.read_to_string(&mut text).unwrap() as u64, size);
            assert_eq!(file.metadata().unwrap().len(), size);
            size
        };
        let (later, first) = (read(&mut later), read(&mut first));
        assert!(later > first && first > lengths[2] as u64, "{first} {later} {lengths:?}");
    }
}

#[test]
fn an_unreadable_file_fails_alone() {
    let Some(mount) = mounted() else { return };
    assert_eq!(errno(fs::read(mount.path("encrypted"))), rustix::io::Errno::OPNOTSUPP);
    let map = "import mmap,sys\nf=open(sys.argv[1],'rb')\nprint(len(mmap.mmap(f.fileno(),0,prot=mmap.PROT_READ)[:]))";
    if let Ok(output) = Command::new("python3").args(["-c", map]).arg(mount.path("encrypted")).output() {
        assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    }
    let file = File::open(mount.path("faulty")).unwrap();
    let mut page = [0; 4096];
    assert_eq!(errno(file.read_exact_at(&mut page, BAD_BYTE)), rustix::io::Errno::IO);
    file.read_exact_at(&mut page, BAD_BYTE - 4096).unwrap();
    file.read_exact_at(&mut page, BAD_BYTE + 4096).unwrap();
    assert_eq!(page, [1; 4096]);
    assert_eq!(fs::read(mount.path("many/0042")).unwrap(), b"42");
}

#[test]
fn a_damaged_directory_shows_what_is_readable_and_then_an_error() {
    let Some(mount) = mounted() else { return };
    for _ in 0..2 {
        let mut entries = fs::read_dir(mount.path("bad-directory")).unwrap();
        assert_eq!(entries.next().unwrap().unwrap().file_name(), "readable");
        assert_eq!(errno(entries.next().unwrap()), rustix::io::Errno::IO);
    }
}

#[test]
fn panics_are_errors_and_leave_every_worker_alive() {
    let Some(mount) = mount_with(|options| options.threads = 2) else { return };
    for _ in 0..10 {
        assert_eq!(errno(fs::read(mount.path("panics"))), rustix::io::Errno::IO);
        assert_eq!(errno(fs::read(mount.path("panics-on-open"))), rustix::io::Errno::IO);
        assert_eq!(errno(fs::metadata(mount.path("panics-on-stat"))), rustix::io::Errno::IO);
    }
    let names: Vec<_> =
        fs::read_dir(mount.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.contains(&"panics-on-stat".into()), "{names:?}");
    assert!(fs::read(mount.path("file.bin")).unwrap() == memory::content());
}

#[test]
fn nothing_can_be_written() {
    let Some(mount) = mounted() else { return };
    let read_only = rustix::io::Errno::ROFS;
    assert_eq!(errno(File::create(mount.path("new"))), read_only);
    assert_eq!(errno(fs::OpenOptions::new().append(true).open(mount.path("file.bin"))), read_only);
    assert_eq!(errno(fs::remove_file(mount.path("file.bin"))), read_only);
    assert_eq!(errno(fs::create_dir(mount.path("d"))), read_only);
    assert_eq!(errno(fs::rename(mount.path("file.bin"), mount.path("x"))), read_only);
    assert_eq!(errno(xattr::set(mount.path("file.bin"), "user.small", b"x")), read_only);
    assert_eq!(
        errno(fs::set_permissions(mount.path("file.bin"), fs::Permissions::from_mode(0o777))),
        read_only
    );
    assert_eq!(
        errno(fs::OpenOptions::new().read(true).custom_flags(0o1000).open(mount.path("none"))),
        rustix::io::Errno::NOENT
    );
}

#[test]
fn usage_is_that_of_the_volume() {
    let Some(mount) = mounted() else { return };
    let usage = rustix::fs::statvfs(mount.path("file.bin")).unwrap();
    assert_eq!((usage.f_blocks * usage.f_frsize, usage.f_bavail * usage.f_frsize), (1 << 30, 1 << 29));
    assert!(usage.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY));
}

#[test]
fn the_mount_table_names_program_and_source() {
    let Some(mount) = mounted() else { return };
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = table.lines().find(|line| line.contains(mount.folder.path().to_str().unwrap())).unwrap();
    assert!(line.contains(" fuse.vhdmount an\\040image") && line.contains("noatime"), "{line}");
}

#[test]
fn a_second_mount_at_the_same_place_is_refused() {
    let Some(mount) = mounted() else { return };
    let error = mount_background_session(options(mount.folder.path()), Arc::new(Memory::new())).unwrap_err();
    assert!(error.to_string().contains("already"), "{error}");
}

#[test]
fn unmounting_waits_for_nothing_that_goes_on() {
    let Some(mount) = mounted() else { return };
    unmount(mount.folder.path(), true).unwrap();
    assert_eq!(fs::read_dir(mount.folder.path()).unwrap().count(), 0);
    let error = unmount(mount.folder.path(), true).unwrap_err();
    assert!(error.to_string().contains("nothing is mounted"), "{error}");
}

#[test]
fn a_busy_mount_stays() {
    let Some(mount) = mounted() else { return };
    let file = File::open(mount.path("file.bin")).unwrap();
    assert!(matches!(unmount(mount.folder.path(), true), Err(MountError::Busy(_))));
    file.read_exact_at(&mut [0; 10], 2_000_000).unwrap();
    drop(file);
    unmount(mount.folder.path(), true).unwrap();
}

#[test]
fn a_dropped_session_leaves_open_files_readable() {
    let Some(mut mount) = mounted() else { return };
    let file = File::open(mount.path("file.bin")).unwrap();
    drop(mount.session.take());
    assert_eq!(fs::read_dir(mount.folder.path()).unwrap().count(), 0);
    let mut bytes = [0; 100];
    file.read_exact_at(&mut bytes, 2_500_000).unwrap();
    assert!(bytes == memory::content()[2_500_000..2_500_100]);
}

#[test]
fn a_session_ended_by_others_leaves_the_next_mount_alone() {
    let Some(mut first) = mounted() else { return };
    unmount(first.folder.path(), true).unwrap();
    let second = mount_background_session(options(first.folder.path()), Arc::new(Memory::new())).unwrap();
    drop(first.session.take());
    assert_eq!(fs::read(first.path("many/0042")).unwrap(), b"42");
    drop(second);
    assert_eq!(fs::read_dir(first.folder.path()).unwrap().count(), 0);
}

#[test]
fn mountpoints_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let problem = |path: &Path| match checks::check(path) {
        Err(MountError::Mountpoint { problem, .. }) => problem,
        other => panic!("{other:?}"),
    };
    assert!(problem(&folder.path().join("none")).contains("mkdir"));
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(problem(&file).contains("not a directory"));
    assert!(unmount(Path::new("/proc"), true).unwrap_err().to_string().contains("not by vhdmount"));
}
