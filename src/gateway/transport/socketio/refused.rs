//! Refused HTTP requests, with the codes and texts of the reference server.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

/// Why an HTTP request is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    Transport,
    UnknownSession,
    Method,
    BadRequest,
    /// The origin is not allowed.
    Forbidden,
    ProtocolVersion,
    /// The body is longer than the `maxPayload` that the client was told.
    TooLarge,
    /// This address, or the server, has too many connections; says which.
    TooMany(String),
    /// The server is shutting down.
    Closing,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, code, message) = match self {
            Self::Transport => (StatusCode::BAD_REQUEST, 0, "Transport unknown".to_owned()),
            Self::UnknownSession => (StatusCode::BAD_REQUEST, 1, "Session ID unknown".to_owned()),
            Self::Method => (
                StatusCode::BAD_REQUEST,
                2,
                "Bad handshake method".to_owned(),
            ),
            Self::BadRequest => (StatusCode::BAD_REQUEST, 3, "Bad request".to_owned()),
            Self::Forbidden => (StatusCode::FORBIDDEN, 4, "Forbidden".to_owned()),
            Self::ProtocolVersion => (
                StatusCode::BAD_REQUEST,
                5,
                "Unsupported protocol version".to_owned(),
            ),
            // The reference has no codes for what follows.
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                3,
                "Payload too large".to_owned(),
            ),
            Self::TooMany(message) => (StatusCode::TOO_MANY_REQUESTS, 4, message),
            Self::Closing => (
                StatusCode::SERVICE_UNAVAILABLE,
                3,
                "The server is going away".to_owned(),
            ),
        };
        (status, Json(json!({"code": code, "message": message}))).into_response()
    }
}
