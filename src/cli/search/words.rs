//! The words of find(1)'s expressions on the command line. They begin with one dash, which the parser of all other arguments takes
//! for several short options, so they are set apart first: behind `--`, where it leaves them alone.

use std::ffi::OsString;

/// Words with an argument behind them.
const WITH_ARGUMENT: &[&str] = &[
    "name",
    "iname",
    "path",
    "ipath",
    "wholename",
    "iwholename",
    "type",
    "size",
    "newer",
    "newermt",
    "newerat",
    "newerct",
    "newerBt",
    "mtime",
    "atime",
    "ctime",
    "mmin",
    "amin",
    "cmin",
    "maxdepth",
    "mindepth",
];

/// Words by themselves.
const ALONE: &[&str] = &["not", "o", "or", "a", "and", "empty", "print", "print0"];

/// Options of the command that have a value.
const WITH_VALUE: &[&str] = &["--user", "--parent", "--parent-dir", "--codepage", "--partition", "-p"];

/// Moves the expression of `vhdmount find` behind `--`; leaves every other command's arguments as they are.
pub(in crate::cli) fn set_apart(arguments: Vec<OsString>) -> Vec<OsString> {
    // No option stands before the name of a command.
    if arguments.get(1).is_none_or(|name| name != "find") {
        return arguments;
    }
    let (mut kept, mut expression) = (Vec::new(), Vec::new());
    let mut rest = arguments.into_iter();
    while let Some(argument) = rest.next() {
        let Some(text) = argument.to_str() else {
            kept.push(argument);
            continue;
        };
        if text == "--" {
            expression.extend(rest.by_ref());
        } else if WITH_VALUE.contains(&text) {
            kept.push(argument);
            kept.extend(rest.next());
        } else if let Some(words) = words(text) {
            let needs = words.len() == 1 && WITH_ARGUMENT.contains(&words[0].trim_start_matches('-'));
            expression.extend(words.into_iter().map(OsString::from));
            if needs {
                expression.extend(rest.next());
            }
        } else {
            kept.push(argument);
        }
    }
    if !expression.is_empty() {
        kept.push("--".into());
        kept.extend(expression);
    }
    kept
}

/// The words of an expression that an argument stands for; `None`: it belongs to none.
fn words(text: &str) -> Option<Vec<String>> {
    if matches!(text, "!" | "(" | ")" | r"\(" | r"\)") {
        return Some(vec![text.trim_start_matches('\\').to_owned()]);
    }
    let (word, dashes) = match (text.strip_prefix("--"), text.strip_prefix('-')) {
        (Some(word), _) => (word, 2),
        (_, Some(word)) => (word, 1),
        _ => return None,
    };
    let name = word.split_once('=').map_or(word, |(name, _)| name);
    let is_known = WITH_ARGUMENT.contains(&name) || ALONE.contains(&name);
    match (dashes, word.split_once('=')) {
        (2, Some((name, value))) if WITH_ARGUMENT.contains(&name) => {
            Some(vec![format!("-{name}"), value.to_owned()])
        }
        _ if is_known && name == word => Some(vec![format!("-{word}")]),
        // Unknown words of find, which are reported as such: no short options of this command are combined so.
        (1, None) if word.len() > 2 && word.starts_with(char::is_alphabetic) && !is_short_options(word) => {
            Some(vec![text.to_owned()])
        }
        _ => None,
    }
}

/// True for combined short options: `-vvv`, `-qp3`, `-p12`.
fn is_short_options(word: &str) -> bool {
    word.trim_start_matches(['v', 'q', 'h'])
        .trim_start_matches('p')
        .trim_start_matches('=')
        .chars()
        .all(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apart(line: &str) -> String {
        let arguments = set_apart(line.split(' ').map(OsString::from).collect());
        arguments.join(" ".as_ref()).into_string().unwrap()
    }

    #[test]
    fn expressions_are_moved_behind_the_rest() {
        for (line, moved) in [
            ("v find a.vhdx p3 -name x", "v find a.vhdx p3 -- -name x"),
            ("v find -iname -x a.vhdx --json", "v find a.vhdx --json -- -iname -x"),
            ("v find a --user -name --name=x -p 3", "v find a --user -name -p 3 -- -name x"),
            ("v find a ( -type f -o ! -empty ) p1", "v find a p1 -- ( -type f -o ! -empty )"),
            ("v find a -vvv -p12 -exec rm", "v find a -vvv -p12 rm -- -exec"),
            ("v find a --parent -name", "v find a --parent -name"),
            ("v find a -- -name x", "v find a -- -name x"),
            ("v find a --help", "v find a --help"),
            ("v ls find -name", "v ls find -name"),
            ("v find.vhdx find", "v find.vhdx find"),
        ] {
            assert_eq!(apart(line), moved);
        }
    }
}
