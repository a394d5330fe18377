//! `vhdmount reg complete`, which completions of shells call: keys whose names begin as the user typed. Nothing is said where nothing can
//! be read, as a shell has no place for it.

use vhdmount::{
    image::registry::{Found, Registry},
    printable::is_harmful,
    registry::fold,
};

use super::config::Complete;
use crate::cli::{Failure, exit::unless_closed, print};

/// Names that are offered: more are no help.
const MAX_NAMES: usize = 2000;
/// The roots that can be looked into.
const ROOTS: [&str; 4] = ["HKLM", "HKU", "HKCR", "HKCC"];

pub(super) fn run(command: &Complete) -> Result<(), Failure> {
    let Ok(registry) = command.place.registry() else { return Ok(()) };
    let (above, start) = match command.start.rsplit_once('\\') {
        Some((above, start)) => (above, start),
        None => ("", &*command.start),
    };
    let units = |text: &str| fold(&text.encode_utf16().collect::<Vec<_>>());
    let wanted = units(start);
    let mut names = below(&registry, above);
    names.retain(|name| units(name).starts_with(&wanted) && !name.contains(is_harmful));
    names.truncate(MAX_NAMES);
    let full = |name: &String| if above.is_empty() { name.clone() } else { format!("{above}\\{name}") };
    let mut lines: Vec<String> = names.iter().map(full).collect();
    // Of a single key also the way below it, so that the shell does not end the word.
    if let [only] = &lines[..]
        && !below(&registry, only).is_empty()
    {
        lines.push(format!("{only}\\"));
    }
    unless_closed(print(&lines.iter().map(|line| format!("{line}\n")).collect::<String>()))
}

/// Names of what is below a key.
fn below(registry: &Registry, key: &str) -> Vec<String> {
    match registry.find(key) {
        Ok(Found::Names { below, .. }) => below,
        Ok(Found::Key(found)) => {
            let mut names: Vec<String> = found.link.map(str::to_owned).into_iter().collect();
            let _ = found.hive.hive.each_subkey(&found.key, &mut |key| {
                names.extend(key.ok().map(|key| String::from_utf16_lossy(&key.name)));
            });
            names
        }
        Err(_) if key.is_empty() => ROOTS.map(str::to_owned).to_vec(),
        Err(_) => Vec::new(),
    }
}
