//! What all feeds share: the streams of a feed with their readers, and the table that turns received prices into ticks
//! and states.

mod dedup;
mod metrics;
mod readers;
mod stream_table;

use std::borrow::Cow;

use bigdecimal::BigDecimal;

pub(super) use readers::{StreamReader, Streams, readers_of};
pub(super) use stream_table::{StreamProgress, StreamTable};

/// A price as received from a venue.
#[derive(Debug, PartialEq)]
pub(super) struct Quote<'a> {
    pub(super) stream: Cow<'a, str>,
    pub(super) price: BigDecimal,
    /// Half the spread between best bid and best ask, if the venue sends both.
    pub(super) confidence: Option<BigDecimal>,
    /// The venue's time in ms since the Unix epoch.
    pub(super) observed_at: Option<i64>,
    /// Increases with each message of this stream on one connection; may have gaps.
    pub(super) order: Option<u64>,
}
