//! The sessions in README.md are run: what the page shows is what the command prints. Figures that depend on the host (free
//! space, seconds) are not compared, nor are sessions that need a mount, which the tests of mounts have.

use std::process::Command;

use crate::support::{demo, scratch};

const README: &str = include_str!("../../README.md");

/// A command of the page, without the prompt, and the lines below it.
struct Session {
    command: String,
    shown: Vec<String>,
}

fn sessions() -> Vec<Session> {
    let mut found: Vec<Session> = Vec::new();
    // Every second part of the page lies between fences.
    for block in README.split("\n```").skip(1).step_by(2) {
        let mut open = false;
        for line in block.lines().skip(1) {
            if let Some(command) = line.strip_prefix("$ ") {
                found.push(Session { command: command.to_owned(), shown: Vec::new() });
                open = true;
            } else if open && let Some(session) = found.last_mut() {
                session.shown.push(line.to_owned());
            }
        }
    }
    found
}

/// Without the seconds that it took.
fn without_time(line: &str) -> &str {
    match line.rsplit_once(" in ") {
        Some((rest, time)) if time.ends_with(" s") => rest,
        _ => line,
    }
}

#[test]
fn sessions_of_the_readme_print_what_it_shows() {
    let folder = scratch();
    std::fs::write(folder.path().join("demo.vhdx"), demo::image()).expect("space for the demo disk");
    let mut compared = 0;
    for Session { command, shown } in sessions() {
        let words: Vec<&str> = command.split(' ').collect();
        let runs = words[0] == "vhdmount"
            && ["ls", "find", "cp", "check"].contains(&words[1])
            && words.contains(&"demo.vhdx")
            && !command.contains('|');
        if !runs {
            continue;
        }
        let binary = demo::vhdmount();
        let output = Command::new(binary.get_program())
            // Quotes keep the shell from a pattern.
            .args(words[1..].iter().map(|word| word.trim_matches('\'')))
            .current_dir(folder.path())
            .output()
            .expect("the command runs");
        assert!(output.status.success(), "{command}: {output:?}");
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8(printed).expect("text");
        let printed: Vec<_> = printed.lines().map(without_time).collect();
        let shown: Vec<_> = shown.iter().map(|line| without_time(line)).collect();
        // A session may leave out what a second copy says.
        assert!(shown.is_empty() || shown == printed, "{command} printed\n{}", printed.join("\n"));
        compared += 1;
    }
    assert!(compared >= 5, "only {compared} sessions were found");
}

#[test]
fn links_of_the_readme_lead_to_files() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for target in README.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        let is_file = !target.contains("://") && !target.starts_with('#');
        assert!(!is_file || root.join(target).exists(), "{target}");
    }
}
