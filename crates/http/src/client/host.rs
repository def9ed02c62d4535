//! Checks the host that a request names. A page that points a host name of its own at this server (DNS rebinding) is
//! same-origin for a browser, which then sends no `Origin` with most requests: only the host reveals it.

use std::{fmt, net::IpAddr};

use axum::http::{HeaderMap, header::HOST};

use super::{
    Site,
    header::{FORWARDED_HOST, header_text, split_port},
};

/// A request for a host that is not this server. Header values are truncated.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OtherHost {
    /// `Host`.
    pub host: String,
    /// `X-Forwarded-Host`; empty if absent.
    pub forwarded: String,
}

impl fmt::Display for OtherHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Host {:?}", self.host)?;
        if !self.forwarded.is_empty() {
            write!(f, " with X-Forwarded-Host {:?}", self.forwarded)?;
        }
        f.write_str(" is not a name of this server; its names are in gateway.own_hosts")
    }
}

impl Site {
    /// Rejects a request of this peer whose `Host`, or a trusted proxy's `X-Forwarded-Host`, is not a name of this server.
    /// Both must match: a page may set the latter itself if browsers connect from the address of a trusted proxy. A
    /// request without either is not from a browser and passes.
    pub fn check_hosts(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Result<(), OtherHost> {
        let forwarded = peer
            .into_iter()
            .flat_map(|peer| self.forwarded(peer, headers, FORWARDED_HOST));
        let mut hosts = headers.get_all(HOST).iter();
        let is_own = match (hosts.next(), hosts.next()) {
            (None, _) => true,
            (Some(host), None) => host.to_str().is_ok_and(|host| self.is_own_host(host)),
            (Some(_), Some(_)) => false,
        };
        if is_own && forwarded.into_iter().all(|host| self.is_own_host(host)) {
            return Ok(());
        }
        Err(OtherHost {
            host: header_text(headers, HOST.as_str()),
            forwarded: header_text(headers, FORWARDED_HOST),
        })
    }

    /// Whether a host, optionally with a port, is a name of this server. IP addresses always pass: they cannot be rebound.
    pub(super) fn is_own_host(&self, host: &str) -> bool {
        let (name, _) = split_port(host);
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        self.hosts.is_empty()
            || bare.eq_ignore_ascii_case("localhost")
            || bare.parse::<IpAddr>().is_ok()
            || self.hosts.iter().any(|own| own.eq_ignore_ascii_case(name))
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

    fn is_accepted(site: &Site, peer: &str, all: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(*name, HeaderValue::from_static(value));
        }
        site.check_hosts(peer.parse().ok(), &headers).is_ok()
    }

    #[test]
    fn rejects_foreign_hosts() {
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
            let found = is_accepted(&site, "203.0.113.9", &[("host", host)]);
            assert_eq!(found, expected, "{host}");
        }
        assert!(
            is_accepted(&site, "203.0.113.9", &[]),
            "it is not from a browser"
        );
        let two = [("host", "chain.example"), ("host", "evil.example")];
        assert!(!is_accepted(&site, "203.0.113.9", &two));
    }

    #[test]
    fn checks_host_and_trusted_forwarded_host() {
        let site = site(&["chain.example", "gateway"]);
        for (peer, host, forwarded, expected) in [
            ("10.0.0.1", "gateway:3000", "chain.example", true),
            ("10.0.0.1", "gateway:3000", "evil.example", false),
            // A page behind a trusted address.
            ("10.0.0.1", "evil.example", "chain.example", false),
            ("203.0.113.9", "evil.example", "chain.example", false),
            ("203.0.113.9", "chain.example", "anything", true),
        ] {
            let headers = [("host", host), ("x-forwarded-host", forwarded)];
            let found = is_accepted(&site, peer, &headers);
            assert_eq!(found, expected, "{peer} {host} {forwarded}");
        }
    }

    #[test]
    fn accepts_any_host_without_a_list() {
        assert!(is_accepted(
            &site(&[]),
            "203.0.113.9",
            &[("host", "any.example")]
        ));
    }

    #[test]
    fn rejection_names_host_and_key() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("evil.example"));
        let rejected = site(&["a.example"]).check_hosts(None, &headers);
        let text = rejected.unwrap_err().to_string();
        assert!(
            text.contains("\"evil.example\"") && text.contains("gateway.own_hosts"),
            "{text}"
        );
    }
}
