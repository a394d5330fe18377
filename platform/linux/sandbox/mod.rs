//! The sandbox: what this process can still do to its host while it reads an image, should the image take control of it.
//!
//! `filesystem` says which files can be opened (Landlock), `calls` which system calls can be made (seccomp), `privileges`
//! takes away the rest: capabilities, core dumps, debuggers, memory without end. `broker` is a second process outside, which
//! parses nothing of an image and opens the parents that lie elsewhere; it is confined as well, as is the keeper of a mount as
//! far as the system permits. `self_test` tries to get out.
//!
//! The process is confined after its arguments were resolved and before it reads the first byte of an image, and again when
//! the chain is open: then only the files of the chain remain.

mod broker;
mod calls;
mod filesystem;
mod host;
mod privileges;
mod self_test;
mod user;

use std::{
    fs::File,
    io,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

pub(super) use self::{
    broker::{Broker, Client, Event, Request, pair, reply},
    privileges::{end_with, ignore_signals, may_be_needed_for_memory},
};
use nix::unistd::Pid;

use self::{
    calls::Calls,
    filesystem::{Rule, Rules},
};
pub(crate) use self::{host::Confined, user::User};
use super::MountError;
use crate::rights::Rights;

/// How a process is confined.
#[derive(Debug, Clone, Default)]
pub(crate) struct Restriction {
    /// What it needs of its host.
    pub(crate) rights: Rights,
    /// It becomes this user.
    pub(crate) user: Option<User>,
}

/// The state of this process, once it is confined.
struct State {
    broker: Option<Arc<Client>>,
    /// The rules that stay when the chain is open.
    lasting: Mutex<Rules>,
}

static STATE: OnceLock<State> = OnceLock::new();

/// Makes the confined process try to get out, and print what became of it.
pub(crate) fn test_from_inside() {
    self_test::prepare();
}

/// Confines this process, which has one thread. What the kernel does not offer is left out, and logged.
///
/// # Errors
/// When it cannot become the user.
pub(crate) fn confine(restriction: &Restriction) -> Result<(), MountError> {
    let rights = &restriction.rights;
    // Before this process gives up the right to start others. Where no parent may lie elsewhere, it is needed for nothing but
    // what another user may not do.
    let broker = match rights.confined && restriction.user.is_none() {
        true => None,
        false => {
            broker::start(rights).inspect_err(|error| log::info!("sandbox: no second process: {error}")).ok()
        }
    };
    let calls = match rights.copy_to.is_some() || rights.written {
        true => Calls::Copy,
        false if rights.outputs.is_empty() => Calls::Read,
        false => Calls::Draw,
    };
    restrict(restriction, broker.map(Arc::new), calls)
}

/// Confines the server of a mount.
///
/// # Errors
/// As [`confine`].
pub(super) fn confine_server(restriction: &Restriction, keeper: Arc<Client>) -> Result<(), MountError> {
    let writes = restriction.rights.written;
    restrict(restriction, Some(keeper), if writes { Calls::Write } else { Calls::Serve })
}

/// Confines the keeper of a mount, or its guard, which has no server to end. Landlock would refuse them the unmount.
/// `fusermount`: a setuid program is needed, which would have no more rights than this process.
pub(super) fn confine_keeper(stage: &str, server: Option<Pid>, fusermount: bool) {
    privileges::leave_no_memory();
    if fusermount || !privileges::may_mount() {
        return log::debug!(
            "sandbox: the {stage} keeps the right to start fusermount3, and with it all others"
        );
    }
    let calls = Calls::Keep(server);
    privileges::drop_all_but(calls);
    if let Err(error) = calls.enforce() {
        log::info!("sandbox: system calls are not kept out of the {stage}: {error}");
    }
    if self_test::is_wanted() {
        self_test::of_helper(stage, &mut io::stderr());
    }
}

/// Confines the process that opens files for another one. `errors`: where the self-test reports.
fn confine_broker(rights: &Rights, errors: Option<File>) {
    privileges::drop_all_but(Calls::Open);
    if let Err(error) = filesystem::enforce(Rules::outside(rights).iter()) {
        log::info!("sandbox: the files of the host are not kept out of the process outside: {error}");
    }
    if let Err(error) = Calls::Open.enforce() {
        log::info!("sandbox: system calls are not kept out of the process outside: {error}");
    }
    if let Some(mut errors) = errors {
        self_test::of_broker(rights, &mut errors);
    }
}

fn restrict(restriction: &Restriction, broker: Option<Arc<Client>>, calls: Calls) -> Result<(), MountError> {
    let rights = &restriction.rights;
    // The rules are made by the user who may see the files.
    let (mut lasting, all) = (Rules::lasting(rights), Rules::of_search(rights));
    if matches!(calls, Calls::Serve | Calls::Write) {
        lasting.push(Rule::of_fuse());
    }
    if let Some(user) = &restriction.user {
        user.become_it()?;
    }
    privileges::drop_all_but(calls);
    if let Err(error) = filesystem::enforce(all.iter().chain(lasting.iter())) {
        log::info!("sandbox: the files of the host are not kept out: {error}");
    }
    if let Err(error) = calls.enforce() {
        log::info!("sandbox: system calls are not kept out: {error}");
    }
    let _ = STATE.set(State { broker, lasting: Mutex::new(lasting) });
    if self_test::is_wanted() {
        self_test::run("search", rights);
    }
    Ok(())
}

/// Leaves, of the images' folders, only the files of the open chain.
pub(crate) fn narrow<'a>(files: impl Iterator<Item = &'a File>) {
    let Some(state) = STATE.get() else { return };
    let files: Vec<Rule> = files.filter_map(Rule::of_open_file).collect();
    let lasting = state.lasting.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = filesystem::enforce(files.iter().chain(lasting.iter())) {
        log::debug!("sandbox: the rights stay as they are: {error}");
    }
    if let Some(broker) = &state.broker {
        broker.narrow();
    }
    if self_test::is_wanted() {
        self_test::run("open", &Rights::default());
    }
}

/// The second process, if this one is confined and has one.
fn broker() -> Option<&'static Client> {
    STATE.get()?.broker.as_deref()
}
