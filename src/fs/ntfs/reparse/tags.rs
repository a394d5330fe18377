//! Reparse tags (MS-FSCC 2.1.2.1) and their owners.

/// Set in tags that Microsoft assigned to itself: their data has no GUID in front.
pub(super) const MICROSOFT: u32 = 0x8000_0000;

macro_rules! tags {
    ($($name:ident = $value:literal, $mask:literal, $text:literal;)*) => {
        /// The known owners.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Tag {
            $(#[doc = $text] $name,)*
            /// Any other.
            Unknown,
        }

        impl From<u32> for Tag {
            fn from(tag: u32) -> Self {
                match tag {
                    $(tag if tag & $mask == $value => Self::$name,)*
                    _ => Self::Unknown,
                }
            }
        }

        /// The owner's name, for messages (`symbolic link`, `data deduplication`).
        pub fn describe(tag: u32) -> &'static str {
            match Tag::from(tag) {
                $(Tag::$name => $text,)*
                Tag::Unknown if tag & MICROSOFT != 0 => "unknown Microsoft reparse",
                Tag::Unknown => "third-party reparse",
            }
        }
    };
}

// Cloud and container tags have variants, which differ in the bits outside of the mask.
tags! {
    MountPoint = 0xa000_0003, 0xffff_ffff, "mount point";
    Hsm = 0xc000_0004, 0xffff_ffff, "hierarchical storage";
    Hsm2 = 0x8000_0006, 0xffff_ffff, "hierarchical storage";
    Sis = 0x8000_0007, 0xffff_ffff, "single-instance storage";
    Wim = 0x8000_0008, 0xffff_ffff, "WIM mount";
    Csv = 0x8000_0009, 0xffff_ffff, "cluster shared volume";
    Dfs = 0x8000_000a, 0xffff_ffff, "distributed filesystem";
    FilterManager = 0x8000_000b, 0xffff_ffff, "filter manager";
    Symlink = 0xa000_000c, 0xffff_ffff, "symbolic link";
    IisCache = 0xa000_0010, 0xffff_ffff, "IIS cache";
    Dfsr = 0x8000_0012, 0xffff_ffff, "distributed filesystem replication";
    Dedup = 0x8000_0013, 0xffff_ffff, "data deduplication";
    Nfs = 0x8000_0014, 0xffff_ffff, "NFS special file";
    FilePlaceholder = 0x8000_0015, 0xffff_ffff, "file placeholder";
    Wof = 0x8000_0017, 0xffff_ffff, "WOF (system compression)";
    Wci = 0x8000_0018, 0xefff_0fff, "Windows container isolation";
    GlobalReparse = 0xa000_0019, 0xffff_ffff, "global reparse";
    Cloud = 0x9000_001a, 0xffff_0fff, "cloud file";
    AppExecLink = 0x8000_001b, 0xffff_ffff, "application execution alias";
    ProjFs = 0x9000_001c, 0xffff_ffff, "projected filesystem";
    LxSymlink = 0xa000_001d, 0xffff_ffff, "WSL symbolic link";
    StorageSync = 0x8000_001e, 0xffff_ffff, "Azure File Sync";
    StorageSyncFolder = 0x9000_0027, 0xffff_ffff, "Azure File Sync folder";
    WciTombstone = 0xa000_001f, 0xffff_ffff, "Windows container tombstone";
    Unhandled = 0x8000_0020, 0xffff_ffff, "unhandled reparse";
    OneDrive = 0x8000_0021, 0xffff_ffff, "OneDrive";
    ProjFsTombstone = 0xa000_0022, 0xffff_ffff, "projected filesystem tombstone";
    AfUnix = 0x8000_0023, 0xffff_ffff, "Unix socket";
    LxFifo = 0x8000_0024, 0xffff_ffff, "WSL named pipe";
    LxChr = 0x8000_0025, 0xffff_ffff, "WSL character device";
    LxBlk = 0x8000_0026, 0xffff_ffff, "WSL block device";
    WciLink = 0xa000_0027, 0xffff_0fff, "Windows container link";
    DatalessCim = 0xa000_0028, 0xffff_ffff, "CimFS";
}
