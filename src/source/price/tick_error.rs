//! Why a log of a price source gave no tick.

use std::sync::Arc;

use crate::model::{LogOrigin, Token};

/// A log that a source should have been priced by, and cannot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{source_name} of {token} gave no price in block {} of chain {}, log {}: {fault}",
    origin.block_number, origin.chain_id, origin.log_index
)]
pub struct TickError {
    pub token: Token,
    pub source_name: Arc<str>,
    pub origin: Box<LogOrigin>,
    pub fault: TickFault,
}

/// What is wrong with an observation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TickFault {
    #[error("its event does not decode: {0}")]
    Malformed(String),
    #[error("its answer is {0}, and a price is above zero")]
    NotPositive(String),
    #[error("a reserve of the pair is zero")]
    EmptyReserve,
    #[error("its price, interval or time is out of all bounds")]
    OutOfBounds,
    #[error("the pool has too little of the quote: {held}, and at least {least} is wanted")]
    Thin { held: Box<str>, least: Box<str> },
    #[error(
        "its answer was {age_ms} ms old when its block was made, and its heartbeat is {heartbeat_ms} ms"
    )]
    Old { age_ms: u64, heartbeat_ms: u64 },
    #[error("its block's timestamp, {0} s, is out of range")]
    Timestamp(u64),
    #[error(
        "its time is {ahead_ms} ms ahead of {clock}, and at most 60000 are allowed; is one of the clocks wrong?"
    )]
    Ahead {
        ahead_ms: u64,
        /// What it is compared with, in words.
        clock: &'static str,
    },
    #[error("its time is {0}, which is no time in seconds, ms, µs or ns since 1970")]
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
