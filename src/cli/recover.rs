//! `vhdmount recover`

use vhdmount::container::{
    LogState, OpenOptions,
    session::{self, Recovered},
};

use super::{Failure, config::Recover, print, system};

pub(super) fn run(command: Recover) -> Result<(), Failure> {
    let options = OpenOptions { host: system::host(), ..OpenOptions::default() };
    let Recover { image, files } = command;
    let found = session::recover(files, &options).map_err(|error| Failure::image(&image, &error))?;
    let shown = image.display();
    print(&match found {
        Recovered::Nothing => format!("{shown}: closed properly, nothing to apply\n"),
        Recovered::Log(LogState::Replayed { entries, .. }) => {
            format!("{shown}: {entries} entries of the log applied\n")
        }
        Recovered::Log(_) => format!("{shown}: the log is applied\n"),
        Recovered::Redo => format!("{shown}: the redo file is applied\n"),
    })
}
