//! Ticks and the prices aggregated from them.

use std::sync::Arc;

use bigdecimal::BigDecimal;

use chaincast_protocol::{B256, ChainId, PriceBlock, PriceReason, PriceStatus, Token};

/// One price observation of one token by one source.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    /// The token that was priced.
    pub token: Token,
    /// The source's public name, such as `chainlink`.
    pub source: Arc<str>,
    /// The quote: [`USD`](chaincast_protocol::USD), or the symbol of a tracked token.
    pub quote: Arc<str>,
    /// Units of `quote` for one whole token; above zero.
    pub price: BigDecimal,
    /// Uncertainty stated by the source, in units of `quote`: half a spread, or a confidence interval. `None` if the
    /// source states none.
    pub confidence: Option<BigDecimal>,
    /// When the source observed it (event time), in ms since the Unix epoch.
    pub observed_at: i64,
    /// The log that the tick was decoded from, when it comes from a chain.
    pub origin: Option<LogOrigin>,
}

/// The log that a row comes from. Rows with an origin are removed when their block is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogOrigin {
    /// EIP-155 id of the log's chain.
    pub chain_id: ChainId,
    /// Height of the log's block.
    pub block_number: u64,
    /// Hash of that block.
    pub block_hash: B256,
    /// Position among all logs of the block; [`LogOrigin::END_OF_BLOCK`] for data that comes from the state after the
    /// block, not from a log.
    pub log_index: u32,
}

impl LogOrigin {
    /// Greater than every log index of a block, and the maximum of the database column.
    pub const END_OF_BLOCK: u32 = i32::MAX.unsigned_abs();
}

/// The price of a token aggregated from its fresh ticks.
#[derive(Debug, Clone, PartialEq)]
pub struct Price {
    /// The token that is priced.
    pub token: Token,
    /// USD for one whole token.
    pub price: BigDecimal,
    /// Uncertainty in USD: the larger distance from the price to the quartiles of its sources' votes.
    pub confidence: BigDecimal,
    /// Names of the sources whose ticks were used, one per venue, sorted.
    pub sources: Vec<Arc<str>>,
    /// All fresh sources, sorted by name: the used ones, the outliers, and the alternates of a venue that already has a
    /// used source.
    pub details: Vec<PriceDetail>,
    /// How reliable the number is.
    pub status: PriceStatus,
    /// Why it is not `Ok`; of several reasons, the one that casts the most doubt on the number.
    pub reason: Option<PriceReason>,
    /// `Degraded` because the number itself is unreliable: its sources are too far apart, it comes from a single venue
    /// that jumped, or its conversion rate has one of these problems. For a `Stale` price: whether it was so while
    /// fresh.
    pub doubtful: bool,
    /// Event time of the newest tick used, in ms since the Unix epoch.
    pub observed_at: i64,
    /// The last ms, since the Unix epoch, at which one of its ticks and the rate that converts it are fresh: without
    /// newer ticks, the price is stale afterwards. For a `Stale` price: when it became stale.
    pub expires_at: i64,
}

/// One source of a price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceDetail {
    /// As in [`Tick::source`].
    pub source: Arc<str>,
    /// Event time of its tick, in ms since the Unix epoch; for a converted tick, the older of tick and rate.
    pub observed_at: i64,
    /// The block of its tick, for an on-chain source.
    pub block: Option<PriceBlock>,
    /// Too far from the others to be used.
    pub outlier: bool,
}
