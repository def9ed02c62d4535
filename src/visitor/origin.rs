//! Which web pages may read from this server: the check of `Origin` (RFC 6454) that browsers leave to WebSocket servers.
//!
//! A page of the server's own origin is always let in: `Origin` names the host and port that `Host` does, or the
//! `X-Forwarded-Host` of a trusted proxy. The scheme may differ, because a proxy may end TLS; only a page without TLS is
//! refused where trusted proxies say in `X-Forwarded-Proto` that the client used it. A page without an origin (`null`) is
//! never of the own one.
//! A page can give this server a name of its own (DNS rebinding) and is then of the same origin: where that matters,
//! [`Site::hosts`] lists the names that count, for requests without `Origin` too (see [`super::OtherHost`]).

use std::{fmt, net::IpAddr};

use axum::http::{
    HeaderMap, HeaderValue,
    header::{HOST, ORIGIN},
};

use super::{
    Site,
    host::{FORWARDED_HOST, split_port},
};

const FORWARDED_PROTO: &str = "x-forwarded-proto";
/// Most characters of a header that an error repeats.
const SHOWN: usize = 128;
/// A page without an origin, as one in a sandboxed frame or from a file.
const NULL: &str = "null";

/// The pages that are let in. A request without `Origin` comes from no page and is not checked.
#[derive(Debug, Clone, Default)]
pub struct OriginPolicy {
    any: bool,
    /// Scheme, host and port in one canonical spelling.
    allowed: Vec<String>,
    site: Site,
}

/// What is wrong with the configured list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "gateway.allowed_origins: {0:?} is not an origin: use \"*\", \"https://app.example\" or \"http://127.0.0.1:3000\""
)]
pub struct OriginError(String);

/// The page that a request comes from and that is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page<'a> {
    /// The request names no origin.
    None,
    /// Every page is let in.
    Any(&'a HeaderValue),
    /// Of the server's own origin, or of one in the list.
    Known(&'a HeaderValue),
}

/// A page that is not let in; what it sent is cut to a bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedOrigin {
    pub origin: String,
    pub host: String,
}

impl fmt::Display for RefusedOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, host } = self;
        write!(
            f,
            "pages of Origin {origin:?} may not connect: it is not the origin of this server (Host {host:?}) and not in \
             gateway.allowed_origins"
        )
    }
}

impl OriginPolicy {
    /// Lets in the pages of these origins, beside those of the server's own.
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

    /// Whether pages of every origin are let in.
    pub fn is_any(&self) -> bool {
        self.any
    }

    /// The page that a request of this peer comes from, when it is let in.
    pub fn check<'a>(
        &self,
        peer: Option<IpAddr>,
        headers: &'a HeaderMap,
    ) -> Result<Page<'a>, RefusedOrigin> {
        let mut origins = headers.get_all(ORIGIN).iter();
        let origin = match (origins.next(), origins.next()) {
            (None, _) => return Ok(Page::None),
            (Some(origin), None) => origin,
            (Some(_), Some(_)) => return Err(refused(headers)),
        };
        let known = origin
            .to_str()
            .ok()
            .and_then(canonical)
            .is_some_and(|origin| {
                self.allowed.contains(&origin) || self.is_own(&origin, peer, headers)
            });
        match known {
            // Frames of any page can have this origin: it names nobody.
            true if self.any && origin == NULL => Ok(Page::Any(origin)),
            true => Ok(Page::Known(origin)),
            false if self.any => Ok(Page::Any(origin)),
            false => Err(refused(headers)),
        }
    }

    /// Whether a canonical origin is that of this server, as the request names it.
    fn is_own(&self, origin: &str, peer: Option<IpAddr>, headers: &HeaderMap) -> bool {
        let Some((scheme @ ("http" | "https"), _)) = origin.split_once("://") else {
            return false;
        };
        let forwarded = |name| {
            peer.into_iter()
                .flat_map(move |peer| self.site.forwarded(peer, headers, name))
        };
        // A proxy behind the one that ends TLS may say `http` of the hop between them: that speaks against no page.
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
                self.site.is_named(host) && canonical_of(scheme, host) == Some(origin.into())
            })
    }
}

/// Whether a forwarded scheme, which may be that of a WebSocket, is one without TLS.
fn is_without_tls(forwarded: &str) -> bool {
    ["http", "ws"]
        .iter()
        .any(|one| forwarded.eq_ignore_ascii_case(one))
}

fn refused(headers: &HeaderMap) -> RefusedOrigin {
    RefusedOrigin {
        origin: shown(headers, ORIGIN.as_str()),
        host: shown(headers, HOST.as_str()),
    }
}

/// The values of a header, cut to a bound.
pub(super) fn shown(headers: &HeaderMap, name: &str) -> String {
    let values = headers.get_all(name).iter();
    let texts: Vec<_> = values
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    texts.join(", ").chars().take(SHOWN).collect()
}

/// `scheme://host:port` in lower case with the port spelt out, or `null` (a page without an origin).
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
    let host = host.to_ascii_lowercase();
    let port = match (port, scheme) {
        (Some(port), _) => port.parse::<u16>().ok()?,
        (None, "http" | "ws") => 80,
        (None, "https" | "wss") => 443,
        (None, _) => return Some(format!("{scheme}://{host}")),
    };
    Some(format!("{scheme}://{host}:{port}"))
}

#[cfg(test)]
#[path = "origin_tests.rs"]
mod tests;
