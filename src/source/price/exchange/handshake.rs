//! How a WebSocket is asked for, and why there is none.

use tokio_tungstenite::tungstenite::{
    Error,
    client::IntoClientRequest,
    handshake::client::Request,
    http::{
        HeaderValue,
        header::{LOCATION, USER_AGENT},
    },
};

use super::{
    super::web::{self, Failed},
    connection::{Ended, words},
};
use crate::tls;

/// The request that opens a WebSocket; it says who asks. What a URL cannot have as it is, such as letters of other
/// scripts, is percent-encoded.
pub(super) fn request(url: &str) -> Result<Request, Failed> {
    let request = if url.is_ascii() {
        url.into_client_request()
    } else {
        let encoded = reqwest::Url::parse(url)
            .map_err(|error| Ended::Unreachable(format!("its URL is not valid: {error}")))?;
        encoded.as_str().into_client_request()
    };
    let mut request = request.map_err(|error| unopened(&error))?;
    let name = HeaderValue::from_static(web::USER_AGENT);
    request.headers_mut().insert(USER_AGENT, name);
    Ok(request)
}

/// Why no WebSocket was opened, and how long the venue wants to be left alone: one that answers with a status is there.
pub(super) fn unopened(error: &Error) -> Failed {
    let Error::Http(answer) = error else {
        return Ended::Unreachable(tls::advised(words(&error.to_string()), tls::AUTHORITIES))
            .into();
    };
    let ended = match answer.status() {
        // A page, and not what speaks of prices.
        status if status.is_success() => {
            Ended::Answered(format!("HTTP {status} and opens no WebSocket"))
        }
        status => {
            let location = answer.headers().get(LOCATION);
            web::unserved(status, location.and_then(|value| value.to_str().ok()))
        }
    };
    let after = web::away(answer.headers());
    Failed { ended, after }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_tungstenite::tungstenite::http::Response;

    use super::*;

    #[test]
    fn a_status_that_will_be_the_same_again_is_a_refusal_and_others_are_waited_out() {
        let ended = |status: u16| {
            let answer = Response::builder().status(status).body(None).unwrap();
            unopened(&Error::Http(Box::new(answer))).ended
        };
        for status in [301, 302, 307, 308, 400, 401, 403, 404, 410, 426, 451] {
            let ended = ended(status);
            assert!(matches!(ended, Ended::Rejected(_)), "{status}: {ended}");
        }
        for status in [200, 204, 408, 418, 429, 500, 502, 503, 520] {
            let ended = ended(status);
            assert!(matches!(ended, Ended::Answered(_)), "{status}: {ended}");
        }
        for (status, words) in [
            (200, "it answers HTTP 200 OK and opens no WebSocket"),
            (404, "it refuses: HTTP 404 Not Found"),
            (503, "it answers HTTP 503 Service Unavailable"),
        ] {
            assert_eq!(ended(status).to_string(), words);
        }
    }

    #[test]
    fn any_refusal_may_say_how_long_to_stay_away() {
        for status in [418_u16, 429, 403, 503] {
            let answer = Response::builder()
                .status(status)
                .header("Retry-After", "90");
            let answer = answer.body(None).unwrap();
            let failed = unopened(&Error::Http(Box::new(answer)));
            assert_eq!(failed.after, Some(Duration::from_secs(90)), "{status}");
        }
    }

    #[test]
    fn letters_of_other_scripts_are_percent_encoded() {
        let url = "wss://venue.example/stream?streams=币安人生usdt@trade";
        let request = request(url).unwrap();
        assert_eq!(
            request.uri().to_string(),
            "wss://venue.example/stream?streams=%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9Fusdt@trade"
        );
        // What needs none stays as it is.
        let plain = super::request("ws://127.0.0.1:9/a%2Fb?c=d").unwrap();
        assert_eq!(plain.uri().to_string(), "ws://127.0.0.1:9/a%2Fb?c=d");
    }
}
