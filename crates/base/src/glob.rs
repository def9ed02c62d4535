//! Patterns in which `*` matches any text, also none.

/// Whether the whole text matches, ASCII letters in any case. Linear time for one `*` and `pattern × text` at worst: no
/// backtracking beyond the last `*`.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern
            .get(p)
            .is_some_and(|c| c.eq_ignore_ascii_case(&text[t]))
        {
            p += 1;
            t += 1;
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            p = at + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn star_matches_any_text() {
        for (pattern, name, fits) in [
            ("price:*", "price:ETH", true),
            ("PRICE:e*", "price:ETH", true),
            ("price:*H", "price:ETH", true),
            ("contract:*:deposit", "contract:vault:deposit", true),
            ("*", "new-block", true),
            ("price:*", "new-block", false),
            ("price:ETH", "price:ETHX", false),
            ("", "new-block", false),
            ("*a*b*c", "xxaxxbxxabxc", true),
            ("*a*b*c", "xxaxxbxxabx", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }
}
