//! The command line of mount(8): `mount.fuse.vhdmount IMAGE MOUNTPOINT [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]`.

use std::{
    ffi::{OsStr, OsString},
    path::Path,
};

/// Options that only mount(8) passes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MountHelper {
    /// `-f`: do everything but the mount.
    pub(crate) fake: bool,
    /// `-s`: unknown options are no error.
    pub(crate) sloppy: bool,
}

/// True when called as `mount.fuse.vhdmount` or the like.
pub(super) fn is_mount_helper(program: &OsStr) -> bool {
    let name = Path::new(program).file_name().unwrap_or_default();
    name.to_string_lossy().starts_with("mount.")
}

/// Removes the arguments that only mount(8) passes, or that mean something else without it.
pub(super) fn take_arguments(arguments: Vec<OsString>) -> (Vec<OsString>, MountHelper) {
    let (mut kept, mut helper) = (Vec::new(), MountHelper::default());
    let mut arguments = arguments.into_iter();
    kept.extend(arguments.next());
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("-o") => {
                kept.push(argument);
                kept.extend(arguments.next());
            }
            // The type is already known, and mount(8) has entered the namespace.
            Some("-t" | "-N") => drop(arguments.next()),
            Some(flags) if is_flags(flags) => {
                helper.fake |= flags.contains('f');
                helper.sloppy |= flags.contains('s');
                kept.extend(flags.contains('v').then(|| "-v".into()));
            }
            _ => kept.push(argument),
        }
    }
    (kept, helper)
}

fn is_flags(argument: &str) -> bool {
    let flags = argument.strip_prefix('-').unwrap_or_default();
    !flags.is_empty() && flags.chars().all(|flag| "sfnv".contains(flag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_helper_is_recognized_by_its_name() {
        for (name, expected) in [
            ("/sbin/mount.fuse.vhdmount", true),
            ("mount.vhdmount", true),
            ("/usr/bin/vhdmount", false),
            ("/mount.d/vhdmount", false),
        ] {
            assert_eq!(is_mount_helper(name.as_ref()), expected, "{name}");
        }
    }

    #[test]
    fn flags_of_mount_are_taken_out() {
        let take = |text: &str| {
            let (kept, helper) = take_arguments(text.split(' ').map(Into::into).collect());
            let kept: Vec<_> = kept.iter().map(|argument| argument.to_str().unwrap().to_owned()).collect();
            (kept.join(" "), helper.fake, helper.sloppy)
        };
        let kept = |text: &str| text.to_owned();
        assert_eq!(take("m i d -n -o ro,x=-s -t fuse.vhdmount"), (kept("m i d -o ro,x=-s"), false, false));
        assert_eq!(take("m -sfv i d -N 7"), (kept("m -v i d"), true, true));
        assert_eq!(take("m i d -o -n -p 3"), (kept("m i d -o -n -p 3"), false, false));
        assert_eq!(take("m -"), (kept("m -"), false, false));
    }
}
