//! How a WebSocket is asked for, and why there is none.

use tokio_tungstenite::tungstenite::{
    Error,
    client::IntoClientRequest,
    handshake::client::Request,
    http::{HeaderValue, header::USER_AGENT},
};

use super::{
    super::web,
    connection::{Ended, words},
};

/// The request that opens a WebSocket; it says who asks.
pub(super) fn request(url: &str) -> Result<Request, Ended> {
    let request = url.into_client_request();
    let mut request = request.map_err(|error| unopened(&error))?;
    let name = HeaderValue::from_static(web::USER_AGENT);
    request.headers_mut().insert(USER_AGENT, name);
    Ok(request)
}

/// Why no WebSocket was opened: a venue that answers with a status is there.
pub(super) fn unopened(error: &Error) -> Ended {
    let Error::Http(answer) = error else {
        return Ended::Unreachable(words(&error.to_string()));
    };
    match answer.status() {
        // A page, and not what speaks of prices.
        status if status.is_success() => {
            Ended::Answered(format!("HTTP {status} and opens no WebSocket"))
        }
        status => web::unserved(status),
    }
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::http::Response;

    use super::*;

    #[test]
    fn a_status_that_will_be_the_same_again_is_a_refusal_and_others_are_waited_out() {
        let ended = |status: u16| {
            let answer = Response::builder().status(status).body(None).unwrap();
            unopened(&Error::Http(Box::new(answer)))
        };
        for status in [301, 302, 307, 308, 400, 401, 403, 404, 410, 426, 451] {
            let ended = ended(status);
            assert!(matches!(ended, Ended::Rejected(_)), "{status}: {ended}");
        }
        for status in [200, 204, 408, 429, 500, 502, 503, 520] {
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
}
