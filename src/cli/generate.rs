//! `vhdmount man` and `vhdmount completions`: generated from the definitions behind `--help`, so that they agree.
//!
//! Part of the command, not of a build script: `cargo install` installs only the binary.

use std::{fs, io, path::Path};

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::{
    Man as Page,
    roff::{Roff, bold, roman},
};

use super::{
    Failure,
    args::{
        Arguments, Completions, Man,
        help::{EXAMPLES, MOUNT_HELPERS, RELATED_PAGES},
    },
    print,
};

const NAME: &str = "vhdmount";

pub(super) fn man(command: &Man) -> Result<(), Failure> {
    write_pages(&command.directory).map_err(|error| Failure::inside(command.directory.display(), error))
}

pub(super) fn completions(command: &Completions) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(command.shell, &mut Arguments::command(), NAME, &mut text);
    let text = String::from_utf8_lossy(&text);
    // These words would be parts of a path with a space. With an empty list bash completes the path itself, and quotes
    // it.
    let text = text.replace(r#"COMPREPLY=($(compgen -f "${cur}"))"#, "COMPREPLY=()");
    print(&with_keys(&text, command.shell))
}

/// Adds the completion of registry keys, for which the shell asks the program.
fn with_keys(text: &str, shell: Shell) -> String {
    match shell {
        Shell::Bash => {
            let text = text.replace("complete -F _vhdmount ", "complete -F _vhdmount_or_keys ");
            text + include_str!("generate/keys.bash")
        }
        Shell::Fish => text.to_owned() + include_str!("generate/keys.fish"),
        Shell::Zsh => {
            // Before the function that uses it, and in its first line.
            let head = "_vhdmount() {\n";
            let keys = include_str!("generate/keys.zsh");
            text.replacen(head, &format!("{keys}{head}    _vhdmount_keys && return 0\n"), 1)
        }
        _ => text.to_owned(),
    }
}

fn write_pages(directory: &Path) -> io::Result<()> {
    let section = directory.join("man1");
    fs::create_dir_all(&section)?;
    let mut root = Arguments::command().disable_help_subcommand(true).subcommand_help_heading("COMMANDS");
    root.build();
    fs::write(section.join(format!("{NAME}.1")), root_page(&root)?)?;
    let mut commands: Vec<&Command> = root.get_subcommands().collect();
    while let Some(command) = commands.pop() {
        if command.is_hide_set() {
            continue;
        }
        let page = Page::new(command.clone());
        fs::write(section.join(page.get_filename()), command_page(command)?)?;
        commands.extend(command.get_subcommands());
    }
    if !MOUNT_HELPERS.is_empty() {
        let section = directory.join("man8");
        fs::create_dir_all(&section)?;
        for helper in MOUNT_HELPERS {
            fs::write(section.join(format!("{helper}.8")), format!(".so man1/{NAME}.1\n"))?;
        }
    }
    Ok(())
}

fn root_page(root: &Command) -> io::Result<Vec<u8>> {
    let mut page = begin(root)?;
    Page::new(root.clone()).render_subcommands_section(&mut page)?;
    notes(root, &mut page)?;
    let mut roff = Roff::new();
    roff.control("SH", ["EXAMPLES"]);
    for (line, meaning) in EXAMPLES {
        roff.control("TP", []);
        roff.text([bold(*line)]);
        roff.text([roman(*meaning)]);
    }
    roff.to_writer(&mut page)?;
    let commands = root.get_subcommands().filter(|command| !command.is_hide_set());
    let mut others: Vec<_> =
        commands.map(|command| (Page::new(command.clone()).get_filename(), "1")).collect();
    others.iter_mut().for_each(|(name, _)| name.truncate(name.len() - ".1".len()));
    others.extend(RELATED_PAGES.iter().map(|(name, section)| ((*name).to_owned(), *section)));
    see_also(&others, &mut page)?;
    Ok(page)
}

fn command_page(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = begin(command)?;
    if command.has_subcommands() {
        Page::new(command.clone()).render_subcommands_section(&mut page)?;
    }
    notes(command, &mut page)?;
    // The page above it, and those below.
    let name = |command: &Command| command.get_display_name().unwrap_or(NAME).to_owned();
    let above = name(command).rsplit_once('-').map_or_else(|| NAME.to_owned(), |(above, _)| above.to_owned());
    let below = command.get_subcommands().filter(|command| !command.is_hide_set());
    let pages: Vec<_> = std::iter::once(above).chain(below.map(name)).map(|page| (page, "1")).collect();
    see_also(&pages, &mut page)?;
    Ok(page)
}

/// Begins a page.
fn begin(command: &Command) -> io::Result<Vec<u8>> {
    let name = command.get_display_name().unwrap_or(NAME);
    // Without a date: a version always generates the same pages. `render_title` would leave out the empty argument.
    let title = format!(".TH {name} 1 \"\" \"{NAME} {}\" \"User Commands\"\n", env!("CARGO_PKG_VERSION"));
    let rendered = Page::new(command.clone());
    let mut page = title.into_bytes();
    rendered.render_name_section(&mut page)?;
    rendered.render_synopsis_section(&mut page)?;
    rendered.render_description_section(&mut page)?;
    rendered.render_options_section(&mut page)?;
    Ok(page)
}

/// The notes at the end of `--help`; each line becomes a paragraph.
fn notes(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let Some(text) = command.get_after_help() else { return Ok(()) };
    let mut roff = Roff::new();
    roff.control("SH", ["NOTES"]);
    let text = text.to_string();
    for (index, line) in text.lines().filter(|line| !line.trim().is_empty()).enumerate() {
        if index > 0 {
            roff.control("PP", []);
        }
        roff.text([roman(line)]);
    }
    roff.to_writer(page)
}

fn see_also(pages: &[(String, &str)], page: &mut Vec<u8>) -> io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    let mut line = Vec::new();
    for (index, (name, section)) in pages.iter().enumerate() {
        let comma = if index + 1 < pages.len() { ", " } else { "" };
        line.extend([bold(name), roman(format!("({section}){comma}"))]);
    }
    roff.text(line);
    roff.to_writer(page)
}
