//! Identifies venues and documents, whatever the spelling of their URLs.

use reqwest::Url;

/// Identifies a venue by host: path, key and scheme do not matter. Another port may be another service, except at the
/// venue's own host. `own` is the venue's own URL, and `aliases` are further hosts of it.
pub(super) fn venue(url: &str, own: &str, aliases: &[&str]) -> String {
    let Some((host, port)) = host(url) else {
        return url.to_owned();
    };
    let own = self::host(own).map(|(own, _)| own);
    match (own, port) {
        (Some(own), _) if own == host || aliases.contains(&host.as_str()) => own,
        (_, Some(port)) => format!("{host}:{port}"),
        (_, None) => host,
    }
}

/// Identifies a document by host, port, path and query, ignoring the order of query parameters and unnecessary escapes.
pub(super) fn document(url: &str) -> String {
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
    let host = match LOCAL_NAMES.contains(&host.as_str()) {
        true => "127.0.0.1".to_owned(),
        false => host,
    };
    Some((host, url.port()))
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
            assert_eq!(venue(same, own, &[]), "stream.example.org", "{same}");
        }
        let other = "ws://127.0.0.1:47002";
        assert_eq!(
            venue(other, own, &[]),
            venue("ws://127.0.0.1:47002/", own, &[])
        );
        assert_eq!(
            venue(other, own, &[]),
            venue("ws://127.0.0.1:47002/v2", own, &[])
        );
        assert_ne!(
            venue(other, own, &[]),
            venue("ws://127.0.0.1:47003/", own, &[])
        );
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
