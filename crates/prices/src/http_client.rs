//! Common parts of HTTP feeds: the client, the meaning of error statuses, and `Retry-After`.

use std::time::Duration;

use reqwest::{
    Client, Response, StatusCode, Url,
    header::{HeaderMap, LOCATION},
    redirect::Policy,
};

use super::{disconnect::Disconnect, sanitized::sanitized};
use chaincast_base::{
    Secret,
    retry::{self, Backoff},
    tls,
};

/// User-Agent of all requests: some venues reject requests without one.
pub(super) const USER_AGENT: &str = concat!("chaincast/", env!("CARGO_PKG_VERSION"));
/// Maximum honored `Retry-After`.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// A failed attempt, with the server's `Retry-After` if any.
#[derive(Debug)]
pub(super) struct FailedAttempt {
    pub reason: Disconnect,
    pub retry_after: Option<Duration>,
}

impl FailedAttempt {
    /// The delay before the next attempt. A server may ban clients that ignore its `Retry-After`.
    pub fn wait(&self, backoff: &mut Backoff) -> Duration {
        backoff
            .next_delay()
            .max(self.retry_after.unwrap_or_default())
    }
}

impl From<Disconnect> for FailedAttempt {
    fn from(reason: Disconnect) -> Self {
        Self {
            reason,
            retry_after: None,
        }
    }
}

/// A client that follows no redirects: headers with secrets are for the configured host only.
pub(super) fn client(connect_timeout: Duration, is_local: bool) -> Result<Client, Disconnect> {
    let mut client = Client::builder()
        .tls_backend_preconfigured(tls::client_config())
        .redirect(Policy::none())
        .user_agent(USER_AGENT)
        .connect_timeout(connect_timeout)
        .tcp_nodelay(true);
    if is_local {
        client = client.no_proxy();
    }
    client
        .build()
        .map_err(|error| Disconnect::Unreachable(error.without_url().to_string()))
}

/// Whether a text is an HTTP URL with a host.
pub(super) fn is_url(text: &str) -> bool {
    reqwest::Url::parse(text)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// Whether a URL is of this machine.
pub(super) fn is_local(url: &Secret) -> bool {
    let url = reqwest::Url::parse(url.expose());
    url.is_ok_and(|url| {
        let host = url.host_str().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost"
            || bare
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    })
}

/// The error of a request, without the URL, which may contain a key.
pub(super) fn request_error(error: reqwest::Error) -> Disconnect {
    let connecting = error.is_connect();
    let error = error.without_url();
    let text = tls::with_advice(sanitized(&tls::error_chain(&error)), tls::CA_FILE_VARIABLE);
    if connecting {
        Disconnect::Unreachable(text)
    } else {
        Disconnect::Broken(text)
    }
}

/// Fails for an error status. `unauthorized` is the advice for a missing or invalid key.
pub(super) fn check_status(
    response: Response,
    unauthorized: &str,
) -> Result<Response, FailedAttempt> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let retry_after = retry_after(response.headers());
    let reason = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Disconnect::Rejected(format!("HTTP {status}; {unauthorized}"))
        }
        status => {
            let location = response.headers().get(LOCATION);
            let location = location.and_then(|value| value.to_str().ok());
            status_error(status, location)
        }
    };
    Err(FailedAttempt {
        reason,
        retry_after,
    })
}

/// The `Retry-After` of an answer, at most [`MAX_RETRY_AFTER`].
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    retry::retry_after(headers).map(|wait| wait.min(MAX_RETRY_AFTER))
}

/// The meaning of an error status: a rejection, if repeating the request is useless before someone fixes the
/// configuration; otherwise a temporary error. Shows only the host of a redirect: the rest may contain a key.
pub(super) fn status_error(status: StatusCode, location: Option<&str>) -> Disconnect {
    match status {
        status if status.is_redirection() => {
            let to = match location.map(Url::parse) {
                Some(Ok(url)) => url.host_str().map(|host| format!(" at {host}")),
                // A relative redirect.
                Some(Err(_)) => Some(" at the same host".to_owned()),
                None => None,
            };
            let to = to.unwrap_or_default();
            Disconnect::Rejected(format!(
                "HTTP {status}; redirects are not followed: set `url` to the location{to} that it redirects to"
            ))
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            Disconnect::Answered(format!("HTTP {status}"))
        }
        // Binance's answer to clients that continue after 429.
        StatusCode::IM_A_TEAPOT => {
            Disconnect::Answered(format!("HTTP {status}: this address is temporarily banned"))
        }
        status if status.is_client_error() => Disconnect::Rejected(format!("HTTP {status}")),
        status => Disconnect::Answered(format!("HTTP {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_at_most_an_hour() {
        let mut headers = HeaderMap::new();
        for (value, expected) in [("120", 120), ("99999", 3_600)] {
            headers.insert("retry-after", value.parse().unwrap());
            assert_eq!(retry_after(&headers), Some(Duration::from_secs(expected)));
        }
    }

    #[test]
    fn redirect_error_shows_only_key_and_host() {
        let error_text =
            |location| status_error(StatusCode::MOVED_PERMANENTLY, location).to_string();
        let text = error_text(Some("https://pyth.example/hermes?key=a-secret"));
        assert!(
            text.contains("`url`") && text.contains("at pyth.example that"),
            "{text}"
        );
        assert!(
            !text.contains("a-secret") && !text.contains("/hermes"),
            "{text}"
        );
        assert!(error_text(Some("/v3/a-secret")).contains("at the same host"));
        for nothing in [error_text(None), error_text(Some("data:x"))] {
            assert!(
                nothing.contains("set `url` to the location that"),
                "{nothing}"
            );
        }
    }

    #[test]
    fn is_url_requires_http_and_host() {
        for good in ["http://127.0.0.1:9/a?b=c", "https://example.org"] {
            assert!(is_url(good), "{good}");
        }
        for bad in ["", "example.org", "ws://example.org", "ftp://x", "http://"] {
            assert!(!is_url(bad), "{bad}");
        }
        assert!(is_local(&Secret::new("http://[::1]:9/")));
        assert!(is_local(&Secret::new("http://127.0.0.1:9/")));
        assert!(!is_local(&Secret::new("https://example.org/127.0.0.1")));
    }
}
