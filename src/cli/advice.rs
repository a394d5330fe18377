//! The command's options for each remedy that the library suggests when an image cannot be opened.

use vhdmount::{Error, Remedy};

/// The error's text with the options that may help.
pub(super) fn advised(error: &Error) -> String {
    error.remedies().iter().fold(error.to_string(), |text, remedy| text + "\n" + self::text(*remedy))
}

/// The options for one remedy.
pub(super) fn text(remedy: Remedy) -> &'static str {
    match remedy {
        Remedy::NameParent => {
            "The image names no identity, as XenServer's do whose parent is a raw disk: name that with --parent FILE"
        }
        Remedy::NameOrForceParent => {
            "Name it with --parent FILE or its folder with --parent-dir DIR; another file than the right one is used only \
             with --parent FILE --force-parent, and --force-parent alone reads on without a parent"
        }
        Remedy::SkipLog => "--no-replay reads the disk without its last changes",
        Remedy::ListOrphans => "`vhdmount ls --orphans IMAGE` lists the orphans",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_follow_what_the_library_says() {
        let log = Error::UnusableLog(Box::new(Error::corrupt("VHDX log", None, "torn")));
        assert_eq!(
            advised(&log),
            "damaged VHDX log: torn (the log cannot be replayed)\n--no-replay reads the disk without its last changes"
        );
        let remedies = vec![Remedy::NameOrForceParent, Remedy::SkipLog];
        let text = advised(&Error::MissingParent { text: "not found".into(), remedies });
        for part in ["not found\n", "--parent FILE", "--parent-dir", "--force-parent", "--no-replay"] {
            assert!(text.contains(part), "{part:?} not in {text}");
        }
        assert_eq!(advised(&Error::invalid("no")), "no");
    }
}
