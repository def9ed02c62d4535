//! Texts of venues and nodes in messages.

/// Maximum length, in characters.
const MAX_TEXT: usize = 200;

/// A text from outside, truncated and without control characters.
pub(super) fn sanitized(text: &str) -> String {
    let excerpt = text.chars().take(MAX_TEXT);
    excerpt
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
