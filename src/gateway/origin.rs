//! Which web pages may connect: the check of `Origin` (RFC 6454) that browsers leave to WebSocket servers.

use axum::http::{HeaderMap, HeaderValue, header::ORIGIN};

/// The pages that are let in. A request without `Origin` comes from no page and is not checked.
#[derive(Debug, Clone)]
pub struct OriginPolicy {
    any: bool,
    /// Scheme, host and port in one canonical spelling.
    allowed: Vec<String>,
}

/// What is wrong with the configured list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "gateway.allowed_origins: {0:?} is not an origin: use \"*\", \"https://app.example\" or \"http://127.0.0.1:3000\""
)]
pub struct OriginError(String);

impl OriginPolicy {
    pub fn new(origins: &[String]) -> Result<Self, OriginError> {
        let mut allowed = Vec::new();
        for origin in origins.iter().filter(|origin| *origin != "*") {
            allowed.push(canonical(origin).ok_or_else(|| OriginError(origin.clone()))?);
        }
        Ok(Self {
            any: origins.iter().any(|origin| origin == "*"),
            allowed,
        })
    }

    /// Whether pages of every origin are let in.
    pub fn is_any(&self) -> bool {
        self.any
    }

    /// Whether a request with these headers may connect.
    pub fn allows(&self, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => true,
            (Some(_), Some(_)) => false,
            (Some(_), None) if self.any => true,
            (Some(origin), None) => origin
                .to_str()
                .ok()
                .and_then(canonical)
                .is_some_and(|origin| self.allowed.contains(&origin)),
        }
    }

    /// What to say in `Access-Control-Allow-Origin`, when the request has an allowed origin.
    pub fn cors_origin<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
        headers.get(ORIGIN).filter(|_| self.allows(headers))
    }
}

/// `scheme://host:port` in lower case with the port spelt out, or `null` (a page without an origin).
fn canonical(origin: &str) -> Option<String> {
    let origin = origin.to_ascii_lowercase();
    if origin == "null" {
        return Some(origin);
    }
    let (scheme, authority) = origin.split_once("://")?;
    let authority = authority.strip_suffix('/').unwrap_or(authority);
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
    // The colons of an IPv6 address are inside brackets.
    let after_brackets = authority.rfind(']').map_or(0, |at| at + 1);
    match authority[after_brackets..].split_once(':') {
        Some((_, port)) => {
            port.parse::<u16>().ok()?;
            Some(format!("{scheme}://{authority}"))
        }
        None => match scheme {
            "http" | "ws" => Some(format!("{scheme}://{authority}:80")),
            "https" | "wss" => Some(format!("{scheme}://{authority}:443")),
            _ => Some(format!("{scheme}://{authority}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(list: &[&str]) -> OriginPolicy {
        let list: Vec<String> = list.iter().map(|&one| one.to_owned()).collect();
        OriginPolicy::new(&list).unwrap()
    }

    fn from(origin: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(ORIGIN, HeaderValue::from_static(origin))])
    }

    #[test]
    fn scheme_host_and_port_must_all_be_the_same() {
        let policy = policy(&["https://app.example", "http://[::1]:3000"]);
        for good in [
            "https://app.example",
            "https://APP.example",
            "https://app.example:443",
            "http://[::1]:3000",
        ] {
            assert!(policy.allows(&from(good)), "{good}");
        }
        for bad in [
            "http://app.example",
            "https://app.example:8443",
            "https://evil.app.example",
            "https://app.example.evil",
            "http://[::1]",
            "null",
            "",
            "app.example",
        ] {
            assert!(!policy.allows(&from(bad)), "{bad}");
        }
    }

    #[test]
    fn a_request_without_an_origin_is_let_in_and_one_with_two_is_not() {
        let policy = policy(&["https://app.example"]);
        assert!(policy.allows(&HeaderMap::new()));
        let mut two = from("https://app.example");
        two.append(ORIGIN, HeaderValue::from_static("https://app.example"));
        assert!(!policy.allows(&two));
    }

    #[test]
    fn a_star_lets_every_page_in() {
        let policy = policy(&["*"]);
        assert!(policy.allows(&from("null")));
        assert_eq!(
            policy.cors_origin(&from("https://a.example")).unwrap(),
            "https://a.example"
        );
    }

    #[test]
    fn what_is_not_an_origin_is_refused_by_name() {
        for bad in [
            "app.example",
            "https://",
            "https://a.example/page",
            "https://a:x",
        ] {
            let error = OriginPolicy::new(&[bad.to_owned()]).unwrap_err();
            assert!(error.to_string().contains(bad), "{error}");
        }
    }
}
