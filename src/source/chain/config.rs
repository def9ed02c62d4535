//! `[[chains]]`: which chains are indexed, from which node, how fast and how carefully.
//!
//! What is read here is well-formed and no more; the node is asked at start whether it serves that chain.

use serde::Deserialize;

use super::{NodeHeaders, ProviderConfig};
use crate::model::{ChainId, ChainLimits, IndexMode, Secret};

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
    /// Sent to the node at `rpc_url` and `ws_url` with each request; their values are never shown.
    #[serde(default)]
    pub headers: NodeHeaders,
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
    /// A chain whose node has not answered for this long is down, in ms; never less than three polls.
    #[serde(default = "down_after_ms")]
    pub down_after_ms: u64,
    /// A chain whose index is further behind its node is lagging, in blocks.
    #[serde(default = "lagging_blocks")]
    pub lagging_blocks: u64,
    /// A chain whose newest block is older is lagging, in ms; 0 where blocks may be any time apart.
    #[serde(default)]
    pub head_age_ms: u64,
    /// How often all providers are asked for their head, in ms, when there are several.
    #[serde(default = "provider_poll_ms")]
    pub provider_poll_ms: u64,
    /// The longest `Retry-After` that is obeyed, in ms.
    #[serde(default = "rest_max_ms")]
    pub rest_max_ms: u64,
    /// How much of each block is indexed; must not change once indexed.
    #[serde(default)]
    pub index: IndexMode,
    /// Blocks of one `eth_getLogs`, at most, where only logs are indexed; fewer when the node refuses so many.
    #[serde(default = "log_range_blocks")]
    pub log_range_blocks: usize,
    /// First block to index; must not change once indexed.
    #[serde(default)]
    pub start_block: u64,
    /// How often the head is polled when `newHeads` is silent or not used, in ms.
    #[serde(default = "poll_interval_ms")]
    pub poll_interval_ms: u64,
    /// How long the node may take for one request, in ms.
    #[serde(default = "request_timeout_ms")]
    pub request_timeout_ms: u64,
    /// Requests in flight while catching up, at most.
    #[serde(default = "concurrency")]
    pub concurrency: usize,
    /// Blocks of one request while catching up, at most; fewer when the node refuses so many.
    #[serde(default = "request_blocks")]
    pub request_blocks: usize,
    /// An answer above this is refused, and fewer blocks are asked for at once, in bytes.
    #[serde(default = "response_bytes")]
    pub response_bytes: usize,
    /// What history may take in memory between the node and the database, in bytes.
    #[serde(default = "backfill_memory_bytes")]
    pub backfill_memory_bytes: usize,
    /// Blocks a transaction while catching up, at most; fewer when they are large.
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
    /// Blocks from which on a transaction is confirmed, the one that holds it included.
    #[serde(default = "confirmations")]
    pub confirmations: u64,
    /// Watched transactions that are in no block: most of which the node is asked about at each head or poll.
    #[serde(default = "watch_polls")]
    pub watch_polls: u32,
    /// How long the node may not know a transaction that was pending before it counts as dropped, in ms.
    #[serde(default = "dropped_after_ms")]
    pub dropped_after_ms: u64,
    /// Recompute each block's hash, roots and bloom before storing it.
    #[serde(default = "checks")]
    pub checks: ChecksConfig,
}

impl ChainConfig {
    /// From when on the chain is not well.
    pub fn limits(&self) -> ChainLimits {
        ChainLimits {
            chain_id: self.chain_id,
            down_after_ms: self.down_after_ms.max(3 * self.poll_interval_ms),
            lagging_blocks: self.lagging_blocks,
            head_age_ms: self.head_age_ms,
        }
    }

    /// A chain with every default, as one that names no more than its id and its node has.
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

    /// The checks of what no root is over that are off, by their keys. Where only logs are indexed there are none.
    pub fn unproved(&self, is_history: bool) -> Vec<&'static str> {
        match self.index {
            IndexMode::Blocks => self.checks.unproved(is_history),
            IndexMode::Logs | IndexMode::Transfers => Vec::new(),
        }
    }

    /// Whether the checks that are on prove what is indexed, so that `verified_through` may say so: whole blocks by all
    /// roots, logs by the header's hash and bloom. Transfers alone are asked for by topic, and nothing in a header
    /// shows that none was left out. What is not proven by then is [`ChecksConfig::unproved`].
    pub fn claims_proof(&self) -> bool {
        match self.index {
            IndexMode::Blocks => self.checks.roots(),
            IndexMode::Logs => self.checks.block_hash && self.checks.logs_bloom,
            IndexMode::Transfers => false,
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
    /// Short for the three that follow: `false` switches all of them off.
    pub derived: bool,
    /// What receipts repeat and no root is over: the gas that each transaction used,
    pub gas_used: bool,
    /// the price that it paid,
    pub gas_price: bool,
    /// and the contract that it created.
    pub contract_address: bool,
    /// Whether the roots must be over every transaction. `false` leaves out the made-up one of a state sync, at the end
    /// of a block of Polygon PoS before its Madhugiri fork.
    pub state_sync: bool,
    /// Which transactions' senders are recovered from their signatures.
    pub senders: Senders,
}

/// When senders are recovered from signatures, which takes more time than all other checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Senders {
    Off,
    /// Of blocks that come while the head is followed, not of history.
    Live,
    Always,
}

impl ChecksConfig {
    /// Whether everything that a root or a bloom is over is proven. What is not, has a check each; see
    /// [`ChecksConfig::unproved`].
    pub fn roots(&self) -> bool {
        self.roots_off().is_empty()
    }

    /// The checks that are off of what a root or a bloom is over, by their keys.
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

    /// Whether the gas that receipts repeat is checked.
    pub fn gas_used(&self) -> bool {
        self.derived && self.gas_used
    }

    /// Whether the price that receipts repeat is checked.
    pub fn gas_price(&self) -> bool {
        self.derived && self.gas_price
    }

    /// Whether the created contract that receipts repeat is checked.
    pub fn contract_address(&self) -> bool {
        self.derived && self.contract_address
    }

    /// The checks that are off of what no root is over, by their keys. Senders of history are recovered only with
    /// `"always"`.
    pub fn unproved(&self, is_history: bool) -> Vec<&'static str> {
        let senders = match self.senders {
            Senders::Always => true,
            Senders::Live => !is_history,
            Senders::Off => false,
        };
        [
            ("contract_address", self.contract_address()),
            ("gas_price", self.gas_price()),
            ("gas_used", self.gas_used()),
            ("senders", senders),
            ("state_sync", self.state_sync),
        ]
        .into_iter()
        .filter_map(|(key, on)| (!on).then_some(key))
        .collect()
    }

    /// As they are for blocks of history.
    pub fn of_history(mut self) -> Self {
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
