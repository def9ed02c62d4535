//! The event of `heartbeat`, which is never stored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ChainHealth, Token};

/// The state of the chains, of the price sources and of this session's channels, once a second.
// The gateway writes the text itself, because all sessions share most of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Heartbeat {
    /// Server time, in ms.
    pub timestamp: i64,
    /// Number of the first chain's newest block; null before its first block.
    pub head: Option<u64>,
    /// State of each configured chain; null when it cannot be read now.
    pub chains: Option<Vec<ChainHealth>>,
    /// The newest seq of each channel of this session. A channel is not listed while its updates are being replayed.
    pub seqs: BTreeMap<String, u64>,
    /// Price sources without a fresh tick, and all sources on a chain that is down, at most 50; null when they cannot be
    /// read now.
    pub stale_sources: Option<Vec<StaleSource>>,
    /// Number of further stale sources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more_stale_sources: Option<u64>,
}

/// A source of a token's price that is stale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct StaleSource {
    /// Age of its newest tick, in ms; null if it never had one.
    pub age_ms: Option<u64>,
    /// The source's name, unique within the token.
    pub source: String,
    /// The token that it prices.
    pub token: Token,
}
