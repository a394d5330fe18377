//! What `reg query /f` looks for.

use vhdmount::registry::{Key, Value, fold};

/// A search.
pub(super) struct Search {
    pub(super) pattern: Pattern,
    /// Where: in names of keys, in names of values, in data.
    pub(super) keys: bool,
    pub(super) names: bool,
    pub(super) data: bool,
    /// In the value of this name alone; empty: the default value.
    pub(super) name: Option<String>,
    pub(super) data_type: Option<u32>,
}

/// A text that is looked for.
pub(super) struct Pattern {
    /// `None`: everything.
    text: Option<Vec<u16>>,
    case_sensitive: bool,
    exact: bool,
}

impl Pattern {
    pub(super) fn new(text: &str, case_sensitive: bool, exact: bool) -> Self {
        let units: Vec<u16> = text.encode_utf16().collect();
        let text = match text {
            "*" => None,
            _ if case_sensitive => Some(units),
            _ => Some(fold(&units)),
        };
        Self { text, case_sensitive, exact }
    }

    fn is_in(&self, text: &[u16]) -> bool {
        let Some(wanted) = &self.text else { return true };
        let folded;
        let text = match self.case_sensitive {
            true => text,
            false => {
                folded = fold(text);
                &folded
            }
        };
        match self.exact {
            true => text == wanted,
            false => wanted.is_empty() || text.windows(wanted.len()).any(|part| part == wanted),
        }
    }
}

impl Search {
    pub(super) fn finds_key(&self, key: &Key) -> bool {
        self.keys && self.pattern.is_in(&key.name)
    }

    pub(super) fn finds_value(&self, value: &Value, separator: &str) -> bool {
        let named = |name: &String| fold(&value.name) == fold(&name.encode_utf16().collect::<Vec<_>>());
        if self.data_type.is_some_and(|wanted| wanted != value.data_type)
            || !self.name.as_ref().is_none_or(named)
        {
            return false;
        }
        let data = || value.to_text(separator).encode_utf16().collect::<Vec<_>>();
        self.names && self.pattern.is_in(&value.name) || self.data && self.pattern.is_in(&data())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str, case_sensitive: bool, exact: bool, text: &str) -> bool {
        Pattern::new(pattern, case_sensitive, exact).is_in(&text.encode_utf16().collect::<Vec<_>>())
    }

    #[test]
    fn patterns_are_parts_of_texts_unless_they_are_exact() {
        assert!(found("micro", false, false, "Microsoft") && !found("micro", true, false, "Microsoft"));
        assert!(!found("micro", false, true, "Microsoft") && found("MICROSOFT", false, true, "Microsoft"));
        assert!(found("*", false, true, "Microsoft") && !found("a*", false, false, "Microsoft"));
        assert!(found("пРивет", false, true, "ПРИВЕТ") && !found("longer", false, false, "long"));
    }
}
