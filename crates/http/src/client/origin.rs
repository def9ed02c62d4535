//! Decides which web pages may read from this server, for REST and for every transport of the gateway: the check of
//! `Origin` (RFC 6454) that browsers leave to WebSocket servers.
//!
//! Origins are compared by scheme, host and port, not by spelling: letters in either case, a default port stated or not,
//! an IPv6 address in any form. A host with a trailing dot is another host, as it is for browsers.
//!
//! The server's own origin is always allowed: `Origin` has the host and port of `Host`, or of a trusted proxy's
//! `X-Forwarded-Host`. The scheme may differ, because a proxy may terminate TLS; but an `http` origin is rejected if
//! `X-Forwarded-Proto` of trusted proxies states TLS. The origin `null` is never the server's own.
//!
//! With DNS rebinding a page is same-origin under a foreign host name: to prevent that, [`Site::hosts`] lists the accepted
//! names, for requests without `Origin` too (see [`super::OtherHost`]).

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use axum::http::{
    HeaderMap, HeaderValue,
    header::{HOST, ORIGIN},
};

use super::{
    Site,
    header::{FORWARDED_HOST, header_text, split_port},
};

const FORWARDED_PROTO: &str = "x-forwarded-proto";
/// The opaque origin, as of a page in a sandboxed frame or from a file.
const NULL: &str = "null";

/// The allowed pages. A request without `Origin` is not from a page and is not checked.
#[derive(Debug, Clone, Default)]
pub struct OriginPolicy {
    any: bool,
    /// Scheme, host and port in canonical form.
    allowed: Vec<String>,
    site: Site,
}

/// An invalid entry of the configured list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an origin: use \"*\", \"https://app.example\" or \"http://127.0.0.1:3000\"")]
pub struct OriginError(String);

/// The allowed page that a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page<'a> {
    /// The request has no `Origin`.
    None,
    /// Allowed only because every origin is.
    Any(&'a HeaderValue),
    /// The server's own origin, or one in the list.
    Known(&'a HeaderValue),
}

/// A page that is not allowed. Header values are truncated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedOrigin {
    /// The header `Origin`; several values are joined by commas.
    pub origin: String,
    /// The header `Host`.
    pub host: String,
}

impl fmt::Display for RefusedOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, host } = self;
        write!(
            f,
            "Origin {origin:?} is not allowed: it is neither the origin of this server (Host {host:?}) nor in \
             gateway.allowed_origins"
        )
    }
}

impl OriginPolicy {
    /// Allows these origins and the server's own.
    pub fn new(origins: &[String], site: Site) -> Result<Self, OriginError> {
        let mut allowed = Vec::new();
        for origin in origins.iter().filter(|origin| *origin != "*") {
            allowed.push(canonical(origin).ok_or_else(|| OriginError(origin.clone()))?);
        }
        Ok(Self {
            any: origins.iter().any(|origin| origin == "*"),
            allowed,
            site,
        })
    }

    /// Whether every origin is allowed.
    pub fn is_any(&self) -> bool {
        self.any
    }

    /// The page that a request of this peer comes from; an error if it is not allowed.
    pub fn check<'a>(
        &self,
        peer: Option<IpAddr>,
        headers: &'a HeaderMap,
    ) -> Result<Page<'a>, RefusedOrigin> {
        let mut origins = headers.get_all(ORIGIN).iter();
        let origin = match (origins.next(), origins.next()) {
            (None, _) => return Ok(Page::None),
            (Some(origin), None) => origin,
            (Some(_), Some(_)) => return Err(rejection(headers)),
        };
        let known = origin
            .to_str()
            .ok()
            .and_then(canonical)
            .is_some_and(|origin| {
                self.allowed.contains(&origin) || self.is_own(&origin, peer, headers)
            });
        match known {
            // Any page can create a frame with this origin, so it identifies none.
            true if self.any && origin == NULL => Ok(Page::Any(origin)),
            true => Ok(Page::Known(origin)),
            false if self.any => Ok(Page::Any(origin)),
            false => Err(rejection(headers)),
        }
    }

    /// Whether a canonical origin is this server's own, by the host that the request names.
    fn is_own(&self, origin: &str, peer: Option<IpAddr>, headers: &HeaderMap) -> bool {
        let Some((scheme @ ("http" | "https"), _)) = origin.split_once("://") else {
            return false;
        };
        let forwarded = |name| {
            peer.into_iter()
                .flat_map(move |peer| self.site.forwarded(peer, headers, name))
        };
        // A proxy behind the one that terminates TLS may report `http` for the hop between them: TLS elsewhere suffices.
        let mut schemes = forwarded(FORWARDED_PROTO).peekable();
        if scheme == "http" && schemes.peek().is_some() && !schemes.any(is_without_tls) {
            return false;
        }
        let mut hosts = headers.get_all(HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.to_str().ok(),
            _ => None,
        };
        host.into_iter()
            .chain(forwarded(FORWARDED_HOST))
            .any(|host| {
                self.site.is_own_host(host) && canonical_of(scheme, host) == Some(origin.into())
            })
    }
}

/// Whether a forwarded scheme, of HTTP or WebSocket, is without TLS.
fn is_without_tls(forwarded: &str) -> bool {
    ["http", "ws"]
        .iter()
        .any(|one| forwarded.eq_ignore_ascii_case(one))
}

fn rejection(headers: &HeaderMap) -> RefusedOrigin {
    RefusedOrigin {
        origin: header_text(headers, ORIGIN.as_str()),
        host: header_text(headers, HOST.as_str()),
    }
}

/// `scheme://host:port` in lower case with an explicit port, or `null`.
fn canonical(origin: &str) -> Option<String> {
    let origin = origin.to_ascii_lowercase();
    if origin == NULL {
        return Some(origin);
    }
    let (scheme, authority) = origin.split_once("://")?;
    canonical_of(scheme, authority.strip_suffix('/').unwrap_or(authority))
}

fn canonical_of(scheme: &str, authority: &str) -> Option<String> {
    let scheme_fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    let host_fits =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '[' | ']' | ':');
    if scheme.is_empty()
        || !scheme.chars().all(scheme_fits)
        || authority.is_empty()
        || !authority.chars().all(host_fits)
    {
        return None;
    }
    let (host, port) = split_port(authority);
    let host = canonical_host(host)?;
    let port = match (port, scheme) {
        (Some(port), _) => port.parse::<u16>().ok()?,
        (None, "http" | "ws") => 80,
        (None, "https" | "wss") => 443,
        (None, _) => return Some(format!("{scheme}://{host}")),
    };
    Some(format!("{scheme}://{host}:{port}"))
}

/// A name in lower case, or an IPv6 address in brackets in the form of RFC 5952.
fn canonical_host(host: &str) -> Option<String> {
    if !host.contains(['[', ']']) {
        return Some(host.to_ascii_lowercase());
    }
    let address: Ipv6Addr = host.strip_prefix('[')?.strip_suffix(']')?.parse().ok()?;
    Some(format!("[{address}]"))
}

#[cfg(test)]
#[path = "origin_tests.rs"]
mod tests;
