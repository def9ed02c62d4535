//! What feeds over HTTP have in common: a client, what an answer that is no answer means, and how long to stay away.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{HeaderMap, LOCATION, RETRY_AFTER},
    redirect::Policy,
};

use super::exchange::{Ended, words};
use crate::{model::Secret, tls};

/// What we call ourselves at venues: some answer nobody who does not say.
pub(super) const USER_AGENT: &str = concat!("chaincast/", env!("CARGO_PKG_VERSION"));
/// Longest that a server can send us away for.
const LONGEST_AWAY: Duration = Duration::from_secs(3_600);

/// An attempt that failed, and how long the server wants to be left alone, if it says.
#[derive(Debug)]
pub(super) struct Failed {
    pub ended: Ended,
    pub after: Option<Duration>,
}

impl From<Ended> for Failed {
    fn from(ended: Ended) -> Self {
        Self { ended, after: None }
    }
}

/// A client that follows no redirect: a header with a secret is for the host that is configured.
pub(super) fn client(connect_timeout: Duration, is_local: bool) -> Result<Client, Ended> {
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
        .map_err(|error| Ended::Unreachable(error.without_url().to_string()))
}

/// Whether a text is a URL that can be fetched.
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

/// An error of a request, without the URL, which may hold a key.
pub(super) fn broken(error: reqwest::Error) -> Ended {
    let connecting = error.is_connect();
    let error = error.without_url();
    let text = tls::advised(words(&tls::causes(&error)), tls::AUTHORITIES);
    if connecting {
        Ended::Unreachable(text)
    } else {
        Ended::Broken(text)
    }
}

/// The answer, when it is a good one. `unauthorized` is what to do where it is not for want of a key.
pub(super) fn accepted(response: Response, unauthorized: &str) -> Result<Response, Failed> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let after = away(response.headers());
    let ended = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Ended::Rejected(format!("HTTP {status}; {unauthorized}"))
        }
        status => {
            let location = response.headers().get(LOCATION);
            let location = location.and_then(|value| value.to_str().ok());
            unserved(status, location)
        }
    };
    Err(Failed { ended, after })
}

/// How long an answer asks us to stay away, when it does.
pub(super) fn away(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    retry_after(value, Utc::now())
}

/// What a status means that is not the one hoped for: a refusal, where asking the same again is of no use before
/// somebody mends something; else an answer that may be another one soon. Of where a redirect leads only the host is
/// shown: the rest may hold a key.
pub(super) fn unserved(status: StatusCode, location: Option<&str>) -> Ended {
    match status {
        status if status.is_redirection() => {
            let to = match location.map(Url::parse) {
                Some(Ok(url)) => url.host_str().map(|host| format!(" at {host}")),
                // Without a host it leads to another place of the same one.
                Some(Err(_)) => Some(" at the same host".to_owned()),
                None => None,
            };
            let to = to.unwrap_or_default();
            Ended::Rejected(format!(
                "HTTP {status}; redirects are not followed: set `url` to the place{to} that it redirects to"
            ))
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            Ended::Answered(format!("HTTP {status}"))
        }
        // So Binance answers who went on after 429.
        StatusCode::IM_A_TEAPOT => Ended::Answered(format!(
            "HTTP {status}: it has shut this address out for a while"
        )),
        status if status.is_client_error() => Ended::Rejected(format!("HTTP {status}")),
        status => Ended::Answered(format!("HTTP {status}")),
    }
}

/// How long to stay away: `Retry-After` of RFC 9110 (section 10.2.3), in seconds or as a date. At most an hour.
fn retry_after(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|c| c.is_ascii_digit()) {
        // More digits than fit are longer than any bound.
        let seconds = value.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(LONGEST_AWAY));
    }
    let wait = date(value)?.signed_duration_since(now);
    Some(wait.to_std().unwrap_or(Duration::ZERO).min(LONGEST_AWAY))
}

/// An HTTP-date of RFC 9110 (section 5.6.7), in the form of today and in the two of before, which are to be read too.
fn date(value: &str) -> Option<DateTime<Utc>> {
    if let Ok(date) = DateTime::parse_from_rfc2822(value) {
        return Some(date.with_timezone(&Utc));
    }
    let mut forms = ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"].into_iter();
    let date = forms.find_map(|form| NaiveDateTime::parse_from_str(value, form).ok())?;
    Some(date.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_may_send_us_away_by_seconds_or_by_a_date() {
        let now = DateTime::parse_from_rfc3339("2015-10-21T07:27:00Z").unwrap();
        let after = |value| retry_after(value, now.with_timezone(&Utc));
        assert_eq!(after("120"), Some(Duration::from_secs(120)));
        assert_eq!(after(" 0 "), Some(Duration::ZERO));
        let date = "Wed, 21 Oct 2015 07:28:00 GMT";
        assert_eq!(after(date), Some(Duration::from_secs(60)));
        for old in [
            "Wednesday, 21-Oct-15 07:28:00 GMT",
            "Wed Oct 21 07:28:00 2015",
        ] {
            assert_eq!(after(old), Some(Duration::from_secs(60)), "{old}");
        }
        let past = "Wed, 21 Oct 2015 07:26:00 GMT";
        assert_eq!(after(past), Some(Duration::ZERO));
        for much in ["99999", "99999999999999999999999"] {
            assert_eq!(after(much), Some(LONGEST_AWAY));
        }
        for wrong in ["", "-1", "soon", "1.5"] {
            assert_eq!(after(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_redirect_names_the_key_and_the_host_alone() {
        let words = |location| unserved(StatusCode::MOVED_PERMANENTLY, location).to_string();
        let told = words(Some("https://pyth.example/hermes?key=a-secret"));
        assert!(
            told.contains("`url`") && told.contains("at pyth.example that"),
            "{told}"
        );
        assert!(
            !told.contains("a-secret") && !told.contains("/hermes"),
            "{told}"
        );
        assert!(words(Some("/v3/a-secret")).contains("at the same host"));
        for nothing in [words(None), words(Some("data:x"))] {
            assert!(nothing.contains("set `url` to the place that"), "{nothing}");
        }
    }

    #[test]
    fn a_url_is_of_http_and_has_a_host() {
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
