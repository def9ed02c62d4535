//! The client's address, and how many trusted proxies a request passed.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use ipnet::IpNet;

const FORWARDED_FOR: &str = "x-forwarded-for";
/// Most hops of a forwarded header that are read.
const MAX_HOPS: usize = 16;

/// The proxies and host names of this server.
#[derive(Debug, Clone, Default)]
pub struct Site {
    /// Networks of the trusted proxies in front of it.
    pub proxies: Vec<IpNet>,
    /// Its host names; if empty, it accepts any `Host`.
    pub hosts: Vec<String>,
}

impl Site {
    /// The values of a header that trusted proxies set, nearest proxy first; at most one per trusted hop.
    pub(super) fn forwarded<'a>(
        &self,
        peer: IpAddr,
        headers: &'a HeaderMap,
        name: &'static str,
    ) -> impl Iterator<Item = &'a str> {
        let (_, hops) = trace(peer, headers, &self.proxies);
        values(headers, name).take(hops)
    }
}

/// The client's address: the peer's, or the nearest hop that is not a trusted proxy. Further hops are ignored: a client
/// can forge them.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    trace(peer, headers, trusted).0
}

/// The client's address, and the number of trusted proxies between it and this server.
fn trace(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> (IpAddr, usize) {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    let mut nearest = peer.to_canonical();
    if !is_trusted(&nearest) {
        return (nearest, 0);
    }
    let mut proxies = 1;
    for hop in values(headers, FORWARDED_FOR).take(MAX_HOPS) {
        // Hops beyond an unreadable one cannot be trusted.
        let Some(address) = parse_hop(hop) else {
            break;
        };
        nearest = address;
        if !is_trusted(&nearest) {
            break;
        }
        proxies += 1;
    }
    (nearest, proxies)
}

/// The values of a header that each proxy appends to, last one first.
fn values<'a>(headers: &'a HeaderMap, name: &'static str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter().rev();
    lines
        .map(|line| line.to_str().unwrap_or_default())
        .flat_map(|line| line.rsplit(','))
        .map(str::trim)
}

/// Parses an address, optionally in brackets and with a port.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let bare = hop
        .strip_prefix('[')
        .and_then(|hop| hop.strip_suffix(']'))
        .unwrap_or(hop);
    bare.parse::<IpAddr>()
        .or_else(|_| hop.parse::<SocketAddr>().map(|socket| socket.ip()))
        .ok()
        .map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn forwarded(values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(FORWARDED_FOR, HeaderValue::from_static(value));
        }
        headers
    }

    fn trusted() -> Vec<IpNet> {
        vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]
    }

    fn client(peer: &str, values: &[&'static str]) -> String {
        client_address(peer.parse().unwrap(), &forwarded(values), &trusted()).to_string()
    }

    #[test]
    fn ignores_forwarded_addresses_from_untrusted_peers() {
        assert_eq!(client("203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
    }

    #[test]
    fn takes_nearest_hop_that_is_not_a_proxy() {
        for (values, found) in [
            (&["198.51.100.1"][..], "198.51.100.1"),
            (&["6.6.6.6, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            (&["6.6.6.6", "198.51.100.1:4711"], "198.51.100.1"),
            (&["[2001:db8::1]:80"], "2001:db8::1"),
            (&["::ffff:198.51.100.1"], "198.51.100.1"),
            (&["10.0.0.7, 10.0.0.8"], "10.0.0.7"),
            (&["6.6.6.6, nonsense, 10.0.0.8"], "10.0.0.8"),
            (&["nonsense"], "10.0.0.1"),
            (&[], "10.0.0.1"),
        ] {
            assert_eq!(client("10.0.0.1", values), found, "{values:?}");
        }
        assert_eq!(client("::ffff:10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
    }

    #[test]
    fn trusts_one_value_per_trusted_hop() {
        let site = Site {
            proxies: trusted(),
            hosts: Vec::new(),
        };
        for (peer, hops, expected) in [
            ("203.0.113.9", "198.51.100.1", &[][..]),
            ("10.0.0.1", "198.51.100.1", &["c"]),
            ("10.0.0.1", "198.51.100.1, 10.0.0.2", &["c", "b"]),
            ("10.0.0.1", "nonsense, 10.0.0.2, 10.0.0.3", &["c", "b", "a"]),
        ] {
            let mut headers = forwarded(&[hops]);
            headers.append("x-forwarded-host", HeaderValue::from_static("a, b"));
            headers.append("x-forwarded-host", HeaderValue::from_static("c"));
            let peer = peer.parse().unwrap();
            let found: Vec<&str> = site.forwarded(peer, &headers, "x-forwarded-host").collect();
            assert_eq!(found, expected, "{peer} {hops}");
        }
    }
}
