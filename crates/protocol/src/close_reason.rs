//! Why a session ended: the close code, its text, and whether the client should reconnect.

use std::borrow::Cow;

use super::{
    ErrorCode,
    control::{RetryAfter, to_json},
    frame::FrameError,
};

/// The reason for the end of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseReason {
    /// The client closed the connection with this code (1005 for none).
    Left(u16),
    /// The connection broke without a close.
    Lost,
    /// This server is shutting down.
    GoingAway {
        /// Delay before the client should reconnect, in ms.
        retry_after_ms: u64,
    },
    /// The client violated the transport's protocol.
    Protocol(&'static str),
    /// A text message was not UTF-8.
    NotText,
    /// A message was longer than `limits.message_bytes`.
    TooBig,
    /// Nothing arrived for the ping interval and timeout.
    Silent,
    /// The backlog exceeded `limits.backlog_bytes` in a mode that must not skip updates.
    Slow,
    /// Kept exceeding the rate limit.
    Abuse,
    /// The client's address, or the server, is at its connection limit.
    TooManyConnections,
    /// The JWT is missing, invalid or expired.
    Unauthenticated(ErrorCode),
    /// A moderator ended the sessions of its user.
    Disconnected,
}

impl CloseReason {
    /// The WebSocket close code (RFC 6455 section 7.4; 4000 and up are this protocol's own).
    pub fn code(&self) -> u16 {
        match self {
            Self::Left(code) => *code,
            Self::Lost => 1006,
            Self::GoingAway { .. } => 1001,
            Self::Protocol(_) => 1002,
            Self::NotText => 1007,
            Self::TooBig => 1009,
            Self::Silent => 4000,
            Self::Slow => 4008,
            Self::Abuse => 4029,
            Self::TooManyConnections => 4030,
            Self::Unauthenticated(_) => 4401,
            Self::Disconnected => 4403,
        }
    }

    /// One word for logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Left(_) => "left",
            Self::Lost => "lost",
            Self::GoingAway { .. } => "going_away",
            Self::Protocol(_) => "protocol",
            Self::NotText => "not_text",
            Self::TooBig => "too_big",
            Self::Silent => "silent",
            Self::Slow => "slow",
            Self::Abuse => "abuse",
            Self::TooManyConnections => "too_many_connections",
            Self::Unauthenticated(ErrorCode::TokenExpired) => "token_expired",
            Self::Unauthenticated(_) => "unauthenticated",
            Self::Disconnected => "disconnected",
        }
    }

    /// The text of the close frame, at most 123 bytes.
    pub fn text(&self) -> Cow<'static, str> {
        match self {
            Self::Left(_) | Self::Lost => "".into(),
            Self::GoingAway { retry_after_ms } => {
                let retry_after_ms = *retry_after_ms;
                to_json(&RetryAfter { retry_after_ms }).into()
            }
            Self::Protocol(what) => (*what).into(),
            Self::NotText => "text is not UTF-8".into(),
            Self::TooBig => "message too big".into(),
            Self::Silent => "heartbeat missed".into(),
            Self::Slow => "slow consumer: resume with since".into(),
            Self::Abuse => "kept exceeding the rate limit".into(),
            Self::TooManyConnections => "too many connections".into(),
            Self::Unauthenticated(ErrorCode::TokenExpired) => "token expired".into(),
            Self::Unauthenticated(_) => "unauthenticated".into(),
            Self::Disconnected => "disconnected by a moderator".into(),
        }
    }

    /// Whether the client should reconnect without a change.
    pub fn reconnect(&self) -> bool {
        !matches!(
            self,
            Self::Left(_) | Self::Protocol(_) | Self::Unauthenticated(_) | Self::Disconnected
        )
    }

    /// Whether close packets can still reach the client.
    pub fn notifies_peer(&self) -> bool {
        !matches!(self, Self::Lost)
    }

    /// Whether queued packets are sent before the close packets.
    pub fn keeps_backlog(&self) -> bool {
        matches!(
            self,
            Self::GoingAway { .. }
                | Self::Abuse
                | Self::Unauthenticated(_)
                | Self::Disconnected
                | Self::Protocol(_)
                | Self::NotText
                | Self::TooBig
        )
    }
}

impl From<FrameError> for CloseReason {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Protocol(what) => Self::Protocol(what),
            FrameError::NotText => Self::NotText,
            FrameError::TooBig => Self::TooBig,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_fit_into_a_close_frame() {
        let reasons = [
            CloseReason::GoingAway {
                retry_after_ms: u64::MAX,
            },
            CloseReason::Slow,
            CloseReason::Abuse,
            CloseReason::Unauthenticated(ErrorCode::TokenExpired),
        ];
        for reason in reasons {
            assert!(reason.text().len() <= 123, "{reason:?}");
        }
    }

    #[test]
    fn reconnects_unless_a_change_is_needed() {
        for (reason, reconnect) in [
            (CloseReason::GoingAway { retry_after_ms: 1 }, true),
            (CloseReason::TooBig, true),
            (CloseReason::Silent, true),
            (CloseReason::Slow, true),
            (CloseReason::Abuse, true),
            (CloseReason::TooManyConnections, true),
            (CloseReason::Unauthenticated(ErrorCode::Unauthorized), false),
            (CloseReason::Disconnected, false),
        ] {
            assert_eq!(reason.reconnect(), reconnect, "{reason:?}");
        }
    }
}
