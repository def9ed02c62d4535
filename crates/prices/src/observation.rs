//! A price decoded from a log, before its unit is applied.

use bigdecimal::BigDecimal;

use super::TickFault;

/// The end of the year 9999: later times do not fit every store and client.
const LAST_SECOND: u64 = 253_402_300_799;

/// A price decoded from a log.
#[derive(Debug)]
pub(super) struct Observation {
    /// Above zero, in the quote currency of the source.
    pub price: BigDecimal,
    /// In ms since the Unix epoch.
    pub observed_at: i64,
}

/// A block's timestamp in ms.
pub(super) fn time_ms(block_timestamp: u64) -> Result<i64, TickFault> {
    if block_timestamp > LAST_SECOND {
        return Err(TickFault::Timestamp(block_timestamp));
    }
    Ok(block_timestamp.cast_signed() * 1_000)
}
