//! HTTP error responses, with the codes and texts of the reference server.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::super::{
    problem::retry_after,
    refusals::{OriginRefused, ServerFull},
};
use crate::admission::LimitReached;
use chaincast_http::client::RefusedOrigin;

/// Why an HTTP request is rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EngineError {
    Transport,
    UnknownSession,
    Method,
    BadRequest,
    /// The page's origin is not allowed.
    Forbidden(RefusedOrigin),
    ProtocolVersion,
    /// The body is longer than the announced `maxPayload`.
    TooLarge,
    /// This address, or the server, has too many connections.
    TooMany(LimitReached),
    /// The server is shutting down; retry after this many ms.
    Closing(u64),
}

impl EngineError {
    /// The retry delay in ms, if a retry can succeed.
    fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Self::TooMany(refused) => Some(refused.retry_after_ms()),
            Self::Closing(after) => Some(*after),
            _ => None,
        }
    }
}

impl IntoResponse for EngineError {
    fn into_response(self) -> Response {
        let bad = StatusCode::BAD_REQUEST;
        let (status, code, message) = match &self {
            Self::Transport => (bad, 0, "Transport unknown".to_owned()),
            Self::UnknownSession => (bad, 1, "Session ID unknown".to_owned()),
            Self::Method => (bad, 2, "Bad handshake method".to_owned()),
            Self::BadRequest => (bad, 3, "Bad request".to_owned()),
            Self::Forbidden(refused) => (StatusCode::FORBIDDEN, 4, format!("Forbidden: {refused}")),
            Self::ProtocolVersion => (bad, 5, "Unsupported protocol version".to_owned()),
            // The reference server has no codes for the rest.
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                3,
                "Payload too large".to_owned(),
            ),
            Self::TooMany(refused) => (refused.status(), 4, refused.to_string()),
            Self::Closing(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                3,
                "The server is shutting down".to_owned(),
            ),
        };
        let body = Json(json!({"code": code, "message": message}));
        let mut response = (status, body).into_response();
        if let Some(after) = self.retry_after_ms() {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, retry_after(after));
        }
        if matches!(self, Self::TooMany(LimitReached::Total(_))) {
            response.extensions_mut().insert(ServerFull);
        }
        if let Self::Forbidden(refused) = self {
            response.extensions_mut().insert(OriginRefused(refused));
        }
        response
    }
}
