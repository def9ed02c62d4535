//! `/status`: the state of chains and price sources.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    Routes, SharedApiState,
    blocks::ChainQuery,
    error::{Problem, Problems},
    extract::Params,
    source_status::{SourceChain, SourceStatus},
    wire::Hash,
    writers::WriterStatus,
};
use chaincast_protocol::{ChainId, ChainLimits, now_ms};
use chaincast_store::{
    chain::ProviderRow,
    read::{ChainRow, HaltRow, Mark},
    writer::Stream,
};

pub(super) fn routes() -> Routes {
    Routes::new().routes(routes!(read_status))
}

/// Maximum number of price sources listed.
const MAX_SOURCES: u32 = 1_000;

/// Status of the service.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    #[schema(examples("0.1.0"))]
    version: &'static str,
    /// The database's epoch; seqs are comparable only within one epoch.
    #[schema(examples("k3f9x2a1b0"))]
    epoch: String,
    /// In ms since the Unix epoch.
    server_time: i64,
    /// When this process started, in ms since the Unix epoch.
    started_at: i64,
    /// The configured chains; the first is the default.
    chains: Vec<ChainStatus>,
    prices: PriceStatuses,
}

/// Status of a chain.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChainStatus {
    chain_id: ChainId,
    /// The first block that is indexed.
    #[schema(required)]
    start_block: Option<u64>,
    /// Which data of its blocks is indexed: `blocks`, `logs` or `transfers`.
    #[schema(required)]
    index: Option<&'static str>,
    /// The newest indexed canonical block.
    #[schema(required)]
    head: Option<BlockMark>,
    #[schema(required)]
    safe: Option<BlockMark>,
    #[schema(required)]
    finalized: Option<BlockMark>,
    /// Every block up to here passed the checks that prove its indexed data.
    #[schema(required)]
    verified_through: Option<u64>,
    /// Same as `verifiedThrough`, under its former name.
    #[serde(rename = "verified_through")]
    #[schema(required)]
    verified_through_old: Option<u64>,
    /// Basis of `verifiedThrough`: `full`, the roots of whole blocks; or `bloom`, the header's hash and its logs bloom,
    /// which does not cover the logs' data and transactions. Null while `verifiedThrough` is null.
    #[schema(required)]
    proof: Option<&'static str>,
    /// With proof `full`: keys of `[chains.checks]` for data that no root covers and that was not recomputed for every
    /// block up to there.
    unproved: Vec<String>,
    /// From this block on, native transfers are complete, including inner calls, because each is a log (EIP-7708).
    /// Below it they are the values of transactions only. Null while no such block is indexed.
    #[schema(required)]
    native_transfers_complete_from: Option<u64>,
    /// The node's newest block at the last request.
    #[schema(required)]
    node_head: Option<u64>,
    /// When the node last answered, in ms since the Unix epoch.
    #[schema(required)]
    node_seen_at: Option<i64>,
    /// `nodeHead` minus `head`, in blocks; null while either is unknown.
    #[schema(required)]
    lag_blocks: Option<u64>,
    /// Age of the head by its header, in seconds.
    #[schema(required)]
    lag_seconds: Option<i64>,
    /// When the index last changed, in ms since the Unix epoch.
    #[schema(required)]
    updated_at: Option<i64>,
    /// Why indexing has halted until an operator intervenes; null while it has not.
    #[schema(required)]
    halted: Option<Halt>,
    /// The process that writes the chain; null before the first one.
    #[schema(required)]
    writer: Option<WriterStatus>,
    /// The chain's providers, preferred first, as last recorded by its writer.
    providers: Vec<ProviderStatus>,
}

/// Why the chain's writer has halted. Other chains continue.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Halt {
    /// Human-readable, with what to do.
    reason: String,
    /// In ms since the Unix epoch.
    since: i64,
}

/// Status of a provider.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProviderStatus {
    #[schema(examples("node.example:8545"))]
    name: String,
    /// Scheme, host and port only.
    #[schema(examples("https://node.example:8545"))]
    url: String,
    /// `all`, `live` (the head and new blocks) or `history` (backfills).
    #[schema(examples("all"))]
    role: String,
    /// `ok`; `lagging`: its head is behind another provider's; `resting`: paused after it asked for fewer requests;
    /// `failed`: not used until a trial request succeeds.
    #[schema(examples("ok"))]
    state: String,
    /// Whether the writer follows its head.
    active: bool,
    /// Its newest block at the last request.
    #[schema(required)]
    head: Option<u64>,
    /// Latency of its last responses, in ms.
    #[schema(required)]
    latency_ms: Option<u64>,
    /// Its last error, however old.
    #[schema(required)]
    last_error: Option<String>,
    /// Consecutive failures.
    failures: u64,
    /// When `state` last changed, in ms since the Unix epoch.
    since: i64,
}

/// A block. Hash and timestamp are null if it is not indexed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BlockMark {
    number: u64,
    #[schema(required)]
    hash: Option<Hash>,
    /// The header's timestamp, in seconds since the Unix epoch.
    #[schema(required)]
    timestamp: Option<i64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PriceStatuses {
    /// The process that writes prices; null before the first one.
    #[schema(required)]
    writer: Option<WriterStatus>,
    sources: Vec<SourceStatus>,
    /// The clock offset of the process that writes prices, while it differs from the times of all venues; otherwise
    /// null.
    #[schema(required)]
    clock: Option<ClockStatus>,
}

