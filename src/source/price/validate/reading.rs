//! What a source reads outside the chains, however its URL is written: two sources of one token that read the same
//! would let one venue count as two.

use reqwest::Url;

use super::super::{SourceKind, exchange::Listing, hermes};

/// The venue or host, and what is read there.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Reading {
    kind: &'static str,
    noun: &'static str,
    place: String,
    what: String,
}

impl Reading {
    /// `None` for a source on a chain.
    pub(super) fn of(kind: &SourceKind) -> Option<Self> {
        let (noun, place, what) = match kind {
            SourceKind::Pyth(feed) => {
                let place = venue(feed.url(), hermes::PUBLIC);
                ("id of a service", place, feed.bare_id().to_owned())
            }
            SourceKind::Http(page) => {
                let place = document(page.url.expose());
                ("place of a document", place, page.pointer.clone())
            }
            SourceKind::Binance(_) | SourceKind::Coinbase(_) | SourceKind::Kraken(_) => {
                let listing = Listing::of(kind)?;
                let place = venue(listing.url(), listing.own_url());
                // Symbols that differ in their case alone are never two opinions on one token.
                ("symbol of a venue", place, listing.stream.to_lowercase())
            }
            SourceKind::Chainlink(_) | SourceKind::UniswapV2(_) | SourceKind::UniswapV3(_) => {
                return None;
            }
        };
        Some(Self {
            kind: kind.name(),
            noun,
            place,
            what,
        })
    }

    /// What is read, in words for people.
    pub(super) fn noun(&self) -> &'static str {
        self.noun
    }
}

/// A host that speaks as a venue does: its path, its key and its scheme change nothing of what it tells. Another port
/// may be another service, but not at the venue's own host.
pub(in super::super) fn venue(url: &str, own: &str) -> String {
    let Some((host, port)) = host(url) else {
        return url.to_owned();
    };
    let is_own = self::host(own).is_some_and(|(own, _)| own == host);
    match port {
        Some(port) if !is_own => format!("{host}:{port}"),
        _ => host,
    }
}

/// A document of an API: host, port, path and query; the order of the query's parameters says nothing, and neither does
/// an escape where none is needed.
pub(in super::super) fn document(url: &str) -> String {
    let (Ok(parsed), Some((host, port))) = (Url::parse(url), host(url)) else {
        return url.to_owned();
    };
    let mut query: Vec<(String, String)> = parsed.query_pairs().into_owned().collect();
    query.sort();
    let path = unescaped(parsed.path());
    let path = path.trim_end_matches('/');
    format!("{host} {port:?} {path} {query:?}")
}

/// A path without the escapes that it could do without: `/%70rice` is `/price`. Those that it needs are in capitals.
fn unescaped(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        plain.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let digits = rest.get(..2).unwrap_or_default();
        match u8::from_str_radix(digits, 16) {
            Ok(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                plain.push(char::from(byte));
            }
            _ => {
                plain.push('%');
                plain.push_str(&digits.to_ascii_uppercase());
            }
        }
        rest = &rest[digits.len()..];
    }
    plain + rest
}

/// Hosts that are another name of the one behind them.
const ALIASES: [(&str, &str); 5] = [
    ("data-stream.binance.vision", "stream.binance.com"),
    (
        "ws-direct.exchange.coinbase.com",
        "ws-feed.exchange.coinbase.com",
    ),
    ("hermes.pyth.network", "pyth.dourolabs.app"),
    ("localhost", "127.0.0.1"),
    ("[::1]", "127.0.0.1"),
];

/// Host in lower case, by the name that it is known by here, and the port where it is not the scheme's own.
fn host(url: &str) -> Option<(String, Option<u16>)> {
    let url = Url::parse(url).ok()?;
    let host = url.host_str()?.trim_end_matches('.').to_ascii_lowercase();
    let known = ALIASES.iter().find(|(alias, _)| *alias == host);
    let host = known.map_or(host, |(_, name)| (*name).to_owned());
    Some((host, url.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_venue_is_the_same_however_its_url_is_written() {
        let own = "wss://stream.example.org:9443/stream";
        for same in [
            "wss://stream.example.org",
            "WSS://Stream.Example.ORG:443/ws",
            "ws://stream.example.org./stream/",
        ] {
            assert_eq!(venue(same, own), "stream.example.org", "{same}");
        }
        let other = "ws://127.0.0.1:47002";
        assert_eq!(venue(other, own), venue("ws://127.0.0.1:47002/", own));
        assert_eq!(venue(other, own), venue("ws://127.0.0.1:47002/v2", own));
        assert_ne!(venue(other, own), venue("ws://127.0.0.1:47003/", own));
    }

    #[test]
    fn a_document_is_told_by_its_path_and_query() {
        let one = document("https://api.example/price?pair=ETH&in=USD");
        for same in [
            "https://API.example:443/price/?pair=ETH&in=USD",
            "http://api.example/price?in=USD&pair=ETH#now",
            "https://api.example/%70ri%63e?p%61ir=ETH&in=USD",
        ] {
            assert_eq!(document(same), one, "{same}");
        }
        for other in [
            "https://api.example/price?pair=BTC&in=USD",
            "https://api.example/prices?pair=ETH&in=USD",
            "https://api.example:8443/price?pair=ETH&in=USD",
            "https://api.example/%2570rice?pair=ETH&in=USD",
        ] {
            assert_ne!(document(other), one, "{other}");
        }
    }

    #[test]
    fn only_an_escape_that_says_nothing_is_taken_away() {
        for (path, plain) in [
            ("/%70rice/%7Eme", "/price/~me"),
            ("/a%2fb", "/a%2Fb"),
            ("/%2570", "/%2570"),
            ("/100%", "/100%"),
            ("/%7", "/%7"),
            ("/%zz%41", "/%ZZA"),
        ] {
            assert_eq!(unescaped(path), plain);
        }
    }
}
