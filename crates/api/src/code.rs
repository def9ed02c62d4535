//! The codes of REST's problem documents: stable, for programs.

/// What a request failed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    AlertsFull,
    BadRequest,
    Forbidden,
    Gone,
    IdempotencyKeyReused,
    Internal,
    InvalidCondition,
    InvalidHysteresis,
    InvalidIdempotencyKey,
    InvalidNote,
    InvalidRepeat,
    InvalidThreshold,
    InvalidToken,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    RateLimited,
    TokenExpired,
    TooManyAlerts,
    Unauthorized,
    Unavailable,
    UnknownChain,
    UnknownChannel,
    UnknownToken,
}

impl Code {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::AlertsFull => "ALERTS_FULL",
            Self::BadRequest => "BAD_REQUEST",
            Self::Forbidden => "FORBIDDEN",
            Self::Gone => "GONE",
            Self::IdempotencyKeyReused => "IDEMPOTENCY_KEY_REUSED",
            Self::Internal => "INTERNAL",
            Self::InvalidCondition => "INVALID_CONDITION",
            Self::InvalidHysteresis => "INVALID_HYSTERESIS",
            Self::InvalidIdempotencyKey => "INVALID_IDEMPOTENCY_KEY",
            Self::InvalidNote => "INVALID_NOTE",
            Self::InvalidRepeat => "INVALID_REPEAT",
            Self::InvalidThreshold => "INVALID_THRESHOLD",
            Self::InvalidToken => "INVALID_TOKEN",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::NotFound => "NOT_FOUND",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::RateLimited => "RATE_LIMITED",
            Self::TokenExpired => "TOKEN_EXPIRED",
            Self::TooManyAlerts => "TOO_MANY_ALERTS",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Unavailable => "UNAVAILABLE",
            Self::UnknownChain => "UNKNOWN_CHAIN",
            Self::UnknownChannel => "UNKNOWN_CHANNEL",
            Self::UnknownToken => "UNKNOWN_TOKEN",
        }
    }
}
