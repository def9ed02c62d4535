//! The WebSocket handshake with a venue: request and errors.

use tokio_tungstenite::tungstenite::{
    Error,
    client::IntoClientRequest,
    handshake::client::Request,
    http::{
        HeaderValue,
        header::{LOCATION, USER_AGENT},
    },
};

use super::super::{
    disconnect::Disconnect,
    http_client::{self, FailedAttempt},
    sanitized::sanitized,
};
use chaincast_base::tls;

/// The opening request, with a User-Agent. Characters that a URL cannot contain are percent-encoded.
pub(super) fn request(url: &str) -> Result<Request, FailedAttempt> {
    let request = if url.is_ascii() {
        url.into_client_request()
    } else {
        let encoded = reqwest::Url::parse(url)
            .map_err(|error| Disconnect::Unreachable(format!("invalid URL: {error}")))?;
        encoded.as_str().into_client_request()
    };
    let mut request = request.map_err(|error| handshake_error(&error))?;
    let name = HeaderValue::from_static(http_client::USER_AGENT);
    request.headers_mut().insert(USER_AGENT, name);
    Ok(request)
}

/// Why the handshake failed, and the venue's `Retry-After`. A venue that answers with a status is reachable.
pub(super) fn handshake_error(error: &Error) -> FailedAttempt {
    let Error::Http(answer) = error else {
        return Disconnect::Unreachable(tls::with_advice(
            sanitized(&error.to_string()),
            tls::CA_FILE_VARIABLE,
        ))
        .into();
    };
    let reason = match answer.status() {
        // A web page instead of a WebSocket endpoint.
        status if status.is_success() => {
            Disconnect::Answered(format!("HTTP {status} instead of a WebSocket upgrade"))
        }
        status => {
            let location = answer.headers().get(LOCATION);
            http_client::status_error(status, location.and_then(|value| value.to_str().ok()))
        }
    };
    let retry_after = http_client::retry_after(answer.headers());
    FailedAttempt {
        reason,
        retry_after,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_tungstenite::tungstenite::http::Response;

    use super::*;

    #[test]
    fn status_is_permanent_or_temporary() {
        let reason = |status: u16| {
            let answer = Response::builder().status(status).body(None).unwrap();
            handshake_error(&Error::Http(Box::new(answer))).reason
        };
        for status in [301, 302, 307, 308, 400, 401, 403, 404, 410, 426, 451] {
            let reason = reason(status);
            assert!(
                matches!(reason, Disconnect::Rejected(_)),
                "{status}: {reason}"
            );
        }
        for status in [200, 204, 408, 418, 429, 500, 502, 503, 520] {
            let reason = reason(status);
            assert!(
                matches!(reason, Disconnect::Answered(_)),
                "{status}: {reason}"
            );
        }
        for (status, expected) in [
            (200, "answered HTTP 200 OK instead of a WebSocket upgrade"),
            (404, "rejected: HTTP 404 Not Found"),
            (503, "answered HTTP 503 Service Unavailable"),
        ] {
            assert_eq!(reason(status).to_string(), expected);
        }
    }

    #[test]
    fn reads_retry_after_of_any_error_status() {
        for status in [418_u16, 429, 403, 503] {
            let answer = Response::builder()
                .status(status)
                .header("Retry-After", "90");
            let answer = answer.body(None).unwrap();
            let failed = handshake_error(&Error::Http(Box::new(answer)));
            assert_eq!(
                failed.retry_after,
                Some(Duration::from_secs(90)),
                "{status}"
            );
        }
    }

    #[test]
    fn request_url_is_percent_encoded() {
        let url = "wss://venue.example/stream?streams=币安人生usdt@trade";
        let request = request(url).unwrap();
        assert_eq!(
            request.uri().to_string(),
            "wss://venue.example/stream?streams=%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9Fusdt@trade"
        );
        // URLs that need no encoding stay unchanged.
        let plain = super::request("ws://127.0.0.1:9/a%2Fb?c=d").unwrap();
        assert_eq!(plain.uri().to_string(), "ws://127.0.0.1:9/a%2Fb?c=d");
    }
}
