//! Refused HTTP requests, as `application/problem+json` (RFC 9457).

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{
    ErrorCode, Refusal,
    address::Refused,
    auth::AuthError,
    handshakes::{RefusedPage, ServerFull},
    request::refusal_of,
};
use crate::visitor::RefusedOrigin;

/// A problem document: what a refused request is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub status: StatusCode,
    /// Stable, for programs.
    pub code: &'static str,
    /// For people.
    pub detail: String,
    /// When to try again, in ms, where that helps without a change.
    retry_after_ms: Option<u64>,
    /// The server has as many sessions as it may.
    full: bool,
    /// The page that may not connect, for the log.
    page: Option<RefusedOrigin>,
}

/// How long keys that tokens are judged by may take to be there again, in ms.
const KEYS_AFTER_MS: u64 = 5_000;

/// The value of a `Retry-After`, in whole seconds and never none.
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
            page: None,
        }
    }

    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", detail)
    }

    /// Pages of the request's `Origin` may not connect.
    pub fn origin(refused: &RefusedOrigin) -> Self {
        Self {
            page: Some(refused.clone()),
            ..Self::new(StatusCode::FORBIDDEN, "FORBIDDEN", refused.to_string())
        }
    }

    /// The server takes no more sessions; another one may after so many ms.
    pub fn closing(retry_after_ms: u64) -> Self {
        Self::unavailable("this server is going down; try again", retry_after_ms)
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
            AuthError::Unavailable => Self::unavailable(error.to_string(), KEYS_AFTER_MS),
            _ => Self::from(&refusal_of(error)),
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

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let status = refused.status();
        let code = match status {
            StatusCode::TOO_MANY_REQUESTS => "RATE_LIMITED",
            _ => "UNAVAILABLE",
        };
        Self {
            retry_after_ms: Some(refused.retry_after_ms()),
            full: matches!(refused, Refused::Total(_)),
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
        if let Some(page) = self.page {
            response.extensions_mut().insert(RefusedPage(page));
        }
        response
    }
}
