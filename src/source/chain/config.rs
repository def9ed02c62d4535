//! `[[chains]]`: the chains to index, their nodes, limits and checks.
//!
//! Parsing only checks the form; the node is checked at start.

use serde::Deserialize;

use super::{NodeHeaders, ProviderConfig};
use crate::model::{ChainId, ChainLimits, IndexMode, Secret};

/// `[[chains]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainConfig {
    /// EIP-155 id; must match the `eth_chainId` of the node.
    pub chain_id: ChainId,
    /// `http(s)://…` endpoint of the first provider; optional if `providers` is set.
    #[serde(default)]
    pub rpc_url: Secret,
    /// `ws(s)://…` endpoint of the node at `rpc_url` for `newHeads`; without it the head is only polled.
    #[serde(default)]
    pub ws_url: Option<Secret>,
    /// Sent with each request to `rpc_url` and `ws_url`; the values are never shown.
    #[serde(default)]
    pub headers: NodeHeaders,
    /// More providers of this chain, the preferred first.
    #[serde(default)]
    pub providers: Vec<ProviderConfig>,
    /// Consecutive failures after which a provider is suspended.
    #[serde(default = "failover_failures")]
    pub failover_failures: u32,
    /// First suspension of a failed provider, in ms; each failed trial doubles it, up to 16 times.
    #[serde(default = "failover_cooldown_ms")]
    pub failover_cooldown_ms: u64,
    /// A preferred provider becomes active again after it was healthy for this long, in ms.
    #[serde(default = "prefer_back_ms")]
    pub prefer_back_ms: u64,
    /// A provider further behind the highest head is not followed, in blocks.
    #[serde(default = "lag_blocks")]
    pub lag_blocks: u64,
    /// A chain is down after its node has not answered for this long, in ms; at least three poll intervals.
    #[serde(default = "down_after_ms")]
    pub down_after_ms: u64,
    /// A chain is lagging if its index is further behind its node, in blocks.
    #[serde(default = "lagging_blocks")]
    pub lagging_blocks: u64,
    /// A chain is lagging if its newest block is older, in ms; 0 disables this, for chains without regular blocks.
    #[serde(default)]
    pub head_age_ms: u64,
    /// Interval at which the heads of all providers are polled if there are several, in ms.
    #[serde(default = "provider_poll_ms")]
    pub provider_poll_ms: u64,
    /// Longest honored `Retry-After`, in ms.
    #[serde(default = "rest_max_ms")]
    pub rest_max_ms: u64,
    /// Which part of each block is indexed; must not change after the first block.
    #[serde(default)]
    pub index: IndexMode,
    /// Most blocks of one `eth_getLogs` request, if only logs are indexed; reduced if the node refuses so many.
    #[serde(default = "log_range_blocks")]
    pub log_range_blocks: usize,
    /// First block to index; must not change after the first block.
    #[serde(default)]
    pub start_block: u64,
    /// Interval of head polls, in ms.
    #[serde(default = "poll_interval_ms")]
    pub poll_interval_ms: u64,
    /// Timeout of one request, in ms.
    #[serde(default = "request_timeout_ms")]
    pub request_timeout_ms: u64,
    /// Most requests in flight during catch-up.
    #[serde(default = "concurrency")]
    pub concurrency: usize,
    /// Most blocks of one request during catch-up; reduced if the node refuses so many.
    #[serde(default = "request_blocks")]
    pub request_blocks: usize,
    /// Largest accepted answer, in bytes; above it fewer blocks are requested.
    #[serde(default = "response_bytes")]
    pub response_bytes: usize,
    /// Memory for fetched blocks that are not stored yet, in bytes.
    #[serde(default = "backfill_memory_bytes")]
    pub backfill_memory_bytes: usize,
    /// Most blocks of one transaction during catch-up; fewer if they are large.
    #[serde(default = "batch_blocks")]
    pub batch_blocks: usize,
    /// During catch-up, blocks further behind the head of the node are stored without a `new-block` update: the channel
    /// starts near the head instead of with all of history. In blocks.
    #[serde(default = "announce_blocks")]
    pub announce_blocks: u64,
    /// A deeper reorg halts the chain with an error, in blocks.
    #[serde(default = "max_reorg_depth")]
    pub max_reorg_depth: u64,
    /// Read the name, symbol and decimals of each token contract once.
    #[serde(default = "token_metadata")]
    pub token_metadata: bool,
    /// Token contracts read per second.
    #[serde(default = "token_metadata_per_second")]
    pub token_metadata_per_second: u32,
    /// Blocks, including its own, after which a transaction is confirmed.
    #[serde(default = "confirmations")]
    pub confirmations: u64,
    /// Most pending watched transactions that are looked up at the node at each head or poll.
    #[serde(default = "watch_polls")]
    pub watch_polls: u32,
    /// A pending transaction counts as dropped after the node has not known it for this long, in ms.
    #[serde(default = "dropped_after_ms")]
    pub dropped_after_ms: u64,
    /// Recompute each block's hash, roots and bloom before storing it.
    #[serde(default = "checks")]
    pub checks: ChecksConfig,
}

