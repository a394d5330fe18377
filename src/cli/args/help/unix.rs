//! What the help, the version and the manual pages say on systems other than Windows.

pub(in crate::cli) const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(in crate::cli) const AFTER_HELP: &str = "\
In the mountpoint: pN/ for each readable volume, esp and by-label/ as links to them, .capacity and .capacity.json; \
not listed: .vhdmount/ with info.json, disk.raw and pN.raw (writable with --overlay or --in-place); in each pN/ not listed (unless -o deleted): .deleted/ with the \
volume's deleted files as NUMBER-NAME, and .orphans/ with the files in use that no directory lists; where they were and what \
is left of them in the attributes user.vhdmount.path and user.vhdmount.state; reading what another file has overwritten is an error.

Reads: VHD and VHDX (fixed, dynamic, differencing, dirty logs), raw images and devices; GPT and MBR; NTFS with LZNT1, WOF, WIMBoot, \
deduplication, streams, deleted files; FAT12, FAT16, FAT32. Refuses with a reason: EFS without -o efs_raw, cloud files \
that are not on the disk, solid or split WIMs. Names without reading: exFAT, ReFS, BitLocker, ext2/3/4 and others.

In fstab: IMAGE MOUNTPOINT fuse.vhdmount ro,noauto 0 0 (vhdmount in /usr/bin, or linked as \
/sbin/mount.fuse.vhdmount).

Exit codes: 0 fine, 1 usage, 2 the image, 3 the mountpoint or FUSE, or the destination of cp, 4 a path inside the image, or standard output; cp: 130 interrupted; check: 5 warnings, 6 errors found; boot: 5 cannot tell, 6 would not boot; 7 mounted, but no volume is readable; called as \
mount.fuse.vhdmount (fstab) those of mount(8), for which such a mount is one. Messages: RUST_LOG=debug or -v.";

/// Of the argument MOUNTPOINT.
pub(in crate::cli) const MOUNTPOINT: &str =
    "An existing directory; without it one named after the image is made, and removed after unmounting";

/// Of `-o`.
pub(in crate::cli) const MOUNT_OPTIONS: &str = "Mount options, comma-separated: allow_other, uid=N, gid=N, umask=M, fmask=M, dmask=M, partition=N, streams_interface=none|windows|xattr, show_sys_files, hide_hid_files, efs_raw, wsl_metadata, deleted, direct_io, overlay=CHILD, in_place, publish=sync|5s|unmount (as the options of these names), threads=N, codepage=N, utc_offset=MINUTES, no_replay, parent=FILE, parent_dir=DIR, force_parent, confine, no_sandbox, run_as=NAME (as --user); for the kernel noexec, noatime, nosymfollow, context=, fscontext=, defcontext=, rootcontext= (SELinux). A comma in a value stands behind a backslash or between double quotes";

/// Ends the manual page of the command itself.
pub(in crate::cli) const EXAMPLES: &[(&str, &str)] = &[
    ("vhdmount server.vhdx /mnt/x", "Mounts all volumes of the disk: /mnt/x/p1, /mnt/x/p2, …"),
    ("vhdmount -u /mnt/x", "Unmounts it."),
    (
        "vhdmount --overlay fix.vhdx server.vhdx /mnt/x",
        "The same with writable raw views; server.vhdx stays as it is.",
    ),
    ("vhdmount ls -l server.vhdx p3/Windows", "Lists a directory without mounting."),
    ("vhdmount cat server.vhdx p3/Windows/win.ini", "Writes a file to standard output without mounting."),
    ("vhdmount capacity -r /srv/vm", "Reports which of the disks below /srv/vm their host cannot back."),
];

/// Related manual pages of the system.
pub(in crate::cli) const RELATED_PAGES: &[(&str, &str)] =
    &[("fusermount3", "1"), ("fstab", "5"), ("mount", "8"), ("umount", "8")];

/// The names by which mount(8) may call the command.
pub(in crate::cli) const MOUNT_HELPERS: &[&str] = &["mount.fuse.vhdmount", "mount.vhdmount"];
