//! Error codes and refusals of the client protocol.

use serde::{Deserialize, Serialize};

/// Stable codes of `error` events, failed acks and refused HTTP requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// Not JSON, or a missing or invalid field.
    BadRequest,
    /// No such event.
    UnknownEvent,
    /// No such channel, token, chain or contract.
    UnknownChannel,
    /// A JWT is required, or the JWT is invalid.
    Unauthorized,
    /// The JWT does not allow this channel.
    Forbidden,
    /// Too many requests; retry after `retryAfterMs`.
    RateLimited,
    /// A limit of the session or of watched transactions and addresses is reached.
    TooManySubscriptions,
    /// The message exceeds the limit.
    PayloadTooLarge,
    /// The JWT has expired.
    TokenExpired,
    /// The room has as many members as it may have.
    RoomFull,
    /// A failure of the server; retry.
    Internal,
    /// A code of a newer server. Only parsing gives it.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
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
            Self::RoomFull => "ROOM_FULL",
            Self::Internal => "INTERNAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// Why a request, or one of its channels, was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[error("{}: {message}", code.as_str())]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// For programs.
    pub code: ErrorCode,
    /// For people, and may change: what is wrong and what to do.
    pub message: String,
    /// Delay before the same request can succeed, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl Refusal {
    /// The event whose data it is.
    pub const EVENT: &str = "error";

    /// A refusal without a delay.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after_ms: None,
        }
    }

    /// [`ErrorCode::BadRequest`]: the client must change the request.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::BadRequest, message)
    }

    /// [`ErrorCode::RateLimited`], with the delay before the next request, in ms.
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
    fn code_texts_match_json() {
        use ErrorCode::*;
        for code in [
            BadRequest,
            UnknownEvent,
            UnknownChannel,
            Unauthorized,
            Forbidden,
            RateLimited,
            TooManySubscriptions,
            PayloadTooLarge,
            TokenExpired,
            RoomFull,
            Internal,
        ] {
            let json = serde_json::to_string(&code).unwrap();
            assert_eq!(json, format!("{:?}", code.as_str()));
            assert_eq!(serde_json::from_str::<ErrorCode>(&json).unwrap(), code);
        }
    }

    #[test]
    fn refusal_of_newer_server_keeps_its_message() {
        let text = r#"{"code":"NOVEL_CODE","message":"not today","more":1}"#;
        let refusal: Refusal = serde_json::from_str(text).unwrap();
        assert_eq!(refusal, Refusal::new(ErrorCode::Unknown, "not today"));
    }

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
