//! What a published price says besides its number.

use serde::{Deserialize, Serialize};

use super::ChainId;

/// The quote currency of all prices.
pub const USD: &str = "USD";

/// How reliable a price is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum PriceStatus {
    /// Enough fresh venues, and they agree.
    Ok,
    /// Fewer fresh venues than configured, disagreeing venues, a jump at a single venue, or a conversion rate with one
    /// of these problems.
    Degraded,
    /// No fresh source: the price is the last known one, and outdated.
    Stale,
}

impl PriceStatus {
    /// The name in the API and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Stale => "stale",
        }
    }
}

/// Why a price is not `ok`, as published and stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PriceReason {
    /// Degraded: fewer venues than configured.
    FewVenues,
    /// Degraded: the confidence interval is too wide, because venues disagree or one is uncertain.
    Disagreement,
    /// Degraded: the price jumped at a single venue.
    Jump,
    /// Degraded: a tick was converted with a degraded rate. Stale: no rate is fresh.
    Rate,
    /// Stale: no tick is fresh.
    Old,
    /// Stale: otherwise fresh ticks belong to a chain whose node is down.
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

    /// The name in the API and in the database.
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

    /// The reason with this name, if any.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

/// The block that a tick was decoded from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PriceBlock {
    /// EIP-155 chain id.
    pub chain_id: ChainId,
    /// Height of the block.
    pub number: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_names_match_json() {
        for status in [PriceStatus::Ok, PriceStatus::Degraded, PriceStatus::Stale] {
            let json = serde_json::to_string(&status).unwrap();
            assert_eq!(json, format!("\"{}\"", status.name()));
        }
    }

    #[test]
    fn reason_names_match_json() {
        for reason in PriceReason::ALL {
            assert_eq!(PriceReason::from_name(reason.name()), Some(reason));
            let json = serde_json::to_string(&reason).unwrap();
            assert_eq!(json, format!("\"{}\"", reason.name()));
        }
        assert_eq!(PriceReason::from_name("ok"), None);
    }
}
