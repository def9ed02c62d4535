//! The names that a request reaches this server by. A page that gives this server a name of its own (DNS rebinding) is of
//! the same origin for a browser, which then sends no `Origin` with most requests: only the name tells them apart.

use std::{fmt, net::IpAddr};

use axum::http::{HeaderMap, header::HOST};

use super::{Site, origin::shown};

pub(super) const FORWARDED_HOST: &str = "x-forwarded-host";

/// A request that names a host which is not this server; what it sent is cut to a bound.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OtherHost {
    /// `Host`.
    pub host: String,
    /// `X-Forwarded-Host`; empty without it.
    pub forwarded: String,
}

impl fmt::Display for OtherHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Host {:?}", self.host)?;
        if !self.forwarded.is_empty() {
            write!(f, " with X-Forwarded-Host {:?}", self.forwarded)?;
        }
        f.write_str(" names another server than this one: its names are in gateway.own_hosts")
    }
}

impl Site {
    /// Refuses a request of this peer that names a host which is not this server: in `Host`, or in an
    /// `X-Forwarded-Host` of a trusted proxy. Each has to fit, because a page may write the latter itself where
    /// browsers reach this server from the address of a trusted proxy. A request without either comes from no browser.
    pub fn check_hosts(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Result<(), OtherHost> {
        let forwarded = peer
            .into_iter()
            .flat_map(|peer| self.forwarded(peer, headers, FORWARDED_HOST));
        let mut hosts = headers.get_all(HOST).iter();
        let is_own = match (hosts.next(), hosts.next()) {
            (None, _) => true,
            (Some(host), None) => host.to_str().is_ok_and(|host| self.is_named(host)),
            (Some(_), Some(_)) => false,
        };
        if is_own && forwarded.into_iter().all(|host| self.is_named(host)) {
            return Ok(());
        }
        Err(OtherHost {
            host: shown(headers, HOST.as_str()),
            forwarded: shown(headers, FORWARDED_HOST),
        })
    }

    /// Whether a host, perhaps with a port, is one of this server's names. Nobody can give an address another meaning.
    pub(super) fn is_named(&self, host: &str) -> bool {
        let (name, _) = split_port(host);
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        self.hosts.is_empty()
            || bare.eq_ignore_ascii_case("localhost")
            || bare.parse::<IpAddr>().is_ok()
            || self.hosts.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// A host and its port. The colons of an IPv6 address are inside brackets.
pub(super) fn split_port(authority: &str) -> (&str, Option<&str>) {
    let after_brackets = authority.rfind(']').map_or(0, |at| at + 1);
    match authority[after_brackets..].find(':') {
        Some(at) => {
            let at = after_brackets + at;
            (&authority[..at], Some(&authority[at + 1..]))
        }
        None => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn site(hosts: &[&str]) -> Site {
        Site {
            proxies: vec!["10.0.0.0/8".parse().unwrap()],
            hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
        }
    }

    fn lets_in(site: &Site, peer: &str, all: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(*name, HeaderValue::from_static(value));
        }
        site.check_hosts(peer.parse().ok(), &headers).is_ok()
    }

    #[test]
    fn requests_of_other_names_are_refused() {
        let site = site(&["chain.example"]);
        for (host, expected) in [
            ("chain.example", true),
            ("CHAIN.example:3000", true),
            ("localhost:3000", true),
            ("127.0.0.1", true),
            ("[::1]:3000", true),
            ("10.1.2.3:3000", true),
            ("evil.example", false),
            ("chain.example.evil:3000", false),
            ("127.0.0.1.evil.example", false),
            ("", false),
        ] {
            let found = lets_in(&site, "203.0.113.9", &[("host", host)]);
            assert_eq!(found, expected, "{host}");
        }
        assert!(lets_in(&site, "203.0.113.9", &[]), "it is from no browser");
        let two = [("host", "chain.example"), ("host", "evil.example")];
        assert!(!lets_in(&site, "203.0.113.9", &two));
    }

    #[test]
    fn both_the_host_and_a_trusted_forwarded_one_count() {
        let site = site(&["chain.example", "gateway"]);
        for (peer, host, forwarded, expected) in [
            ("10.0.0.1", "gateway:3000", "chain.example", true),
            ("10.0.0.1", "gateway:3000", "evil.example", false),
            // Of a page behind an address that is trusted.
            ("10.0.0.1", "evil.example", "chain.example", false),
            ("203.0.113.9", "evil.example", "chain.example", false),
            ("203.0.113.9", "chain.example", "anything", true),
        ] {
            let headers = [("host", host), ("x-forwarded-host", forwarded)];
            let found = lets_in(&site, peer, &headers);
            assert_eq!(found, expected, "{peer} {host} {forwarded}");
        }
    }

    #[test]
    fn every_name_is_its_own_where_none_is_listed() {
        assert!(lets_in(
            &site(&[]),
            "203.0.113.9",
            &[("host", "any.example")]
        ));
    }

    #[test]
    fn refusal_names_host_and_key() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("evil.example"));
        let refused = site(&["a.example"]).check_hosts(None, &headers);
        let text = refused.unwrap_err().to_string();
        assert!(
            text.contains("\"evil.example\"") && text.contains("gateway.own_hosts"),
            "{text}"
        );
    }
}
