//! What feeds are called in logs, metrics and `/status`: by their kind and host, so that a name says who it is of and
//! stays when others come.

use std::collections::BTreeMap;

use super::exchange::Streams;
use crate::model::{Secret, Token};

/// Sources that a log line names; of more it says how many.
const MOST_SHOWN: usize = 8;

/// Names that were given. Ask in the order of the configuration: what is added at its end renames nothing.
#[derive(Debug, Default)]
pub(super) struct FeedNames(BTreeMap<String, usize>);

impl FeedNames {
    /// Of one more feed: the kind alone at the place where all go (`usual`), the kind and the host elsewhere, and a
    /// number from the second of both on. A path may be a key, and is never part of it.
    pub(super) fn give(&mut self, kind: &str, url: &str, usual: Option<&str>) -> String {
        let name = if usual == Some(url) {
            kind.to_owned()
        } else {
            let shown = Secret::new(url).redacted_url().to_ascii_lowercase();
            let host = shown.split_once("://").map_or("", |(_, host)| host);
            format!("{kind}@{host}")
        };
        let given = self.0.entry(name.clone()).or_default();
        *given += 1;
        match *given {
            1 => name,
            number => format!("{name}-{number}"),
        }
    }
}

/// A source of a token, as log lines name it.
pub(super) fn shown(token: &Token, source: &str) -> String {
    format!("{token}/{source}")
}

/// All sources of a feed, as log lines name them.
pub(super) fn all_shown(streams: &Streams) -> String {
    let readers = || streams.values().flatten();
    let named = readers().take(MOST_SHOWN);
    let named: Vec<String> = named
        .map(|reader| shown(&reader.token, &reader.source))
        .collect();
    let named = named.join(", ");
    match readers().count().saturating_sub(MOST_SHOWN) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_the_host_and_never_a_key() {
        let mut names = FeedNames::default();
        let usual = Some("wss://ws.kraken.com/v2");
        for (url, name) in [
            ("wss://ws.kraken.com/v2", "kraken"),
            (
                "wss://Example.org:8443/a-key?b=a-key",
                "kraken@example.org:8443",
            ),
            ("wss://user:a-key@example.org", "kraken@example.org"),
            ("wss://example.org/another-key", "kraken@example.org-2"),
            ("wss://ws.kraken.com/v2", "kraken-2"),
        ] {
            assert_eq!(names.give("kraken", url, usual), name);
        }
        let url = "https://example.org/";
        assert_eq!(names.give("http", url, None), "http@example.org");
    }
}
