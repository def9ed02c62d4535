//! Names of feeds in logs, metrics and `/status`: the kind and the host, so that a name identifies the venue and does
//! not change when others are added.

use std::collections::BTreeMap;

use chaincast_base::Secret;

/// Names in use. Assigning in configuration order keeps existing names when entries are appended.
#[derive(Debug, Default)]
pub(super) struct FeedNames(BTreeMap<String, usize>);

impl FeedNames {
    /// Assigns a name: the kind alone at the default URL, else the kind and the host, with a number from the second
    /// feed of the same name on. The path is never included: it may contain a key.
    pub(super) fn assign(&mut self, kind: &str, url: &str, default_url: Option<&str>) -> String {
        let name = if default_url == Some(url) {
            kind.to_owned()
        } else {
            let source_label = Secret::new(url).redacted_url().to_ascii_lowercase();
            let host = source_label.split_once("://").map_or("", |(_, host)| host);
            format!("{kind}@{host}")
        };
        let count = self.0.entry(name.clone()).or_default();
        *count += 1;
        match *count {
            1 => name,
            number => format!("{name}-{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_has_host_but_no_key() {
        let mut names = FeedNames::default();
        let default_url = Some("wss://ws.kraken.com/v2");
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
            assert_eq!(names.assign("kraken", url, default_url), name);
        }
        let url = "https://example.org/";
        assert_eq!(names.assign("http", url, None), "http@example.org");
    }
}
