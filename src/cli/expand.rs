//! Patterns in paths inside an image: `p3/Users/*/NTUSER.DAT`. As in a shell: a path that exists as it is written wins, a
//! pattern stays within one name, and names that begin with a dot need one in the pattern. Case does not matter, as it does not
//! where a path is looked up.

use std::ops::ControlFlow;

use vhdmount::{
    Error,
    fs::{DirCursor, FileSystem, NodeKind, reach},
    tree::{Resolver, Tree},
};

use super::{
    Failure, find,
    pattern::{Pattern, is_pattern},
};

/// Most paths that a pattern becomes: links make more paths than there are files, with each `*/` as many times more as
/// a directory has links.
const MAX_PATHS: usize = 1 << 20;

/// What a search calls for what it could not look into, and why: what it has found is not everything then.
pub(super) type Missed<'a> = dyn FnMut(&str, Error) + 'a;

/// The paths that `path` names: itself, or those that match, by name.
///
/// # Errors
/// When nothing matches, or too much.
pub(super) fn expand(tree: &Tree, path: &str, missed: &mut Missed<'_>) -> Result<Vec<String>, Failure> {
    // Below a file there is nothing either.
    let is_found = |path: &str| !matches!(resolve(tree, path), Err(Error::NotFound(_) | Error::Invalid(_)));
    if !is_pattern(path) || is_found(path) {
        return Ok(vec![path.to_owned()]);
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let literal = parts.iter().take_while(|part| !is_pattern(part)).count();
    let start = parts[..literal].join("/");
    // Reports what is wrong with the part that is no pattern.
    find(tree, &start)?;
    let mut paths = vec![start];
    for (index, part) in parts.iter().enumerate().skip(literal) {
        let mut next = Vec::new();
        for above in &paths {
            if is_pattern(part) {
                let is_last = index + 1 == parts.len();
                matching(tree, above, part, is_last, &mut next, missed);
            } else {
                next.push(joined(above, part));
            }
            if next.len() > MAX_PATHS {
                return Err(Failure::inside(path, format_args!("matches more than {MAX_PATHS} paths")));
            }
        }
        if !is_pattern(part) {
            next.retain(|path| is_found(path));
        }
        paths = next;
    }
    match paths.is_empty() {
        true => Err(Failure::inside(path, "nothing in the image matches this pattern")),
        false => Ok(paths),
    }
}

/// [`expand`] for several paths, in their order.
///
/// # Errors
/// Those of the first path that has one.
pub(super) fn expand_all(
    tree: &Tree,
    paths: &[String],
    missed: &mut Missed<'_>,
) -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    for path in paths {
        all.extend(expand(tree, path, missed)?);
    }
    Ok(all)
}

/// Appends the entries of a directory that match; `is_last`: also those that are no directory.
fn matching(
    tree: &Tree,
    above: &str,
    part: &str,
    is_last: bool,
    found: &mut Vec<String>,
    missed: &mut Missed<'_>,
) {
    let dir = resolve(tree, above).and_then(|dir| Ok((dir, tree.stat(dir)?.kind)));
    let dir = match dir {
        Ok((dir, NodeKind::Directory)) if reach::is_misplaced(dir) => {
            return missed(above, Error::not_found("it is entered from another place"));
        }
        Ok((dir, NodeKind::Directory)) => dir,
        // A file, or a link that leads nowhere: nothing is below it.
        Ok(_) | Err(Error::NotFound(_) | Error::Invalid(_)) => return,
        Err(error) => return missed(above, error),
    };
    // The name of a stream stands for itself.
    let (name, stream) = part.split_once(':').map_or((part, None), |(name, stream)| (name, Some(stream)));
    let pattern = Pattern::new(name, true);
    let mut names = Vec::new();
    let listed = tree.read_dir(dir, DirCursor::default(), &mut |entry| {
        let text = entry.name.to_text();
        let leads_on =
            is_last || matches!(entry.kind, NodeKind::Directory | NodeKind::Symlink | NodeKind::File);
        if leads_on && (!text.starts_with(b".") || name.starts_with('.')) && pattern.matches(&text) {
            names.push(text);
        }
        if names.len() > MAX_PATHS { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if let Err(error) = listed {
        missed(above, error);
    }
    names.sort();
    for name in names {
        let Ok(name) = String::from_utf8(name) else {
            let why = format!("a name that matches {part} has half a character, which no path can name");
            missed(above, Error::unsupported(why));
            continue;
        };
        let path = joined(above, &name);
        match stream {
            None => found.push(path),
            Some(stream) => {
                let path = format!("{path}:{stream}");
                found.extend(resolve(tree, &path).is_ok().then_some(path));
            }
        }
    }
}

fn resolve(tree: &Tree, path: &str) -> vhdmount::Result<vhdmount::fs::NodeId> {
    Resolver::new(tree).resolve(path.as_bytes(), true).map(|found| found.node)
}

fn joined(above: &str, name: &str) -> String {
    if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") }
}
