//! Refused HTTP requests, with the codes and texts of the reference server.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{
    gateway::{
        address,
        handshakes::{RefusedPage, ServerFull},
        problem::retry_after,
    },
    visitor::RefusedOrigin,
};

/// Why an HTTP request is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    Transport,
    UnknownSession,
    Method,
    BadRequest,
    /// The page's origin is not allowed.
    Forbidden(RefusedOrigin),
    ProtocolVersion,
    /// The body is longer than the `maxPayload` that the client was told.
    TooLarge,
    /// This address, or the server, has too many connections.
    TooMany(address::Refused),
    /// The server is shutting down; come back after so many ms.
    Closing(u64),
}

impl Refused {
    /// When to try again, in ms, where that helps without a change.
    fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Self::TooMany(refused) => Some(refused.retry_after_ms()),
            Self::Closing(after) => Some(*after),
            _ => None,
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let bad = StatusCode::BAD_REQUEST;
        let (status, code, message) = match &self {
            Self::Transport => (bad, 0, "Transport unknown".to_owned()),
            Self::UnknownSession => (bad, 1, "Session ID unknown".to_owned()),
            Self::Method => (bad, 2, "Bad handshake method".to_owned()),
            Self::BadRequest => (bad, 3, "Bad request".to_owned()),
            Self::Forbidden(refused) => (StatusCode::FORBIDDEN, 4, format!("Forbidden: {refused}")),
            Self::ProtocolVersion => (bad, 5, "Unsupported protocol version".to_owned()),
            // The reference has no codes for what follows.
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                3,
                "Payload too large".to_owned(),
            ),
            Self::TooMany(refused) => (refused.status(), 4, refused.to_string()),
            Self::Closing(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                3,
                "The server is going away".to_owned(),
            ),
        };
        let body = Json(json!({"code": code, "message": message}));
        let mut response = (status, body).into_response();
        if let Some(after) = self.retry_after_ms() {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, retry_after(after));
        }
        if matches!(self, Self::TooMany(address::Refused::Total(_))) {
            response.extensions_mut().insert(ServerFull);
        }
        if let Self::Forbidden(refused) = self {
            response.extensions_mut().insert(RefusedPage(refused));
        }
        response
    }
}
