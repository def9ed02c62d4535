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
    match error {
        Error::Http(answer) => Ended::Answered(format!("HTTP {}", answer.status())),
        error => Ended::Unreachable(words(&error.to_string())),
    }
}
