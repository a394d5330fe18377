//! JSON documents. Each begins with the key `schema`: its kind and the version of its keys, as `docs/reference.md` lists them.

use serde::Serialize;

/// What is written as a JSON document.
pub trait Document: Serialize {
    /// Kind and version, as in `info/1`. The version rises when a key goes or changes its meaning; keys may be added without.
    const SCHEMA: &'static str;
}

#[derive(Serialize)]
struct Headed<'a, D> {
    schema: &'static str,
    #[serde(flatten)]
    document: &'a D,
}

/// The document on lines of its own, indented.
///
/// # Panics
/// Never: every field of a document is a plain value.
pub fn to_text<D: Document>(document: &D) -> String {
    let headed = Headed { schema: D::SCHEMA, document };
    serde_json::to_string_pretty(&headed).expect("plain values always serialize") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Sample {
        size: u64,
    }

    impl Document for Sample {
        const SCHEMA: &'static str = "sample/1";
    }

    #[test]
    fn a_document_begins_with_its_schema() {
        assert_eq!(to_text(&Sample { size: 5 }), "{\n  \"schema\": \"sample/1\",\n  \"size\": 5\n}\n");
    }
}
