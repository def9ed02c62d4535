//! Problem documents for refused HTTP requests: `application/problem+json` (RFC 9457).

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{
    ErrorCode, Refusal,
    auth::AuthError,
    connection_limit::LimitReached,
    handshake_metrics::{OriginRefused, ServerFull},
    request::auth_refusal,
};
use crate::client::RefusedOrigin;

/// A problem document: the response to a refused request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub status: StatusCode,
    /// Stable, for programs.
    pub code: &'static str,
    /// For people.
    pub detail: String,
    /// The retry delay in ms, if the same request can succeed later.
    retry_after_ms: Option<u64>,
    /// The server is at its connection limit.
    full: bool,
    /// The refused origin, for the log.
    refused_origin: Option<RefusedOrigin>,
}

/// Retry delay while the key set cannot be fetched, in ms.
const KEYS_RETRY_AFTER_MS: u64 = 5_000;

/// The value of a `Retry-After` header, in whole seconds, at least 1.
pub fn retry_after(ms: u64) -> HeaderValue {
    ms.div_ceil(1_000).max(1).into()
}

impl Problem {
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            retry_after_ms: None,
            full: false,
            refused_origin: None,
        }
    }

    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", detail)
    }

    /// The request's `Origin` is not allowed.
    pub fn origin(refused: &RefusedOrigin) -> Self {
        Self {
            refused_origin: Some(refused.clone()),
            ..Self::new(StatusCode::FORBIDDEN, "FORBIDDEN", refused.to_string())
        }
    }

    /// The server is shutting down; retry after the given time.
    pub fn closing(retry_after_ms: u64) -> Self {
        Self::unavailable("this server is shutting down; try again", retry_after_ms)
    }

    fn unavailable(detail: impl Into<String>, retry_after_ms: u64) -> Self {
        Self {
            retry_after_ms: Some(retry_after_ms),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", detail)
        }
    }
}

impl From<&AuthError> for Problem {
    fn from(error: &AuthError) -> Self {
        match error {
            AuthError::Unavailable => Self::unavailable(error.to_string(), KEYS_RETRY_AFTER_MS),
            _ => Self::from(&auth_refusal(error)),
        }
    }
}

impl From<&Refusal> for Problem {
    fn from(refusal: &Refusal) -> Self {
        let status = match refusal.code {
            ErrorCode::Unauthorized | ErrorCode::TokenExpired => StatusCode::UNAUTHORIZED,
            ErrorCode::Forbidden => StatusCode::FORBIDDEN,
            ErrorCode::UnknownChannel => StatusCode::NOT_FOUND,
            ErrorCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            ErrorCode::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            ErrorCode::BadRequest | ErrorCode::UnknownEvent | ErrorCode::TooManySubscriptions => {
                StatusCode::BAD_REQUEST
            }
        };
        Self {
            retry_after_ms: refusal.retry_after_ms,
            ..Self::new(status, refusal.code.as_str(), &refusal.message)
        }
    }
}

impl From<LimitReached> for Problem {
    fn from(refused: LimitReached) -> Self {
        let status = refused.status();
        let code = match status {
            StatusCode::TOO_MANY_REQUESTS => "RATE_LIMITED",
            _ => "UNAVAILABLE",
        };
        Self {
            retry_after_ms: Some(refused.retry_after_ms()),
            full: matches!(refused, LimitReached::Total(_)),
            ..Self::new(status, code, refused.to_string())
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
        });
        let mut response = (
            self.status,
            [(header::CONTENT_TYPE, "application/problem+json")],
            body.to_string(),
        )
            .into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        if let Some(after) = self.retry_after_ms {
            let after = retry_after(after);
            response.headers_mut().insert(header::RETRY_AFTER, after);
        }
        if self.full {
            response.extensions_mut().insert(ServerFull);
        }
        if let Some(refused) = self.refused_origin {
            response.extensions_mut().insert(OriginRefused(refused));
        }
        response
    }
}
