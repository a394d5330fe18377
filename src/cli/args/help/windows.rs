//! What the help, the version and the manual pages say on Windows.

/// With the notice that the licence of WinFsp asks of programs that use it under its exception for free software.
pub(in crate::cli) const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\n\nMounts through WinFsp, where that is installed:\n\
     WinFsp - Windows File System Proxy, Copyright (C) Bill Zissimopoulos\n\
     https://github.com/winfsp/winfsp"
);

pub(in crate::cli) const AFTER_HELP: &str = "\
Mounting needs WinFsp (winget install WinFsp.WinFsp, https://winfsp.dev/rel/); every other command works without it. The mount is served by \
a process in the background until vhdmount -u, or with -f by this one until Ctrl-C. A drive that an administrator mounts as X: is seen \
by elevated programs only; \\\\.\\X: is seen by all.

In the mountpoint: pN\\ for each readable volume, esp and by-label\\ as links to them, .capacity and .capacity.json; \
not listed: .vhdmount\\ with info.json, disk.raw and pN.raw; in each pN\\ not listed (unless -o deleted): .deleted\\ with the \
volume's deleted files as NUMBER-NAME, and .orphans\\ with the files in use that no directory lists; reading what another file has overwritten is an error. Free space is that of the whole disk, \
or with -p N of the volume: what can really be written before the host is full.

Security descriptors, streams, extended attributes, times and reparse points are those of the volume. Everybody may read everything, unless \
--acls has Windows check the rights that the volume grants. Links are followed to where they lead inside the image, never to the disks of \
this computer.

Reads: VHD and VHDX (fixed, dynamic, differencing, dirty logs), raw images and devices; GPT and MBR; NTFS with LZNT1, WOF, WIMBoot, \
deduplication, streams, deleted files; FAT12, FAT16, FAT32. Refuses with a reason: EFS without -o efs_raw, cloud files \
that are not on the disk, solid or split WIMs. Names without reading: exFAT, ReFS, BitLocker, ext2/3/4 and others.

Exit codes: 0 fine, 1 usage, 2 the image, 3 the mountpoint or WinFsp, or the destination of cp, 4 a path inside the image, or standard \
output; cp: 130 interrupted; check: 5 warnings, 6 errors found; boot: 5 cannot tell, 6 would not boot; 7 mounted, but no volume is readable. Messages: RUST_LOG=debug or -v.

WinFsp - Windows File System Proxy, Copyright (C) Bill Zissimopoulos, https://github.com/winfsp/winfsp";

/// Of the argument MOUNTPOINT.
pub(in crate::cli) const MOUNTPOINT: &str = "X:, * for the next free drive letter (the default), a folder that does not exist yet, or as an administrator \\\\.\\X: for all users";

/// Of `-o`.
pub(in crate::cli) const MOUNT_OPTIONS: &str = "Mount options, comma-separated: partition=N, acls, direct_io (no caching), threads=N, show_sys_files, hide_hid_files, efs_raw, deleted, codepage=N, utc_offset=MINUTES, no_replay, parent=FILE, parent_dir=DIR, force_parent, confine. Refused, as they are Linux's: uid, gid, masks, allow_other, wsl_metadata, streams_interface";

/// Ends the manual page of the command itself.
pub(in crate::cli) const EXAMPLES: &[(&str, &str)] = &[
    ("vhdmount server.vhdx X:", r"Mounts all volumes of the disk: X:\p1, X:\p2, …"),
    ("vhdmount -u X:", "Unmounts it."),
    ("vhdmount ls -l server.vhdx p3/Windows", "Lists a directory without mounting."),
    ("vhdmount cat server.vhdx p3/Windows/win.ini", "Writes a file to standard output without mounting."),
    (r"vhdmount capacity -r D:\vm", r"Reports which of the disks below D:\vm their host cannot back."),
];

/// Related manual pages of the system.
pub(in crate::cli) const RELATED_PAGES: &[(&str, &str)] = &[];

/// The names by which mount(8) may call the command.
pub(in crate::cli) const MOUNT_HELPERS: &[&str] = &[];
