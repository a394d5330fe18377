//! Which files of the host can be opened, and how: Landlock rules. A rule is bound to a file or folder, not to its name; what no
//! rule names cannot be opened. Landlock does not keep from looking at attributes (stat, links, extended attributes) or from
//! changing them: what can change them is left out of the system calls.

use std::{
    fs::File,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, make_bitflags,
};

use super::super::mount_table;
use crate::rights::Rights;

/// A file or folder, and what may be done with it or below it.
pub(super) struct Rule {
    at: At,
    access: BitFlags<AccessFs>,
}

enum At {
    /// Open as long as the rule counts: the kernel may otherwise drop a file of /proc and with it the rule, which is bound to it.
    Path(PathFd),
    File(OwnedFd),
}

impl AsFd for At {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Path(path) => path.as_fd(),
            Self::File(file) => file.as_fd(),
        }
    }
}

/// What a reader does with a file, and below a folder.
const READ_FILE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile});
const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});
/// A block device is asked for the size of its sectors.
const READ_DEVICE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | IoctlDev});
const WRITE_FILE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | WriteFile | Truncate});
/// A new file, under its own name at once.
const CREATE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{MakeReg | WriteFile | Truncate});
/// A copy: files under temporary names, folders, symbolic and hard links.
const COPY: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    ReadDir | WriteFile | Truncate | MakeReg | MakeDir | MakeSym | RemoveFile | RemoveDir | Refer
});

impl Rule {
    /// `None` where there is no such file: it cannot be opened anyway.
    fn new(path: impl AsRef<Path>, access: BitFlags<AccessFs>) -> Option<Self> {
        Some(Self { at: At::Path(PathFd::new(path).ok()?), access })
    }

    /// Reading a file that is open already, under any name.
    pub(super) fn of_open_file(file: &File) -> Option<Self> {
        let access = if is_device(file.metadata()) { READ_DEVICE } else { READ_FILE };
        Some(Self { at: At::File(file.as_fd().try_clone_to_owned().ok()?), access })
    }

    /// Reading and writing the device of a FUSE connection.
    pub(super) fn of_fuse() -> Option<Self> {
        Self::new("/dev/fuse", make_bitflags!(AccessFs::{ReadFile | WriteFile | IoctlDev}))
    }
}

fn is_device(metadata: std::io::Result<std::fs::Metadata>) -> bool {
    use std::os::unix::fs::FileTypeExt;
    metadata.is_ok_and(|metadata| metadata.file_type().is_block_device())
}

/// Rules that are enforced together with others.
pub(super) struct Rules(Vec<Rule>);

impl Rules {
    /// The search for the image and its parents.
    pub(super) fn of_search(rights: &Rights) -> Self {
        let images = rights.images.iter().filter_map(|image| {
            Rule::new(image, if is_device(image.metadata()) { READ_DEVICE } else { READ_FILE })
        });
        let folders = rights.folders.iter().filter_map(|folder| Rule::new(folder, READ));
        Self(images.chain(folders).collect())
    }

    /// What the process outside opens: everything that can be read, or what the user named where nothing else may be opened.
    pub(super) fn outside(rights: &Rights) -> Self {
        let mut rules = Self::of_search(rights);
        if !rights.confined {
            rules.push(Rule::new("/", READ));
        }
        rules
    }

    /// What stays when the chain is open: what the host says of itself, and what is written.
    pub(super) fn lasting(rights: &Rights) -> Self {
        let mut rules: Vec<Option<Rule>> = vec![
            // Which volume the image lies on.
            Rule::new("/proc/self/mountinfo", READ_FILE),
            // How many processors this process may use.
            Rule::new("/proc/self/cgroup", READ_FILE),
            Rule::new("/sys/fs/cgroup", READ_FILE),
            Rule::new("/sys/devices/system/cpu", READ_FILE),
            Rule::new("/dev/null", make_bitflags!(AccessFs::{ReadFile | WriteFile})),
        ];
        // An image in a mounted image: how far that one can grow is in a file of that mount.
        rules.extend(
            rights.images.iter().chain(&rights.folders).map(|image| Rule::new(own_mount(image)?, READ_FILE)),
        );
        if rights.running {
            rules.extend(["/sys/class/block", "/sys/devices"].map(|folder| Rule::new(folder, READ)));
        }
        if let Some(dest) = &rights.copy_to {
            rules.push(Rule::new(if dest.is_dir() { dest } else { folder_of(dest) }, COPY));
        }
        if let Some(folder) = &rights.remove_in {
            rules.push(Rule::new(folder, make_bitflags!(AccessFs::{ReadDir | RemoveFile})));
        }
        for output in &rights.outputs {
            rules.push(Rule::new(output, WRITE_FILE).or_else(|| Rule::new(folder_of(output), CREATE)));
        }
        Self(rules.into_iter().flatten().collect())
    }

    pub(super) fn push(&mut self, rule: Option<Rule>) {
        self.0.extend(rule);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.0.iter()
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The mountpoint of our own mount in which a file lies.
fn own_mount(path: &Path) -> Option<PathBuf> {
    let real = path.canonicalize().ok()?;
    mount_table::ours().into_iter().filter(|at| real.starts_with(at)).max_by_key(|at| at.as_os_str().len())
}

/// Lets this thread, and those that it starts, open only what the rules name; rights given up before stay given up.
pub(super) fn enforce<'a>(rules: impl Iterator<Item = &'a Rule>) -> Result<(), RulesetError> {
    // The newest that this program knows; what an older kernel lacks is left out.
    let abi = ABI::V7;
    let mut ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?;
    for rule in rules {
        // The kernel has no rules for pipes and sockets, which are open to all anyway.
        if let Err(error) = (&mut ruleset).add_rule(PathBeneath::new(&rule.at, rule.access)) {
            log::debug!("sandbox: a rule is left out: {error}");
        }
    }
    let status = ruleset.restrict_self()?;
    match status.ruleset {
        RulesetStatus::FullyEnforced => log::debug!("sandbox: Landlock is in force"),
        RulesetStatus::PartiallyEnforced => {
            log::info!("sandbox: this kernel's Landlock knows less than it could: {:?}", status.landlock);
        }
        RulesetStatus::NotEnforced => {
            log::info!(
                "sandbox: this kernel does not offer Landlock, so that files of the host are not kept out"
            );
        }
    }
    Ok(())
}
