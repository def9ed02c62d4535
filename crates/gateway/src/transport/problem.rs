//! What the problem documents of refused HTTP requests say.

use std::borrow::Cow;

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};

pub(crate) use chaincast_http::problem::retry_after;
use chaincast_http::{client::RefusedOrigin, problem};
use chaincast_protocol::{ErrorCode, Refusal};

use super::refusals::{OriginRefused, ServerFull};
use crate::{admission::LimitReached, auth::AuthError};

/// Retry delay while the key set cannot be fetched, in ms.
const KEYS_RETRY_AFTER_MS: u64 = 5_000;
/// The code of a 503 response; no message of a session has it.
const UNAVAILABLE: &str = "UNAVAILABLE";

/// The problem of a refused HTTP request, with an [`ErrorCode`] or [`UNAVAILABLE`].
#[derive(Debug, Clone)]
pub(crate) struct Problem(problem::Problem);

impl Problem {
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self(problem::Problem::new(status, code, detail))
    }

    /// A request that is not one of the protocol.
    pub(crate) fn malformed(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            ErrorCode::BadRequest.as_str(),
            detail,
        )
    }

    /// The request's `Origin` is not allowed.
    pub(crate) fn origin(refused: &RefusedOrigin) -> Self {
        let code = ErrorCode::Forbidden.as_str();
        let problem = Self::new(StatusCode::FORBIDDEN, code, refused.to_string());
        Self(problem.0.with_extension(OriginRefused(refused.clone())))
    }

    /// The server is shutting down; retry after the given time.
    pub(crate) fn closing(retry_after_ms: u64) -> Self {
        Self::retry_later("this server is shutting down; try again", retry_after_ms)
    }

    fn retry_later(detail: impl Into<Cow<'static, str>>, retry_after_ms: u64) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE, detail)
            .with_retry_after_ms(retry_after_ms)
    }

    fn with_retry_after_ms(self, ms: u64) -> Self {
        Self(self.0.with_retry_after_ms(ms))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

impl From<&AuthError> for Problem {
    fn from(error: &AuthError) -> Self {
        match error {
            AuthError::Unavailable => Self::retry_later(error.to_string(), KEYS_RETRY_AFTER_MS),
            _ => Self::from(&Refusal::from(error)),
        }
    }
}

impl From<&Refusal> for Problem {
    fn from(refusal: &Refusal) -> Self {
        let status = match refusal.code {
            ErrorCode::Unauthorized | ErrorCode::TokenExpired => StatusCode::UNAUTHORIZED,
            ErrorCode::Forbidden => StatusCode::FORBIDDEN,
            ErrorCode::UnknownChannel => StatusCode::NOT_FOUND,
            ErrorCode::RoomFull => StatusCode::CONFLICT,
            ErrorCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            ErrorCode::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            ErrorCode::BadRequest
            | ErrorCode::UnknownEvent
            | ErrorCode::TooManySubscriptions
            | ErrorCode::Unknown => StatusCode::BAD_REQUEST,
        };
        let problem = Self::new(status, refusal.code.as_str(), refusal.message.clone());
        match refusal.retry_after_ms {
            Some(ms) => problem.with_retry_after_ms(ms),
            None => problem,
        }
    }
}

impl From<LimitReached> for Problem {
    fn from(refused: LimitReached) -> Self {
        let status = refused.status();
        let code = match status {
            StatusCode::TOO_MANY_REQUESTS => ErrorCode::RateLimited.as_str(),
            _ => UNAVAILABLE,
        };
        let problem = Self::new(status, code, refused.to_string())
            .with_retry_after_ms(refused.retry_after_ms());
        match refused {
            LimitReached::Total(_) => Self(problem.0.with_extension(ServerFull)),
            _ => problem,
        }
    }
}
