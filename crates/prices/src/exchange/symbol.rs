//! The formats of symbols.

/// Whether a symbol is one word of these characters.
pub(super) fn is_word(text: &str, has: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(has)
}

/// Whether a symbol is two words with a separator between them.
pub(super) fn is_pair(text: &str, separator: char, has: impl Fn(char) -> bool) -> bool {
    let is_word = |text: &str| is_word(text, &has);
    let pair = text.split_once(separator);
    pair.is_some_and(|(base, quote)| is_word(base) && is_word(quote))
}