impl ChainConfig {
    /// The thresholds of an unhealthy chain.
    pub fn limits(&self) -> ChainLimits {
        ChainLimits {
            chain_id: self.chain_id,
            down_after_ms: self.down_after_ms.max(3 * self.poll_interval_ms),
            lagging_blocks: self.lagging_blocks,
            head_age_ms: self.head_age_ms,
        }
    }

    /// A chain with every default.
    pub fn of(chain_id: ChainId, rpc_url: Secret) -> Self {
        Self {
            chain_id,
            rpc_url,
            ws_url: None,
            headers: NodeHeaders::default(),
            providers: Vec::new(),
            failover_failures: failover_failures(),
            failover_cooldown_ms: failover_cooldown_ms(),
            prefer_back_ms: prefer_back_ms(),
            lag_blocks: lag_blocks(),
            down_after_ms: down_after_ms(),
            lagging_blocks: lagging_blocks(),
            head_age_ms: 0,
            provider_poll_ms: provider_poll_ms(),
            rest_max_ms: rest_max_ms(),
            index: IndexMode::Blocks,
            log_range_blocks: log_range_blocks(),
            start_block: 0,
            poll_interval_ms: poll_interval_ms(),
            request_timeout_ms: request_timeout_ms(),
            concurrency: concurrency(),
            request_blocks: request_blocks(),
            response_bytes: response_bytes(),
            backfill_memory_bytes: backfill_memory_bytes(),
            batch_blocks: batch_blocks(),
            announce_blocks: announce_blocks(),
            max_reorg_depth: max_reorg_depth(),
            token_metadata: token_metadata(),
            token_metadata_per_second: token_metadata_per_second(),
            confirmations: confirmations(),
            watch_polls: watch_polls(),
            dropped_after_ms: dropped_after_ms(),
            checks: checks(),
        }
    }

    /// The disabled checks of data that no root covers, by their keys. None if only logs are indexed.
    pub fn unproved(&self, is_history: bool) -> Vec<&'static str> {
        match self.index {
            IndexMode::Blocks if is_history => self.checks.for_history().unproved(),
            IndexMode::Blocks => self.checks.unproved(),
            IndexMode::Logs | IndexMode::Transfers => Vec::new(),
        }
    }

    /// Whether the enabled checks prove what is indexed, so that `verified_through` may be set: whole blocks by all
    /// roots, logs by the header hash and bloom. Transfers are requested by topic, and nothing in a header proves that
    /// none is missing. For the rest see [`ChecksConfig::unproved`].
    pub fn claims_proof(&self) -> bool {
        match self.index {
            IndexMode::Blocks => self.checks.roots(),
            IndexMode::Logs => self.checks.block_hash && self.checks.logs_bloom,
            IndexMode::Transfers => false,
        }
    }
}

