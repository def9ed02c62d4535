//! Error codes and refusals of the client protocol.

use serde::{Serialize, Serializer};

/// Stable codes of `error` events, failed acks and refused HTTP requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    BadRequest,
    UnknownEvent,
    UnknownChannel,
    Unauthorized,
    Forbidden,
    RateLimited,
    TooManySubscriptions,
    PayloadTooLarge,
    TokenExpired,
    Internal,
}

impl ErrorCode {
    /// The code on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "BAD_REQUEST",
            Self::UnknownEvent => "UNKNOWN_EVENT",
            Self::UnknownChannel => "UNKNOWN_CHANNEL",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Forbidden => "FORBIDDEN",
            Self::RateLimited => "RATE_LIMITED",
            Self::TooManySubscriptions => "TOO_MANY_SUBSCRIPTIONS",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::TokenExpired => "TOKEN_EXPIRED",
            Self::Internal => "INTERNAL",
        }
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A refused request: the `data` of an `error` event, and the `error` of a failed ack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    pub code: ErrorCode,
    /// For people: what is wrong and what to do.
    pub message: String,
    /// Delay before the same request can succeed, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl Refusal {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after_ms: None,
        }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::BadRequest, message)
    }

    pub fn rate_limited(retry_after_ms: u64) -> Self {
        Self {
            retry_after_ms: Some(retry_after_ms),
            ..Self::new(ErrorCode::RateLimited, "Rate limit exceeded")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_serializes_as_documented() {
        let text = serde_json::to_string(&Refusal::rate_limited(1200)).unwrap();
        assert_eq!(
            text,
            r#"{"code":"RATE_LIMITED","message":"Rate limit exceeded","retryAfterMs":1200}"#
        );
        let text = serde_json::to_string(&Refusal::bad_request("no")).unwrap();
        assert_eq!(text, r#"{"code":"BAD_REQUEST","message":"no"}"#);
    }
}