/// A clock offset.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClockStatus {
    /// Offset in ms: positive if the clock is ahead of the venues, negative if it is behind.
    off_ms: i64,
    /// In ms since the Unix epoch.
    since: i64,
}

/// Status of every chain and price source
#[utoipa::path(
    get, path = "/api/v1/status", tag = "service", params(ChainQuery),
    responses((status = 200, description = "The status; with `chain`, of that chain alone", body = Status), Problems)
)]
async fn read_status(
    State(state): SharedApiState,
    Params(query): Params<ChainQuery>,
) -> Result<Json<Status>, Problem> {
    let chains = match query.chain {
        Some(_) => vec![state.chain(query.chain)?],
        None => state.chains.clone(),
    };
    // All chains, as price sources may be on any of them.
    let rows = state.store.read_chains(&state.chains).await?;
    let halts = state.store.read_halts(&state.chains).await?;
    let providers = state.store.read_providers(&chains).await?;
    let writers = state.store.read_writers().await?;
    let sources = state.store.read_sources(MAX_SOURCES).await?;
    let clock = state.store.read_price_clock().await?;
    let now = now_ms();
    let chain = |id: &ChainId| {
        let row = rows.iter().find(|row| row.chain_id == *id);
        let halt = halts.iter().find(|halt| halt.chain_id == *id);
        let providers = providers.iter().filter(|(chain_id, _)| chain_id == id);
        let writer = WriterStatus::of(&writers, Stream::Chain(*id));
        ChainStatus::new(*id, row, halt, writer, providers.map(|(_, row)| row), now)
    };
    let health = |limits: &ChainLimits| {
        let id = limits.chain_id;
        let row = rows.iter().find(|row| row.chain_id == id);
        SourceChain {
            health: ChainRow::health(row, limits, now),
            is_halted: halts.iter().any(|halt| halt.chain_id == id),
        }
    };
    let on: Vec<SourceChain> = state.limits.iter().map(health).collect();
    Ok(Json(Status {
        version: state.version,
        epoch: state.store.epoch().to_owned(),
        server_time: now,
        started_at: state.started_at,
        chains: chains.iter().map(chain).collect(),
        prices: PriceStatuses {
            writer: WriterStatus::of(&writers, Stream::Prices),
            sources: sources
                .into_iter()
                .map(|row| SourceStatus::new(row, &on, now))
                .collect(),
            clock: clock.map(|clock| ClockStatus {
                off_ms: clock.off_ms,
                since: clock.since,
            }),
        },
    }))
}

impl ChainStatus {
    fn new<'r>(
        chain_id: ChainId,
        row: Option<&ChainRow>,
        halt: Option<&HaltRow>,
        writer: Option<WriterStatus>,
        providers: impl Iterator<Item = &'r ProviderRow>,
        now: i64,
    ) -> Self {
        let head = row.and_then(|row| row.head);
        let node_head = row.and_then(|row| row.node_head);
        let verified = row.filter(|row| row.verified_through.is_some());
        Self {
            chain_id,
            start_block: row.map(|row| row.start_block),
            index: row.map(|row| row.index.name()),
            head: head.map(BlockMark::from),
            safe: row.and_then(|row| row.safe).map(BlockMark::from),
            finalized: row.and_then(|row| row.finalized).map(BlockMark::from),
            verified_through: verified.and_then(|row| row.verified_through),
            verified_through_old: verified.and_then(|row| row.verified_through),
            proof: verified.and_then(|row| row.index.proof()),
            unproved: verified.map_or_else(Vec::new, |row| row.unproved.clone()),
            native_transfers_complete_from: row.and_then(|row| row.native_transfers_from),
            node_head,
            node_seen_at: row.and_then(|row| row.node_seen_at),
            lag_blocks: head
                .zip(node_head)
                .map(|(head, node)| node.saturating_sub(head.number)),
            lag_seconds: head
                .and_then(|head| head.timestamp)
                .map(|timestamp| (now / 1_000).saturating_sub(timestamp).max(0)),
            updated_at: row.map(|row| row.updated_at),
            halted: halt.map(|halt| Halt {
                reason: halt.reason.clone(),
                since: halt.halted_at,
            }),
            writer,
            providers: providers.cloned().map(ProviderStatus::from).collect(),
        }
    }
}

impl From<ProviderRow> for ProviderStatus {
    fn from(row: ProviderRow) -> Self {
        Self {
            name: row.name,
            url: row.url,
            role: row.role,
            state: row.state,
            active: row.active,
            head: row.head,
            latency_ms: row.latency_ms,
            last_error: row.last_error,
            failures: row.failures,
            since: row.since,
        }
    }
}

impl From<Mark> for BlockMark {
    fn from(mark: Mark) -> Self {
        Self {
            number: mark.number,
            hash: mark.hash.map(Hash),
            timestamp: mark.timestamp,
        }
    }
}
