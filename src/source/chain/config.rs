//! `[[chains]]`: which chains are indexed, from which node, how fast and how carefully.
//!
//! What is read here is well-formed and no more; the node is asked at start whether it serves that chain.

use serde::Deserialize;

use super::ProviderConfig;
use crate::model::{ChainId, Secret};

/// `[[chains]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainConfig {
    /// EIP-155 id; the node must answer the same.
    pub chain_id: ChainId,
    /// `http(s)://…` endpoint of the node, the first of the providers; may be left out when there are others.
    #[serde(default)]
    pub rpc_url: Secret,
    /// `ws(s)://…` endpoint of the node at `rpc_url` for `newHeads`; without it the head is polled.
    #[serde(default)]
    pub ws_url: Option<Secret>,
    /// More nodes of this chain, the preferred first.
    #[serde(default)]
    pub providers: Vec<ProviderConfig>,
    /// Failures in a row after which a provider is not asked for a while.
    #[serde(default = "failover_failures")]
    pub failover_failures: u32,
    /// How long it is not asked then, in ms; doubled up to 16 times that with each trial that fails.
    #[serde(default = "failover_cooldown_ms")]
    pub failover_cooldown_ms: u64,
    /// A preferred provider is followed again once it did well for this long, in ms.
    #[serde(default = "prefer_back_ms")]
    pub prefer_back_ms: u64,
    /// A provider further than this behind another's head is not followed, in blocks.
    #[serde(default = "lag_blocks")]
    pub lag_blocks: u64,
    /// How often all providers are asked for their head, in ms, when there are several.
    #[serde(default = "provider_poll_ms")]
    pub provider_poll_ms: u64,
    /// The longest `Retry-After` that is obeyed, in ms.
    #[serde(default = "rest_max_ms")]
    pub rest_max_ms: u64,
    /// First block to index; must not change once indexed.
    #[serde(default)]
    pub start_block: u64,
    /// How often the head is polled when `newHeads` is silent or not used, in ms.
    #[serde(default = "poll_interval_ms")]
    pub poll_interval_ms: u64,
    /// How long the node may take for one request, in ms.
    #[serde(default = "request_timeout_ms")]
    pub request_timeout_ms: u64,
    /// Blocks fetched at once while catching up.
    #[serde(default = "concurrency")]
    pub concurrency: usize,
    /// Blocks a transaction while catching up.
    #[serde(default = "batch_blocks")]
    pub batch_blocks: usize,
    /// While catching up, blocks further than this behind the node's head are stored without a `new-block` update:
    /// the channel then starts near the head instead of with all of history. In blocks.
    #[serde(default = "announce_blocks")]
    pub announce_blocks: u64,
    /// A reorg deeper than this stops the chain with a clear error, in blocks.
    #[serde(default = "max_reorg_depth")]
    pub max_reorg_depth: u64,
    /// Ask each token contract once for its name, symbol and decimals.
    #[serde(default = "token_metadata")]
    pub token_metadata: bool,
    /// Token contracts asked in a second.
    #[serde(default = "token_metadata_per_second")]
    pub token_metadata_per_second: u32,
    /// Recompute each block's hash, roots and bloom before storing it.
    #[serde(default = "checks")]
    pub checks: ChecksConfig,
}

impl ChainConfig {
    /// A chain with every default, as one that names no more than its id and its node has.
    pub fn of(chain_id: ChainId, rpc_url: Secret) -> Self {
        Self {
            chain_id,
            rpc_url,
            ws_url: None,
            providers: Vec::new(),
            failover_failures: failover_failures(),
            failover_cooldown_ms: failover_cooldown_ms(),
            prefer_back_ms: prefer_back_ms(),
            lag_blocks: lag_blocks(),
            provider_poll_ms: provider_poll_ms(),
            rest_max_ms: rest_max_ms(),
            start_block: 0,
            poll_interval_ms: poll_interval_ms(),
            request_timeout_ms: request_timeout_ms(),
            concurrency: concurrency(),
            batch_blocks: batch_blocks(),
            announce_blocks: announce_blocks(),
            max_reorg_depth: max_reorg_depth(),
            token_metadata: token_metadata(),
            token_metadata_per_second: token_metadata_per_second(),
            checks: checks(),
        }
    }
}

/// `[chains.checks]`: every check is on unless switched off here, for chains whose headers follow other rules.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChecksConfig {
    pub block_hash: bool,
    pub transactions_root: bool,
    pub receipts_root: bool,
    pub logs_bloom: bool,
}

impl ChecksConfig {
    /// Whether none is switched off.
    pub fn all(&self) -> bool {
        self.block_hash && self.transactions_root && self.receipts_root && self.logs_bloom
    }
}

impl Default for ChecksConfig {
    fn default() -> Self {
        Self {
            block_hash: true,
            transactions_root: true,
            receipts_root: true,
            logs_bloom: true,
        }
    }
}

fn failover_failures() -> u32 {
    3
}

fn failover_cooldown_ms() -> u64 {
    5_000
}

fn prefer_back_ms() -> u64 {
    30_000
}

fn lag_blocks() -> u64 {
    3
}

fn provider_poll_ms() -> u64 {
    5_000
}

fn rest_max_ms() -> u64 {
    60_000
}

fn poll_interval_ms() -> u64 {
    2_000
}

fn request_timeout_ms() -> u64 {
    10_000
}

fn concurrency() -> usize {
    8
}

fn batch_blocks() -> usize {
    50
}

fn announce_blocks() -> u64 {
    1_000
}

fn max_reorg_depth() -> u64 {
    256
}

fn token_metadata() -> bool {
    true
}

fn token_metadata_per_second() -> u32 {
    5
}

fn checks() -> ChecksConfig {
    ChecksConfig::default()
}
