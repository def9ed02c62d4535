//! JSON Pointers (RFC 6901).

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// Maximum length of a pointer in bytes, and in steps.
const MAX_POINTER: usize = 1_024;
const MAX_STEPS: usize = 32;

/// The steps of a pointer.
pub(super) type Pointer = Vec<String>;

/// Parses a pointer; the error describes the expected format.
pub(super) fn parse(pointer: &str) -> Result<Pointer, String> {
    if pointer.is_empty() {
        return Ok(Vec::new());
    }
    let Some(rest) = pointer.strip_prefix('/') else {
        return Err("must be empty or begin with /, such as /data/price".to_owned());
    };
    if pointer.len() > MAX_POINTER || rest.split('/').count() > MAX_STEPS {
        return Err(format!(
            "must have at most {MAX_POINTER} bytes and {MAX_STEPS} steps"
        ));
    }
    rest.split('/').map(unescape).collect()
}

fn unescape(step: &str) -> Result<String, String> {
    let mut plain = String::with_capacity(step.len());
    let mut rest = step.chars();
    while let Some(c) = rest.next() {
        plain.push(match c {
            '~' => match rest.next() {
                Some('0') => '~',
                Some('1') => '/',
                _ => return Err("has a ~ not followed by 0 or 1".to_owned()),
            },
            c => c,
        });
    }
    Ok(plain)
}

/// The value at a pointer; `None` if there is none.
pub(super) fn find<'a>(document: &'a RawValue, steps: &[String]) -> Option<&'a RawValue> {
    let mut at = document;
    for step in steps {
        let text = at.get();
        at = if text.starts_with('{') {
            let mut members: BTreeMap<String, &'a RawValue> = serde_json::from_str(text).ok()?;
            members.remove(step)?
        } else if text.starts_with('[') {
            // No signs and no leading zeros.
            let digits = step.bytes().all(|c| c.is_ascii_digit());
            if !digits || (step.len() > 1 && step.starts_with('0')) {
                return None;
            }
            let elements: Vec<&'a RawValue> = serde_json::from_str(text).ok()?;
            elements.get(step.parse::<usize>().ok()?).copied()?
        } else {
            return None;
        };
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).unwrap()
    }

    fn at(document: &str, pointer: &str) -> Option<String> {
        let steps = parse(pointer).unwrap();
        find(raw(document), &steps).map(|found| found.get().to_owned())
    }

    #[test]
    fn pointers_resolve_rfc_6901_examples() {
        let document = r#"{"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, "k\"l": 6, " ": 7, "m~n": 8}"#;
        for (pointer, found) in [
            ("/foo/0", r#""bar""#),
            ("/", "0"),
            ("/a~1b", "1"),
            ("/c%d", "2"),
            ("/e^f", "3"),
            ("/g|h", "4"),
            ("/i\\j", "5"),
            ("/k\"l", "6"),
            ("/ ", "7"),
            ("/m~0n", "8"),
        ] {
            assert_eq!(at(document, pointer).as_deref(), Some(found), "{pointer}");
        }
        assert_eq!(at(document, "").as_deref(), Some(document));
        for not_found in [
            "/foo/2",
            "/foo/-",
            "/foo/00",
            "/foo/+1",
            "/foo/0/x",
            "/bar",
            "/foo/99999999999999999999",
        ] {
            assert_eq!(at(document, not_found), None, "{not_found}");
        }
        assert_eq!(parse("/~01").unwrap(), ["~1"]);
        for wrong in ["a", "/~", "/~2", "/a~"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(parse(&"/a".repeat(33)).is_err());
        assert!(parse(&format!("/{}", "a".repeat(MAX_POINTER))).is_err());
    }
}
