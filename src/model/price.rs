//! Ticks and the prices aggregated from them.

use std::sync::Arc;

use bigdecimal::BigDecimal;
use serde::Serialize;

use super::{B256, ChainId, Token};

/// The quote currency that every price is given in.
pub const USD: &str = "USD";

/// One price observation of one token by one source.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    pub token: Token,
    /// The source's name as clients see it, such as `chainlink`.
    pub source: Arc<str>,
    /// What the price is counted in: [`USD`], or the symbol of a tracked token.
    pub quote: Arc<str>,
    /// Units of `quote` for one whole token; above zero.
    pub price: BigDecimal,
    /// How far the source itself says that it may be off, in units of `quote`, as half a spread or an interval of
    /// confidence; `None` when it says nothing.
    pub confidence: Option<BigDecimal>,
    /// When the source observed it (event time), in ms since the Unix epoch.
    pub observed_at: i64,
    /// The log that the tick was decoded from, when it comes from a chain.
    pub origin: Option<LogOrigin>,
}

/// Where on a chain something was emitted. Rows with an origin are taken back when its block is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogOrigin {
    pub chain_id: ChainId,
    pub block_number: u64,
    pub block_hash: B256,
    /// [`LogOrigin::END_OF_BLOCK`] for what no log says: the state after the block.
    pub log_index: u32,
}

impl LogOrigin {
    /// Behind every log of a block, and the greatest that a column of logs holds.
    pub const END_OF_BLOCK: u32 = i32::MAX.unsigned_abs();
}

/// How far a price can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PriceStatus {
    /// Enough fresh venues that agree.
    Ok,
    /// Fewer fresh venues than configured, or venues that disagree, or one alone that jumped, or a rate of which one of
    /// these is so.
    Degraded,
    /// No fresh source: the price is the last one known and not current.
    Stale,
}

/// Why a price is not `ok`, as clients and the database have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PriceReason {
    /// Degraded: fewer venues than configured.
    FewVenues,
    /// Degraded: its confidence is too wide, as its venues disagree or one of them is unsure.
    Disagreement,
    /// Degraded: one venue alone jumped.
    Jump,
    /// Degraded: a tick was converted by a rate that is. Stale: no rate is fresh.
    Rate,
    /// Stale: no tick is fresh.
    Old,
    /// Stale: the ticks that would be fresh are of a chain whose node does not answer.
    NodeDown,
}

impl PriceReason {
    const ALL: [Self; 6] = [
        Self::FewVenues,
        Self::Disagreement,
        Self::Jump,
        Self::Rate,
        Self::Old,
        Self::NodeDown,
    ];

    /// Its name on the wire and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::FewVenues => "few_venues",
            Self::Disagreement => "disagreement",
            Self::Jump => "jump",
            Self::Rate => "rate",
            Self::Old => "old",
            Self::NodeDown => "node_down",
        }
    }

    /// The reason of a name, if it is one.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

/// The price of a token aggregated from its fresh ticks.
#[derive(Debug, Clone, PartialEq)]
pub struct Price {
    pub token: Token,
    /// USD for one whole token.
    pub price: BigDecimal,
    /// How far it may be off, in USD: the larger distance from it to the quartiles of its sources' votes.
    pub confidence: BigDecimal,
    /// Names of the sources whose ticks were used, one a venue, sorted.
    pub sources: Vec<Arc<str>>,
    /// Every source that was fresh, sorted by name: those that were used, and the outliers and those that stand by for
    /// another one of their venue, which were not.
    pub details: Vec<PriceDetail>,
    pub status: PriceStatus,
    /// Why it is not `Ok`. Of several reasons the one that puts its number most in doubt.
    pub reason: Option<PriceReason>,
    /// `Degraded` because the number itself is in doubt: its sources are too far apart, or it stands on one venue alone
    /// that jumped, or on a rate of which either is so. Of a `Stale` price: whether it was so while it was fresh.
    pub doubtful: bool,
    /// Event time of the newest tick used, in ms since the Unix epoch.
    pub observed_at: i64,
    /// The last ms in which a tick that it stands on is fresh, since the Unix epoch, with the rate that converts it: without
    /// newer ones the price is stale from then on. Of a `Stale` price: when that was.
    pub expires_at: i64,
}

/// What one source of a price stood at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceDetail {
    pub source: Arc<str>,
    /// Event time of its tick, in ms since the Unix epoch; of the older half when it was converted.
    pub observed_at: i64,
    /// Where its tick is on a chain.
    pub block: Option<PriceBlock>,
    /// Too far from the others to be used.
    pub outlier: bool,
}

/// The block that a tick was decoded from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PriceBlock {
    pub chain_id: ChainId,
    pub number: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_one_name_everywhere() {
        for reason in PriceReason::ALL {
            assert_eq!(PriceReason::of_name(reason.name()), Some(reason));
            let json = serde_json::to_string(&reason).unwrap();
            assert_eq!(json, format!("\"{}\"", reason.name()));
        }
        assert_eq!(PriceReason::of_name("ok"), None);
    }
}
