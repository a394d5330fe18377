//! The sandbox: what this process can still do to its host while it reads an image, should the image take control of it.
//!
//! `filesystem` says which files can be opened (Landlock), `calls` which system calls can be made (seccomp), `privileges`
//! takes away the rest: capabilities, core dumps, debuggers, memory without end. `broker` is a second process outside, which
//! parses nothing of an image and opens the parents that lie elsewhere. `self_test` tries to get out.
//!
//! The process is confined after its arguments were resolved and before it reads the first byte of an image, and again when
//! the chain is open: then only the files of the chain remain.

mod broker;
mod calls;
mod filesystem;
mod host;
mod privileges;
mod self_test;

use std::{
    fs::File,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

pub(crate) use self::host::Confined;
use self::{
    broker::Client,
    calls::Calls,
    filesystem::{Rule, Rules},
};
use crate::rights::Rights;

/// The state of this process, once it is confined.
struct State {
    broker: Option<Client>,
    /// The rules that stay when the chain is open.
    lasting: Mutex<Rules>,
}

static STATE: OnceLock<State> = OnceLock::new();
/// Whether the self-test runs.
static TESTED: AtomicBool = AtomicBool::new(false);

/// Makes the confined process try to get out, and print what became of it.
pub(crate) fn test_from_inside() {
    TESTED.store(true, Ordering::Relaxed);
}

/// Confines this process, which has one thread. What the kernel does not offer is left out, and logged.
pub(crate) fn confine(rights: &Rights) {
    // Before this process gives up the right to start others.
    let broker = match rights.confined {
        true => None,
        false => {
            broker::start(rights).inspect_err(|error| log::info!("sandbox: no second process: {error}")).ok()
        }
    };
    let calls = if rights.copy_to.is_some() { Calls::Copy } else { Calls::Read };
    restrict(rights, broker, calls);
}

fn restrict(rights: &Rights, broker: Option<Client>, calls: Calls) {
    privileges::drop_all_but(calls);
    let lasting = Rules::lasting(rights);
    let all = Rules::of_search(rights);
    if let Err(error) = filesystem::enforce(all.iter().chain(lasting.iter())) {
        log::info!("sandbox: the files of the host are not kept out: {error}");
    }
    if let Err(error) = calls.enforce() {
        log::info!("sandbox: system calls are not kept out: {error}");
    }
    let _ = STATE.set(State { broker, lasting: Mutex::new(lasting) });
    if TESTED.load(Ordering::Relaxed) {
        self_test::run("search", rights);
    }
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
    if TESTED.load(Ordering::Relaxed) {
        self_test::run("open", &Rights::default());
    }
}

/// The second process, if this one is confined and has one.
fn broker() -> Option<&'static Client> {
    STATE.get()?.broker.as_ref()
}
