//! The instrument that a source outside the chains reads, independent of the spelling of its URL: two sources of one
//! token that read the same instrument would let one venue count twice.

use reqwest::Url;

use super::super::{SourceKind, exchange, hermes};

/// A venue or host, and the instrument there.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Instrument {
    kind: &'static str,
    description: &'static str,
    venue_name: String,
    name: String,
}

impl Instrument {
    /// `None` for a source on a chain.
    pub(super) fn from_kind(kind: &SourceKind) -> Option<Self> {
        let (description, venue_name, name) = match kind {
            SourceKind::Pyth(feed) => {
                let venue_name = venue(feed.url(), hermes::PUBLIC_URL);
                (
                    "price id of a service",
                    venue_name,
                    feed.normalized_id().to_owned(),
                )
            }
            SourceKind::Http(page) => {
                let venue_name = document(page.url.expose());
                ("value of a document", venue_name, page.pointer.clone())
            }
            SourceKind::Exchange(listing) => {
                let venue_name = venue(listing.url(), listing.default_url());
                // Symbols that differ in case only are not independent.
                (
                    "symbol of a venue",
                    venue_name,
                    listing.stream.to_lowercase(),
                )
            }
            SourceKind::Chainlink(_) | SourceKind::UniswapV2(_) | SourceKind::UniswapV3(_) => {
                return None;
            }
        };
        Some(Self {
            kind: kind.name(),
            description,
            venue_name,
            name,
        })
    }

    /// A description for error messages.
    pub(super) fn description(&self) -> &'static str {
        self.description
    }
}

/// Identifies a venue by host: path, key and scheme do not matter. Another port may be another service, except at the
/// venue's own host.
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

/// Identifies a document by host, port, path and query, ignoring the order of query parameters and unnecessary escapes.
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

/// A path without unnecessary escapes: `/%70rice` is `/price`. Necessary ones are in upper case.
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

/// Other names of this machine.
const LOCAL_NAMES: [&str; 2] = ["localhost", "[::1]"];

/// The canonical host in lower case, and the port if it is not the default of the scheme.
fn host(url: &str) -> Option<(String, Option<u16>)> {
    let url = Url::parse(url).ok()?;
    let host = url.host_str()?.trim_end_matches('.').to_ascii_lowercase();
    Some((canonical(host), url.port()))
}

/// The main name of a host with several.
fn canonical(host: String) -> String {
    if LOCAL_NAMES.contains(&host.as_str()) {
        return "127.0.0.1".to_owned();
    }
    let main = exchange::url_of_alias(&host).or_else(|| hermes::url_of_alias(&host));
    let main = main.and_then(|url| Url::parse(url).ok());
    let main = main.and_then(|url| url.host_str().map(str::to_owned));
    main.unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn venue_ignores_url_spelling() {
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
    fn document_is_identified_by_path_and_query() {
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
    fn removes_unnecessary_escapes_only() {
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
