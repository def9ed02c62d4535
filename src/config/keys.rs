//! All configuration keys and their limits, as documented in `config/default.toml`. Error messages suggest them.

use std::sync::LazyLock;

/// The file that documents every key with its unit and limits.
const DOCUMENTED: &str = include_str!("../../config/default.toml");

/// A key by its path without list positions (`chains.rpc_url`), and the limits in its comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub path: String,
    /// Smallest and largest number, if the comment has `N to M`.
    pub limits: Option<(String, String)>,
}

static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| read(DOCUMENTED));

/// The documented key of a path such as `chains.0.rpc_url`.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    let path = without_positions(path);
    KEYS.iter().find(|key| key.path == path)
}

/// The key that was probably meant by `path`: first one of the same section, whose keys are `siblings`; then the same
/// or a similar name in any section.
pub(super) fn nearest(path: &str, siblings: &[&str]) -> Option<String> {
    let plain = without_positions(path);
    let (section, name) = plain.rsplit_once('.').unwrap_or(("", &plain));
    let documented = KEYS.iter().filter_map(|key| {
        let (of, own) = key.path.rsplit_once('.')?;
        (of == section).then_some(own)
    });
    let own: Vec<&str> = match siblings.is_empty() {
        true => documented.collect(),
        false => siblings.to_vec(),
    };
    if let Some(close) = closest(name, own.into_iter()) {
        return Some(match section {
            "" => close.to_owned(),
            _ => format!("{section}.{close}"),
        });
    }
    // A key in the wrong section has the right spelling, or nearly.
    let elsewhere = KEYS.iter().filter_map(|key| {
        let own = key.path.rsplit('.').next()?;
        Some((distance(name, own), &key.path))
    });
    let (apart, path) = elsewhere.min_by_key(|(apart, _)| *apart)?;
    (apart <= name.chars().count() / 6).then(|| path.clone())
}

/// The most similar word, if the difference can be a typo.
pub(super) fn closest<'a>(word: &str, among: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let tolerated = (word.chars().count() / 3).max(1);
    let best = among
        .map(|one| (distance(word, one), one))
        .min_by_key(|(apart, _)| *apart);
    let (apart, one) = best?;
    let begins = word.len() >= 3 && (one.starts_with(word) || word.starts_with(one));
    (apart <= tolerated || begins).then_some(one)
}

/// `chains.0.rpc_url` is documented as `chains.rpc_url`.
fn without_positions(path: &str) -> String {
    let named = path
        .split('.')
        .filter(|part| part.parse::<usize>().is_err());
    named.collect::<Vec<_>>().join(".")
}

/// Parses the sections and keys of the documentation, including commented-out ones.
fn read(text: &str) -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::new();
    let (mut section, mut comment) = (String::new(), String::new());
    for line in text.lines() {
        // Lists and optional keys are behind one or two comment signs.
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let bare = bare.strip_prefix("# ").unwrap_or(bare);
        if let Some(header) = bare.strip_prefix('[') {
            let header = header.trim_start_matches('[');
            if let Some((name, _)) = header.split_once(']') {
                section = name.to_owned();
            }
            continue;
        }
        let Some((name, rest)) = bare.split_once(" = ").filter(|(name, _)| is_name(name)) else {
            // An indented line continues the comment of the key above.
            let continuation = line.trim_start_matches(['#', ' ']);
            let indented = line.trim_start_matches('#').starts_with("          ");
            if let Some(key) = keys
                .last_mut()
                .filter(|key| indented && key.limits.is_none())
            {
                comment = format!("{comment} {continuation}");
                key.limits = limits(&comment);
            }
            continue;
        };
        let path = match section.as_str() {
            "" => name.to_owned(),
            section => format!("{section}.{name}"),
        };
        comment = rest
            .split_once(" # ")
            .map_or_else(String::new, |(_, comment)| comment.to_owned());
        let limits = limits(&comment);
        if !keys.iter().any(|key| key.path == path) {
            keys.push(Key { path, limits });
        }
    }
    keys
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// The first `N to M` of a comment, N and M being numbers.
fn limits(comment: &str) -> Option<(String, String)> {
    let words: Vec<&str> = comment.split([' ', '(']).collect();
    words.windows(3).find_map(|three| {
        let [least, "to", most] = three else {
            return None;
        };
        let number = |text: &str| {
            let text = text.trim_end_matches([',', ';', ')', '.', ':']);
            text.parse::<i128>().ok().map(|number| number.to_string())
        };
        Some((number(least)?, number(most)?))
    })
}

/// Edit distance: letters to insert, delete, replace, or swap with their neighbour.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut before_last = vec![0; other.len() + 1];
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for row in 0..one.len() {
        let mut this = vec![row + 1];
        for column in 0..other.len() {
            let replaced = last[column] + usize::from(one[row] != other[column]);
            let mut least = replaced.min(last[column + 1] + 1).min(this[column] + 1);
            let swapped = row > 0
                && column > 0
                && one[row] == other[column - 1]
                && one[row - 1] == other[column];
            if swapped {
                least = least.min(before_last[column - 1] + 1);
            }
            this.push(least);
        }
        before_last = std::mem::replace(&mut last, this);
    }
    last[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_keys_and_limits_of_every_section() {
        for (path, limits) in [
            ("server.accept_backlog", Some(("16", "65535"))),
            ("chains.0.failover_failures", Some(("1", "100"))),
            ("chains.0.max_reorg_depth", Some(("1", "100000"))),
            ("prices.sources.3.interval_ms", Some(("100", "86400000"))),
            ("prices.tokens.0.symbol", None),
            ("chains.1.checks.block_hash", None),
        ] {
            let key = find(path).unwrap_or_else(|| panic!("{path}"));
            let expected = limits.map(|(least, most)| (least.to_owned(), most.to_owned()));
            assert_eq!(key.limits, expected, "{path}");
        }
        assert_eq!(find("server.prot"), None);
    }

    #[test]
    fn prefers_nearest_key_of_same_section() {
        for (written, expected) in [
            ("server.prot", "server.port"),
            ("server.hots", "server.host"),
            ("database.max_connection", "database.max_connections"),
            ("chains.0.rpcurl", "chains.rpc_url"),
            ("chains.0.max_reorg_deph", "chains.max_reorg_depth"),
            ("server.rpc_url", "chains.rpc_url"),
            ("database.allowed_origins", "gateway.allowed_origins"),
            ("prices.sources.0.max_age", "prices.sources.max_age_ms"),
        ] {
            assert_eq!(
                nearest(written, &[]).as_deref(),
                Some(expected),
                "{written}"
            );
        }
        for far in ["server.colour", "x", "chains.0.zzzzzz"] {
            assert_eq!(nearest(far, &[]), None, "{far}");
        }
    }

    #[test]
    fn distance_counts_swap_as_one() {
        for (one, other, apart) in [
            ("port", "prot", 1),
            ("port", "port", 0),
            ("", "abc", 3),
            ("host", "hosts", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(one, other), apart, "{one} {other}");
            assert_eq!(distance(other, one), apart, "{other} {one}");
        }
    }
}
