//! The user that a confined process becomes.

use nix::{
    errno::Errno,
    unistd::{self, Gid, Uid},
};

use super::super::MountError;

/// A user of this system.
#[derive(Debug, Clone)]
pub(crate) struct User {
    name: String,
    uid: Uid,
    gid: Gid,
}

impl User {
    /// Finds a user by name.
    ///
    /// # Errors
    /// When there is none, or this process may not become another user.
    pub(crate) fn named(name: &str) -> Result<Self, MountError> {
        let refuse = |problem: &str| MountError::Option(format!("--user {name}: {problem}"));
        if !unistd::geteuid().is_root() {
            return Err(refuse("only root can read an image as another user"));
        }
        let found = match unistd::User::from_name(name) {
            // Also where there is no list of users at all, as in a container.
            Ok(None) | Err(Errno::ENOENT | Errno::ESRCH) => return Err(refuse("there is no such user")),
            Ok(Some(found)) => found,
            Err(error) => return Err(refuse(error.desc())),
        };
        Ok(Self { name: name.to_owned(), uid: found.uid, gid: found.gid })
    }

    /// Makes this process one of that user, of the user's own group alone, for ever.
    pub(super) fn become_it(&self) -> Result<(), MountError> {
        let become_it = || {
            unistd::setgroups(&[self.gid])?;
            unistd::setresgid(self.gid, self.gid, self.gid)?;
            unistd::setresuid(self.uid, self.uid, self.uid)
        };
        become_it().map_err(|error| MountError::Option(format!("--user {}: {}", self.name, error.desc())))
    }
}
