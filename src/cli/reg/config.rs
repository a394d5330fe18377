//! The resolved arguments of `vhdmount reg`: long options and the switches of reg.exe come to the same.

use std::path::PathBuf;

use vhdmount::registry::types::type_of_name;

use super::search::{Pattern, Search};
use crate::cli::{
    Failure,
    args::{Of, RegCommand, RegComplete, RegDiff, RegExport, RegQuery},
    config::Source,
};

/// `vhdmount reg …`
pub(crate) enum Config {
    Query(Query),
    Export(Export),
    Diff(Diff),
    Complete(Complete),
}

/// A disk or a hive.
pub(crate) struct Place {
    pub(crate) source: Source,
    /// What the root of a hive is called that is a file of its own.
    pub(super) prefix: Option<String>,
}

/// `vhdmount reg complete`
pub(crate) struct Complete {
    pub(crate) place: Place,
    /// What was typed of a key.
    pub(super) start: String,
}

/// `vhdmount reg query`
pub(crate) struct Query {
    pub(crate) place: Place,
    pub(super) key: String,
    pub(super) recursive: bool,
    pub(super) which: Which,
    pub(super) show: Show,
    pub(super) deleted: bool,
    pub(super) json: bool,
}

/// What of the keys is shown.
pub(super) enum Which {
    Everything,
    /// The value of this name; empty: the default value.
    Value(String),
    Found(Search),
}

/// How keys are shown.
pub(super) struct Show {
    pub(super) separator: String,
    pub(super) times: bool,
    pub(super) security: bool,
}

/// `vhdmount reg export`
pub(crate) struct Export {
    pub(crate) place: Place,
    pub(super) key: String,
    /// `None`: standard output.
    pub(crate) file: Option<PathBuf>,
    pub(super) force: bool,
}

/// `vhdmount reg diff`
pub(crate) struct Diff {
    pub(crate) old: Place,
    /// `None`: the first one is compared with its parent.
    pub(crate) new: Option<Place>,
    pub(super) key: Option<String>,
    pub(super) security: bool,
    pub(super) json: bool,
}

impl Config {
    /// # Errors
    /// When the arguments contradict each other.
    pub(crate) fn resolve(command: RegCommand) -> Result<Self, Failure> {
        Ok(match command {
            RegCommand::Query(query) => Self::Query(of_query(*query)?),
            RegCommand::Export(export) => Self::Export(of_export(export)?),
            RegCommand::Diff(diff) => Self::Diff(of_diff(diff)?),
            RegCommand::Complete(RegComplete { image, start, of }) => {
                Self::Complete(Complete { place: place(image, &of), start })
            }
        })
    }
}

fn place(image: PathBuf, of: &Of) -> Place {
    Place { source: Source::new(image, &of.open, &of.view()), prefix: of.prefix.clone() }
}

fn of_query(mut query: RegQuery) -> Result<Query, Failure> {
    // Without KEY the first switch stands in its place.
    if query.key.as_ref().is_some_and(|key| key.starts_with('/')) {
        query.switches.splice(..0, query.key.take());
    }
    let switches = std::mem::take(&mut query.switches);
    take_switches(&mut query, switches)?;
    if query.find.is_none() && (query.in_keys || query.in_names || query.in_data || query.exact) {
        return Err(Failure::usage("where to search is said, but not what for: --find PATTERN (/f PATTERN)"));
    }
    let data_type = match &query.data_type {
        Some(name) => Some(type_of_name(name).ok_or_else(|| {
            Failure::usage(format_args!("{name} is no type: they are called REG_SZ, REG_DWORD, …"))
        })?),
        None => None,
    };
    let name = if query.default { Some(String::new()) } else { query.value.take() };
    let which = match (query.find.take(), name) {
        (None, None) if data_type.is_none() => Which::Everything,
        (None, Some(name)) if data_type.is_none() => Which::Value(name),
        (find, name) => {
            let anywhere = !(query.in_keys || query.in_names || query.in_data);
            Which::Found(Search {
                pattern: Pattern::new(find.as_deref().unwrap_or("*"), query.case_sensitive, query.exact),
                // A type, or a name, is that of a value.
                keys: query.in_keys || anywhere && data_type.is_none() && name.is_none(),
                names: query.in_names || anywhere,
                data: query.in_data || anywhere,
                name,
                data_type,
            })
        }
    };
    Ok(Query {
        place: place(query.image, &query.of),
        key: query.key.unwrap_or_default(),
        recursive: query.recursive,
        which,
        show: Show { separator: query.separator, times: query.times, security: query.security },
        deleted: query.deleted,
        json: query.json,
    })
}

