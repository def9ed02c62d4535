//! The reasons for refused connections in metrics and logs.

use chaincast_protocol::ErrorCode;

/// All of them.
pub(crate) const REASONS: [&str; 6] = [
    "bad_request",
    "unauthenticated",
    "forbidden",
    "too_many",
    "unavailable",
    "internal",
];

/// The reason for a client refused after the HTTP response, from its error code.
pub(crate) fn refusal_reason(code: Option<ErrorCode>) -> &'static str {
    match code {
        Some(ErrorCode::Unauthorized | ErrorCode::TokenExpired) => "unauthenticated",
        Some(ErrorCode::Forbidden) => "forbidden",
        Some(ErrorCode::RateLimited) => "too_many",
        Some(ErrorCode::Internal) => "internal",
        _ => "bad_request",
    }
}