/// `[chains.checks]`: every check is enabled by default; disable one for chains whose headers follow other rules.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChecksConfig {
    pub block_hash: bool,
    pub transactions_root: bool,
    pub receipts_root: bool,
    pub logs_bloom: bool,
    /// Shorthand for the next three: `false` disables them.
    pub derived: bool,
    /// The gas that each transaction used, from its receipt; no root covers it.
    pub gas_used: bool,
    /// The gas price that it paid.
    pub gas_price: bool,
    /// The contract that it created.
    pub contract_address: bool,
    /// Whether the roots must cover every transaction. `false` excludes the synthetic state-sync transaction at the end
    /// of a block of Polygon PoS before its Madhugiri fork.
    pub state_sync: bool,
    /// Which transactions have their sender recovered from the signature.
    pub senders: Senders,
}

/// When senders are recovered from signatures, which takes more time than all other checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Senders {
    Off,
    /// For blocks at the head, not for history.
    Live,
    Always,
}

impl ChecksConfig {
    /// Whether everything that a root or a bloom covers is proven. For the rest see [`ChecksConfig::unproved`].
    pub fn roots(&self) -> bool {
        self.roots_off().is_empty()
    }

    /// The disabled checks of data that a root or a bloom covers, by their keys.
    pub fn roots_off(&self) -> Vec<&'static str> {
        [
            ("block_hash", self.block_hash),
            ("transactions_root", self.transactions_root),
            ("receipts_root", self.receipts_root),
            ("logs_bloom", self.logs_bloom),
        ]
        .into_iter()
        .filter_map(|(key, on)| (!on).then_some(key))
        .collect()
    }

    /// Whether the gas in receipts is checked.
    pub fn gas_used(&self) -> bool {
        self.derived && self.gas_used
    }

    /// Whether the gas price in receipts is checked.
    pub fn gas_price(&self) -> bool {
        self.derived && self.gas_price
    }

    /// Whether the created contract in receipts is checked.
    pub fn contract_address(&self) -> bool {
        self.derived && self.contract_address
    }

    /// The disabled checks of data that no root covers, by their keys.
    pub fn unproved(&self) -> Vec<&'static str> {
        [
            ("contract_address", self.contract_address()),
            ("gas_price", self.gas_price()),
            ("gas_used", self.gas_used()),
            ("senders", self.senders != Senders::Off),
            ("state_sync", self.state_sync),
        ]
        .into_iter()
        .filter_map(|(key, on)| (!on).then_some(key))
        .collect()
    }

    /// The checks for blocks of history.
    pub fn for_history(mut self) -> Self {
        if self.senders == Senders::Live {
            self.senders = Senders::Off;
        }
        self
    }
}

impl Default for ChecksConfig {
    fn default() -> Self {
        Self {
            block_hash: true,
            transactions_root: true,
            receipts_root: true,
            logs_bloom: true,
            derived: true,
            gas_used: true,
            gas_price: true,
            contract_address: true,
            state_sync: true,
            senders: Senders::Live,
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

fn down_after_ms() -> u64 {
    15_000
}

fn lagging_blocks() -> u64 {
    10
}

fn provider_poll_ms() -> u64 {
    5_000
}

fn rest_max_ms() -> u64 {
    60_000
}

fn log_range_blocks() -> usize {
    2_000
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

fn request_blocks() -> usize {
    20
}

fn response_bytes() -> usize {
    32 * 1024 * 1024
}

fn backfill_memory_bytes() -> usize {
    80 * 1024 * 1024
}

fn batch_blocks() -> usize {
    200
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

fn confirmations() -> u64 {
    12
}

fn watch_polls() -> u32 {
    100
}

fn dropped_after_ms() -> u64 {
    60_000
}

fn checks() -> ChecksConfig {
    ChecksConfig::default()
}
