//! Why a feed lost its venue.

use std::time::Duration;

/// Why a connection ended or could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Disconnect {
    #[error("cannot connect: {0}")]
    Unreachable(String),
    /// The server answered, but not with what was requested.
    #[error("answered {0}")]
    Answered(String),
    #[error("unreadable answer: {0}")]
    Unreadable(String),
    #[error("the venue closed the connection{0}")]
    Closed(String),
    #[error("connection failed: {0}")]
    Broken(String),
    #[error("no data for {0:?}")]
    Silent(Duration),
    #[error("message larger than {0} bytes")]
    TooLarge(usize),
    #[error("rejected: {0}")]
    Rejected(String),
    #[error("the venue announced that it closes the connection")]
    Closing,
    #[error("connection reached its maximum age")]
    Old,
    #[error("prices more than {0} ms late")]
    Late(u64),
}

impl Disconnect {
    /// Stable label of the metric `chaincast_price_feed_reconnects_total`.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Answered(_) => "answered",
            Self::Unreadable(_) => "unreadable",
            Self::Closed(_) => "closed",
            Self::Broken(_) => "broken",
            Self::Silent(_) => "silent",
            Self::TooLarge(_) => "too_large",
            Self::Rejected(_) => "rejected",
            Self::Closing => "announced",
            Self::Old => "rotated",
            Self::Late(_) => "late",
        }
    }

    /// All labels.
    pub(super) const REASONS: [&'static str; 11] = [
        "unreachable",
        "answered",
        "unreadable",
        "closed",
        "broken",
        "silent",
        "too_large",
        "rejected",
        "announced",
        "rotated",
        "late",
    ];
}
