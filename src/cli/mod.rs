//! The command line: arguments are resolved once into a configuration, and no decision is left for later code.

mod advice;
mod args;
mod bcd;
mod boot;
mod capacity;
mod capacity_self;
mod cat;
mod check;
mod config;
mod convert;
mod cp;
mod create;
mod date;
mod deleted;
mod demo;
mod diff;
mod discard;
mod exit;
mod expand;
mod generate;
#[cfg(any(fuzzing, all(test, unix)))]
pub(crate) mod generated;
mod helper;
mod info;
mod ls;
mod map;
#[cfg_attr(not(any(target_os = "linux", windows)), path = "mount/none.rs")]
mod mount;
mod new_file;
mod orphans;
mod pattern;
mod progress;
mod reconnect;
mod recover;
mod reg;
mod rows;
mod sandbox;
mod screen;
mod search;
mod system;
mod warnings;
mod watch;

use std::{ffi::OsString, io::Write, process::ExitCode};

use args::Arguments;
use clap::{Parser, error::ErrorKind};
use config::Action;
pub(crate) use exit::{Class, Failure};
use vhdmount::{
    fs::NodeId,
    printable::printable_lines,
    tree::{HiddenVolume, Resolver, Tree},
};

/// Runs the command.
pub(crate) fn main() -> ExitCode {
    system::start();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if system::answer_for_library(&arguments) {
        return ExitCode::SUCCESS;
    }
    // mount(8) runs its helpers as `mount.TYPE` and expects its own exit codes.
    let called_by_mount = arguments.first().is_some_and(|name| helper::is_mount_helper(name));
    let (arguments, helper) = match called_by_mount {
        true => {
            let (arguments, helper) = helper::take_arguments(arguments);
            (arguments, Some(helper))
        }
        false => (arguments, None),
    };
    let arguments = search::words::set_apart(arguments);
    let parsed = match Arguments::try_parse_from(&arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            let _ = error.print();
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            let monitoring = is_monitoring(&arguments);
            return match (asked, monitoring) {
                (true, _) => ExitCode::SUCCESS,
                (false, true) => exit::UNKNOWN.exit(called_by_mount),
                (false, false) => Class::Usage.exit(called_by_mount),
            };
        }
    };
    start_log(parsed.log_level());
    let sandbox = parsed.sandbox();
    let confined = |action| {
        sandbox.confine(&action)?;
        run(action)
    };
    match Action::resolve(parsed, helper).and_then(confined) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.exit(called_by_mount),
    }
}

/// True when a monitoring system calls, for which exit code 1 would be a warning.
fn is_monitoring(arguments: &[OsString]) -> bool {
    let is_option = |text: &str| ["--warn", "--crit"].iter().any(|name| text.starts_with(name));
    let texts = || arguments.iter().filter_map(|argument| argument.to_str());
    texts().any(|text| text == "capacity") && texts().any(is_option)
}

fn run(action: Action) -> Result<(), Failure> {
    match action {
        Action::Mount(mount) => mount::run(mount),
        Action::Unmount(mountpoint) => mount::unmount(&mountpoint),
        Action::Info(command) => info::run(&command),
        Action::Ls(command) => ls::run(&command),
        Action::Find(command) => search::run(&command),
        Action::Cat(command) => cat::run(&command),
        Action::Cp(command) => cp::run(&command),
        Action::Capacity(command) => capacity::run(&command),
        Action::Check(command) => check::run(&command),
        Action::Boot(command) => boot::run(&command),
        Action::Bcd(command) => bcd::run(&command),
        Action::Reg(command) => reg::run(&command),
        Action::Map(command) => map::run(&command),
        Action::Create(command) => create::run(&command),
        Action::Convert(command) => convert::run(&command),
        Action::Recover(command) => recover::run(command),
        Action::Diff(command) => diff::run(&command),
        Action::Discard(command) => discard::run(command),
        Action::Reconnect(command) => reconnect::run(command),
        Action::Demo(command) => demo::run(&command),
        Action::Man(command) => generate::man(&command),
        Action::Completions(command) => generate::completions(&command),
    }
}

/// Resolves a path inside the image, as the user may write it.
fn find(tree: &Tree, path: &str) -> Result<NodeId, Failure> {
    let first = path.split('/').find(|part| !part.is_empty()).unwrap_or_default();
    let resolve = |path: &str| Resolver::new(tree).resolve(path.as_bytes(), true);
    resolve(path).map(|found| found.node).map_err(|error| {
        let names = |volume: &&HiddenVolume| {
            volume.name.eq_ignore_ascii_case(first) || volume.esp && first.eq_ignore_ascii_case("esp")
        };
        if let (Err(_), Some(volume)) = (resolve(first), tree.hidden_volumes().iter().find(names)) {
            return Failure::inside(path, format_args!("{} cannot be listed: {}", volume.name, volume.why));
        }
        let hint = match resolve(first) {
            _ if path.contains('\\') => "; here `/` separates names, as in p3/Windows/System32",
            Err(_) => "; `vhdmount ls IMAGE` lists where paths begin",
            Ok(_) => "",
        };
        Failure::inside(path, format_args!("{error}{hint}"))
    })
}

/// Prints to standard output.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| Failure::output(&error))
}

/// Prints an error. A failed write, as behind `| head`, is ignored.
fn complain(text: &str) {
    // Generated images have much to complain about.
    if cfg!(any(fuzzing, test)) {
        return;
    }
    let _ = writeln!(std::io::stderr(), "vhdmount: {text}");
}

/// Starts the log at `level`; `RUST_LOG` takes precedence.
fn start_log(level: &str) {
    // fuser warns of mounts that were unmounted from outside, which is the normal end of a mount.
    let environment = env_logger::Env::default().default_filter_or(format!("{level},fuser=error"));
    let mut builder = env_logger::Builder::from_env(environment);
    // Messages quote text from images. Only the program's text begins a line: further lines of a message are indented.
    let limit = (level == "warn").then(warnings::Limit::default);
    builder.format(move |out, record| {
        match limit.as_ref().map_or(warnings::Shown::Yes, |limit| limit.take(record)) {
            warnings::Shown::Yes => {}
            warnings::Shown::Last => return writeln!(out, "[{}] {}", record.level(), warnings::MORE),
            warnings::Shown::No => return Ok(()),
        }
        let (level, text) = (record.level(), record.args().to_string());
        let style = out.default_level_style(level);
        writeln!(out, "[{style}{level}{style:#}] {}", printable_lines(&text).replace('\n', "\n    "))
    });
    builder.init();
}