/// Takes reg.exe's switches as the options that they are.
fn take_switches(query: &mut RegQuery, switches: Vec<String>) -> Result<(), Failure> {
    let mut switches = switches.into_iter().peekable();
    let mut bare_value = false;
    while let Some(switch) = switches.next() {
        // What follows a switch may begin with a slash, but is no switch then.
        let mut argument = || {
            switches.next().ok_or_else(|| Failure::usage(format_args!("{switch} needs something behind it")))
        };
        match &*switch.to_ascii_lowercase() {
            "/s" => query.recursive = true,
            "/ve" => query.default = true,
            "/f" => query.find = Some(argument()?),
            "/k" => query.in_keys = true,
            "/d" => query.in_data = true,
            "/c" => query.case_sensitive = true,
            "/e" => query.exact = true,
            "/t" => query.data_type = Some(argument()?),
            "/se" => query.separator = argument()?,
            "/v" => match switches.next_if(|next| !next.starts_with('/')) {
                Some(name) => query.value = Some(name),
                None => bare_value = true,
            },
            // What is on the disk is what 64-bit programs see.
            "/reg:64" => {}
            "/z" | "/reg:32" => {
                return Err(Failure::usage(format_args!(
                    "{switch} is not offered: 32-bit programs' keys stand below WOW6432Node; types are numbers in --json"
                )));
            }
            _ => {
                return Err(Failure::usage(format_args!(
                    "{switch} is no switch of reg query; a key with spaces stands between quotes"
                )));
            }
        }
    }
    match (bare_value, &query.find) {
        (true, Some(_)) => query.in_names = true,
        (true, None) => {
            return Err(Failure::usage("/v needs the name of a value; /ve is the one without a name"));
        }
        _ => {}
    }
    match query.default && query.value.is_some() {
        true => Err(Failure::usage("/v and /ve: one value or the other")),
        false => Ok(()),
    }
}

fn of_export(export: RegExport) -> Result<Export, Failure> {
    let mut force = export.force;
    for switch in &export.switches {
        match &*switch.to_ascii_lowercase() {
            "/y" => force = true,
            "/reg:64" => {}
            _ => return Err(Failure::usage(format_args!("{switch} is no switch of reg export"))),
        }
    }
    Ok(Export {
        place: place(export.image, &export.of),
        key: export.key,
        file: export.file.filter(|file| file.as_os_str() != "-"),
        force,
    })
}

fn of_diff(diff: RegDiff) -> Result<Diff, Failure> {
    let RegDiff { old, new, key, security, json, of } = diff;
    // With one image the second argument is the key.
    let (new, key) = match (new, key) {
        (Some(new), None) if is_key(&new) => (None, Some(new)),
        both => both,
    };
    let new = new.map(|new| place(new.into(), &of));
    Ok(Diff { old: place(old, &of), new, key, security, json })
}

/// True for an argument that is no file and begins as keys do.
fn is_key(text: &str) -> bool {
    let starts = text.to_ascii_uppercase();
    let root = starts.split('\\').next().unwrap_or_default();
    let is_root =
        ["HKLM", "HKU", "HKCR", "HKCU", "HKCC", "COMPUTER"].contains(&root) || root.starts_with("HKEY_");
    is_root && !std::path::Path::new(text).exists()
}
