//! Removes the whitespace between the tokens of a JSON text.

use std::borrow::Cow;

/// Most nested lists and objects in a payload.
pub const MAX_DEPTH: usize = 64;

/// Why a JSON text is not accepted in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// No JSON value, or more than one.
    #[error("it is not JSON")]
    NotJson,
    /// Too many lists and objects within each other.
    #[error("it is nested deeper than {MAX_DEPTH} levels")]
    Deep,
    /// Other encodings of strings cannot hold it (RFC 7493, section 2.1).
    #[error("a \\u escape in it is half of a surrogate pair")]
    Surrogate,
}

/// The text without whitespace between tokens; every other byte is kept. `json` is the text of one JSON value.
pub(super) fn compact(json: &str) -> Result<Cow<'_, str>, PayloadError> {
    let bytes = json.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    // What is not copied yet begins here.
    let (mut start, mut out) = (0, String::new());
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at = end_of_string(bytes, at + 1)?,
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(PayloadError::Deep);
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b' ' | b'\t' | b'\n' | b'\r' => {
                out.push_str(&json[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    Ok(match start {
        0 => Cow::Borrowed(json),
        _ => Cow::Owned(out + &json[start..]),
    })
}

/// The place of the quote that ends a string; `at` is the place after the one that begins it.
fn end_of_string(bytes: &[u8], mut at: usize) -> Result<usize, PayloadError> {
    loop {
        match bytes.get(at) {
            Some(b'"') => return Ok(at),
            Some(b'\\') => at = end_of_escape(bytes, at)?,
            Some(_) => at += 1,
            None => return Err(PayloadError::NotJson),
        }
    }
}

/// The place after an escape, or after the two of a surrogate pair.
fn end_of_escape(bytes: &[u8], at: usize) -> Result<usize, PayloadError> {
    match unit(bytes, at) {
        None => Ok(at + 2),
        Some(0xd800..=0xdbff) => match unit(bytes, at + 6) {
            Some(0xdc00..=0xdfff) => Ok(at + 12),
            _ => Err(PayloadError::Surrogate),
        },
        Some(0xdc00..=0xdfff) => Err(PayloadError::Surrogate),
        Some(_) => Ok(at + 6),
    }
}

/// The UTF-16 code unit of a `\u` escape at this place.
fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_digits_escapes_and_text() {
        for (json, compacted) in [
            (" 7 ", "7"),
            ("\t[ 1.50 , -0e+9,\r\n \"a b\" ]", "[1.50,-0e+9,\"a b\"]"),
            (
                r#"{ "a" : "\" \\ \u00e9" , "a":{ } }"#,
                r#"{"a":"\" \\ \u00e9","a":{}}"#,
            ),
            ("\"\\\\\" ", "\"\\\\\""),
            ("\"\\ud83e\\udd80 \\u0000\"", "\"\\ud83e\\udd80 \\u0000\""),
        ] {
            assert_eq!(compact(json).unwrap(), compacted, "{json}");
        }
        assert!(matches!(compact("[1]"), Ok(Cow::Borrowed("[1]"))));
    }

    #[test]
    fn rejects_halves_of_surrogate_pairs() {
        for json in [
            r#""\ud83e""#,
            r#""\udd80""#,
            r#"["\ud83e\ud83e\udd80"]"#,
            r#""\ud83e\n""#,
            r#"{"\ud83eudd80":1}"#,
        ] {
            assert_eq!(compact(json), Err(PayloadError::Surrogate), "{json}");
        }
    }

    #[test]
    fn depth_is_limited() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(compact(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(compact(&nested(MAX_DEPTH + 1)), Err(PayloadError::Deep));
        assert_eq!(compact(&nested(1_000_000)), Err(PayloadError::Deep));
        assert!(compact(&format!("[{}0]", "[],".repeat(1_000))).is_ok());
    }
}
