//! The opening handshake of a WebSocket (RFC 6455 section 4.2) on an HTTP/1.1 request.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::deflate_negotiation::DeflateParams;
use super::problem::Problem;
use chaincast_protocol::{ErrorCode, frame::Compression};

/// A valid request for a WebSocket.
pub struct Upgrade {
    accept: String,
    protocol: Option<&'static str>,
    deflate: Option<DeflateParams>,
    on: OnUpgrade,
}

/// The connection that is available after the 101 response.
pub struct PendingUpgrade {
    pub(super) on: OnUpgrade,
    /// How the client may compress its messages.
    pub(super) compression: Compression,
}

/// Why a request for a WebSocket is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    #[error("this endpoint requires a WebSocket client")]
    NotWebSocket,
    #[error("only version 13 of the WebSocket protocol is supported")]
    Version,
    #[error("Sec-WebSocket-Key must be 16 bytes in base64")]
    Key,
    #[error("this connection cannot be upgraded: use HTTP/1.1")]
    NotUpgradable,
}

impl IntoResponse for HandshakeError {
    fn into_response(self) -> Response {
        let required = |name, value| {
            let status = StatusCode::UPGRADE_REQUIRED;
            let problem = Problem::new(status, ErrorCode::BadRequest.as_str(), self.to_string());
            ([(name, HeaderValue::from_static(value))], problem).into_response()
        };
        match self {
            Self::NotWebSocket => required(header::UPGRADE, "websocket"),
            Self::Version => required(header::SEC_WEBSOCKET_VERSION, "13"),
            Self::Key | Self::NotUpgradable => Problem::malformed(self.to_string()).into_response(),
        }
    }
}

impl Upgrade {
    /// Checks the request. `protocols` are the supported subprotocols; the first of the client's offers among them is
    /// chosen, if any. `compression` is what the server accepts.
    pub fn check(
        request: &mut Request,
        protocols: &[&'static str],
        compression: Compression,
    ) -> Result<Self, HandshakeError> {
        let headers = request.headers();
        if request.method() != Method::GET
            || !has_token(headers, &header::CONNECTION, "upgrade")
            || !has_token(headers, &header::UPGRADE, "websocket")
        {
            return Err(HandshakeError::NotWebSocket);
        }
        let version = headers.get(header::SEC_WEBSOCKET_VERSION);
        if version.is_none_or(|version| version != "13") {
            return Err(HandshakeError::Version);
        }
        let is_key = |key: &&HeaderValue| {
            BASE64_STANDARD
                .decode(key)
                .is_ok_and(|bytes| bytes.len() == 16)
        };
        let key = headers
            .get(header::SEC_WEBSOCKET_KEY)
            .filter(is_key)
            .ok_or(HandshakeError::Key)?;
        let accept = derive_accept_key(key.as_bytes());
        let protocol = tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL)
            .find_map(|offered| protocols.iter().copied().find(|served| *served == offered));
        let offers = headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS).iter();
        let deflate = (compression == Compression::Deflate)
            .then(|| DeflateParams::negotiate(offers.filter_map(|value| value.to_str().ok())))
            .flatten();
        let on = request
            .extensions_mut()
            .remove::<OnUpgrade>()
            .ok_or(HandshakeError::NotUpgradable)?;
        Ok(Self {
            accept,
            protocol,
            deflate,
            on,
        })
    }

    /// The negotiated subprotocol.
    pub fn protocol(&self) -> Option<&'static str> {
        self.protocol
    }

    /// Whether messages to this client may be compressed.
    pub fn deflate(&self) -> bool {
        self.deflate.is_some_and(DeflateParams::can_send)
    }

    /// The 101 response, and the connection that follows it.
    pub fn accept(self) -> (Response, PendingUpgrade) {
        let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        // Base64 is always a header value.
        if let Ok(accept) = HeaderValue::from_str(&self.accept) {
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        }
        if let Some(protocol) = self.protocol {
            headers.insert(
                header::SEC_WEBSOCKET_PROTOCOL,
                HeaderValue::from_static(protocol),
            );
        }
        if let Some(deflate) = self.deflate
            && let Ok(answer) = HeaderValue::from_str(&deflate.header())
        {
            headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, answer);
        }
        let pending = PendingUpgrade {
            on: self.on,
            compression: match self.deflate {
                Some(_) => Compression::Deflate,
                None => Compression::None,
            },
        };
        (response, pending)
    }
}

/// Whether a list header contains this token, ignoring case.
fn has_token(headers: &HeaderMap, name: &header::HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|each| each.eq_ignore_ascii_case(token))
}

/// The tokens of a list header, in order.
fn tokens<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}
