//! `[[chains]]`: the chains to index, their nodes, limits and checks.
//!
//! Parsing only checks the form; the node is checked at start.

use serde::Deserialize;

use super::{NodeHeaders, ProviderConfig};
use chaincast_base::{
    Secret,
    settings::{lower_case_word, plain_settings, settings},
};
use chaincast_model::IndexMode;
use chaincast_protocol::{ChainId, ChainLimits};

settings! {
    /// `[[chains]]`
    pub struct ChainConfig {
        /// EIP-155 id; the node must report the same.
        chain_id: ChainId = 0, required(), example("1");
        /// URL of the first provider, http or https: a shorthand for one of [[chains.providers]].
        rpc_url: Secret = Secret::default(), example("\"https://node.example/KEY\"");
        /// WebSocket of that node for newHeads, ws or wss; without it the head is only polled.
        ws_url: Option<Secret> = None, example("\"wss://node.example/KEY\"");
        /// Sent with each request to `rpc_url` and `ws_url`; at most 16, never printed.
        headers: NodeHeaders = NodeHeaders::default(), example("{ \"X-Api-Key\" = \"…\" }");
        /// Consecutive failures after which a provider is suspended.
        failover_failures: u32 = 3, range(1, 100), unit("failures");
        /// Duration of a suspension; doubled by each failed retry, up to 16 times this value.
        failover_cooldown_ms: u64 = 5_000, range(50, 3_600_000);
        /// A preferred provider is used again after it was healthy for this long.
        prefer_back_ms: u64 = 30_000, range(0, 3_600_000);
        /// A provider this many blocks behind another provider's head is skipped.
        lag_blocks: u64 = 3, range(1, 100_000), unit("blocks");
        /// A node without an answer for this long, and never less than three `poll_interval_ms`, is down: `heartbeat`
        /// reports it, and the chain's prices become stale.
        down_after_ms: u64 = 15_000, range(1_000, 86_400_000);
        /// `heartbeat` reports a chain as lagging if it is this far behind its node.
        lagging_blocks: u64 = 10, range(1, 1_000_000), unit("blocks");
        /// Or if its newest block is older than this; 0 disables it, for chains with irregular blocks.
        head_age_ms: u64 = 0, range(0, 86_400_000);
        /// Interval at which the heads of all providers are polled; only with several.
        provider_poll_ms: u64 = 5_000, range(50, 3_600_000);
        /// Longest Retry-After of a node that is honored.
        rest_max_ms: u64 = 60_000, range(50, 3_600_000);
        /// What is indexed: `"blocks"`; `"logs"`: no transactions; `"transfers"`: neither transactions nor logs. Fixed once
        /// indexed, see docs/chains.md.
        index: IndexMode = IndexMode::Blocks;
        /// Most blocks per eth_getLogs with index = "logs" or "transfers"; fewer if the node refuses.
        log_range_blocks: usize = 2_000, range(1, 100_000), unit("blocks");
        /// First block to index; once blocks are indexed, only `chaincast backfill --from N` extends the index below it. If
        /// the node has no block 0, this block identifies the chain: choose a final block, because a reorg below it requires
        /// a new index. A reorg of this block alone is handled.
        start_block: u64 = 0;
        /// Poll interval of the head: a fallback beside newHeads, or without `ws_url` the only source.
        poll_interval_ms: u64 = 2_000, range(50, 600_000);
        /// Time limit of a request.
        request_timeout_ms: u64 = 10_000, range(100, 600_000);
        /// Most concurrent requests per node while catching up; fewer if the node limits the rate.
        concurrency: usize = 8, range(1, 256), unit("requests");
        /// Most blocks per request while catching up; fewer if the node refuses that many.
        request_blocks: usize = 20, range(1, 1_000), unit("blocks");
        /// Maximum size of an answer; a larger one is retried with fewer blocks.
        response_bytes: usize = 32 << 20, range(1 << 20, 1 << 30);
        /// Most blocks per database transaction while catching up; fewer if they are large.
        batch_blocks: usize = 200, range(1, 1_000), unit("blocks");
        /// Memory for blocks that are fetched but not stored.
        backfill_memory_bytes: usize = 80 << 20, range(8 << 20, 64 << 30);
        /// A catch-up longer than this stores its older blocks without publishing updates for them: the channel starts near
        /// the head instead of with all of history.
        announce_blocks: u64 = 1_000, unit("blocks");
        /// A reorg deeper than this, or below the finalized block, halts the chain with an error. Ethereum is final after
        /// about 96 blocks. The new branch is stored in one transaction and held in memory, so this value bounds that memory.
        max_reorg_depth: u64 = 256, range(1, 100_000), unit("blocks");
        /// Blocks, including its own, after which a watched transaction is "confirmed".
        confirmations: u64 = 12, range(1, 100_000), unit("blocks");
        /// Most pending watched transactions that are requested from the node per head or poll.
        watch_polls: u32 = 100, range(1, 10_000), unit("transactions");
        /// A pending transaction unknown to the node for this long is "dropped".
        dropped_after_ms: u64 = 60_000, range(100, 86_400_000);
        /// Whether to read name, symbol and decimals of each token contract once.
        token_metadata: bool = true;
        /// Token contracts read per second, also by `verify`.
        token_metadata_per_second: u32 = 5, range(1, 1_000), unit("contracts");
        /// More nodes of the chain, at most 16, in order of preference. If one fails, the next one is used.
        providers: Vec<ProviderConfig> = Vec::new();
        /// Checks of the node's data. Each one is on by default; switch one off for a chain whose headers follow other rules.
        checks: ChecksConfig = ChecksConfig::default();
    }
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
            ..Self::default()
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

settings! {
    /// `[chains.checks]`: every check is enabled by default; disable one for chains whose headers follow other rules.
    #[derive(Copy)]
    pub struct ChecksConfig {
        /// Whether the block hash must be that of the header's fields.
        block_hash: bool = true;
        /// Whether the header's root must be that of the transactions.
        transactions_root: bool = true;
        /// Whether the header's root must be that of the receipts.
        receipts_root: bool = true;
        /// Whether the header's bloom must be that of the logs.
        logs_bloom: bool = true;
        /// Receipt fields that no root covers: the gas of each transaction, against the sum in the header.
        gas_used: bool = true;
        /// The effective gas price; false on Arbitrum.
        gas_price: bool = true;
        /// The address of a created contract.
        contract_address: bool = true;
        /// Shorthand: false switches off the three above.
        derived: bool = true;
        /// Whether the roots must cover every transaction: false excludes the synthetic state-sync transaction at the end of
        /// a block (Polygon before Madhugiri).
        state_sync: bool = true;
        /// Recovery of senders from signatures, which takes more time than all other checks: `"off"`; `"live"`: new blocks
        /// only; `"always"`: history as well.
        senders: Senders = Senders::Live;
    }
}

/// When senders are recovered from signatures, which takes more time than all other checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Senders {
    /// Never.
    Off,
    /// For blocks at the head, not for history.
    Live,
    /// For all blocks, history included.
    Always,
}

plain_settings! { Senders = lower_case_word }

impl ChecksConfig {
    /// Whether everything that a root or a bloom covers is proven. For the rest see [`ChecksConfig::unproved`].
    pub(super) fn roots(&self) -> bool {
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
    pub(super) fn gas_used(&self) -> bool {
        self.derived && self.gas_used
    }

    /// Whether the gas price in receipts is checked.
    pub(super) fn gas_price(&self) -> bool {
        self.derived && self.gas_price
    }

    /// Whether the created contract in receipts is checked.
    pub(super) fn contract_address(&self) -> bool {
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
    pub(super) fn for_history(mut self) -> Self {
        if self.senders == Senders::Live {
            self.senders = Senders::Off;
        }
        self
    }
}
