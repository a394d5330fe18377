//! The self-test: the confined process tries what an image that controls it would try, and prints what became of it. The
//! command then goes on as always.

use std::{
    fs::{self, File},
    io,
    path::Path,
    process::{Command, Stdio},
};

use crate::rights::Rights;

/// Prints one line for each attempt: `self-test search ATTEMPT: refused` or `DONE`, which is a hole where the process should
/// not be able to.
pub(super) fn run(rights: &Rights) {
    let report = |attempt: &str, done: io::Result<()>| match done {
        Ok(()) => eprintln!("self-test search {attempt}: DONE"),
        Err(error) => eprintln!("self-test search {attempt}: refused ({error})"),
    };
    if let Some(image) = rights.images.first() {
        let beside = image.with_file_name(format!("vhdmount-self-test-{}", std::process::id()));
        report("write beside the image", make(&beside));
        report("write to the image", File::options().write(true).open(image).map(drop));
    }
    let program = std::env::current_exe().and_then(|program| {
        let quiet = || Stdio::null();
        Command::new(program).arg("--version").stdout(quiet()).stderr(quiet()).status()
    });
    report("start a program", program.map(drop));
}

fn make(file: &Path) -> io::Result<()> {
    File::create_new(file)?;
    fs::remove_file(file)
}
