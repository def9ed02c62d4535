//! Why a log of a price source gave no tick.

use std::sync::Arc;

use chaincast_model::LogOrigin;
use chaincast_protocol::Token;

/// A log of a source that gives no price.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no price from {source_name} of {token} in block {} of chain {}, log {}: {fault}",
    origin.block_number, origin.chain_id, origin.log_index
)]
pub struct TickError {
    pub(super) token: Token,
    pub(super) source_name: Arc<str>,
    pub(super) origin: Box<LogOrigin>,
    pub(super) fault: TickFault,
}

/// A fault of an observation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TickFault {
    #[error("cannot decode the event: {0}")]
    Malformed(String),
    #[error("answer {0} is not above zero")]
    NotPositive(String),
    #[error("a reserve of the pair is zero")]
    EmptyReserve,
    #[error("price, confidence or time is out of range")]
    OutOfBounds,
    #[error("the pool holds {held} of the quote token, less than the minimum of {least}")]
    Thin { held: Box<str>, least: Box<str> },
    #[error(
        "answer was {age_ms} ms old at its block, older than its heartbeat of {heartbeat_ms} ms"
    )]
    Old { age_ms: u64, heartbeat_ms: u64 },
    #[error("block timestamp {0} s is out of range")]
    Timestamp(u64),
    #[error(
        "time is {ahead_ms} ms ahead of {clock}, more than the allowed 60000 ms; is one of the clocks wrong?"
    )]
    Ahead {
        ahead_ms: u64,
        /// The reference clock, in words.
        clock: &'static str,
    },
    #[error("time {0} is not in seconds, ms, µs or ns since 1970")]
    NoTime(String),
}

impl TickFault {
    /// Stable label of the metric `chaincast_price_refused_total`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::NotPositive(_) => "not_positive",
            Self::EmptyReserve => "empty_reserve",
            Self::OutOfBounds => "out_of_bounds",
            Self::Thin { .. } => "thin",
            Self::Old { .. } => "old",
            Self::Timestamp(_) | Self::Ahead { .. } | Self::NoTime(_) => "timestamp",
        }
    }
}
