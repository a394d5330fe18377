//! What a process of Windows gives up by itself: that each step is tried, that none of them stops a command, and what Wine refuses.

use std::{fs, path::Path};

use crate::support::{
    demo::{outcome, unpack},
    scratch,
    wine::{output, wine},
};

#[test]
fn commands_confine_themselves_and_do_their_work() {
    let Some(wine) = wine() else { return };
    let folder = scratch();
    unpack(folder.path());
    let listed = |folder: &Path| {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = listed(folder.path());
    for arguments in
        [&["ls"][..], &["info"], &["check"], &["cat", "p3/Users/Ada/Documents/Thesis.txt"], &["map"]]
    {
        let mut command = wine.vhdmount();
        command.current_dir(folder.path()).args([arguments[0], "-v", "--test-sandbox", "demo.vhdx"]);
        let (code, stdout, stderr) = outcome(&output(command.args(&arguments[1..])));
        assert_eq!(code, Some(0), "{arguments:?}: {stderr}");
        assert!(!stdout.is_empty(), "{arguments:?}");
        // Wine knows the integrity level, but enforces none of it: what it refuses is not decided here.
        for attempt in ["write beside the image", "write to the image", "start a program"] {
            assert!(stderr.contains(&format!("self-test search {attempt}: ")), "{attempt}: {stderr}");
        }
        // Each step is taken, though Wine keeps no other process out of a job.
        for failed in
            ["privileges are kept", "other programs can be started", "files of the user can be changed"]
        {
            assert!(!stderr.contains(failed), "{stderr}");
        }
    }
    assert_eq!(listed(folder.path()), before);
    let free = output(wine.vhdmount().current_dir(folder.path()).args(["ls", "--no-sandbox", "demo.vhdx"]));
    assert_eq!(outcome(&free).0, Some(0));
}
