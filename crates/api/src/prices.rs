//! `/prices`, `/prices/{token}` and `/prices/{token}/history`.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::{
    ApiState, Routes, SharedApiState,
    blocks::ChainQuery,
    error::{Problem, Problems},
    extract::{Params, Segment},
    page::{self, List, Page},
    time_range,
    transactions::ListQuery,
    wire::{Decimal, Hash},
};
use chaincast_model::{LogOrigin, PriceDetail};
use chaincast_protocol::{Channel, PriceReason, PriceStatus, Token, USD, now_ms};
use chaincast_store::read::{PriceRow, TickKey, TickRow};

pub(super) fn routes() -> Routes {
    Routes::new()
        .routes(routes!(list_prices))
        .routes(routes!(read_price))
        .routes(routes!(list_ticks))
}

/// A token's newest price: the data of its last `price-update`, with age and status as of now.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Price {
    #[schema(examples("ETH"))]
    token: String,
    price: Decimal,
    /// When it was published, in ms since the Unix epoch.
    timestamp: i64,
    #[schema(examples("USD"))]
    quote: &'static str,
    /// Uncertainty in the quote currency: the larger distance to the quartiles of the sources' prices.
    confidence: Decimal,
    /// The sources whose ticks were used.
    sources: Vec<String>,
    /// All fresh sources: those used, and the outliers that were not.
    details: Vec<Detail>,
    /// Age of the newest tick used, in ms, at the time of this response.
    age_ms: i64,
    /// `ok`; `degraded`: fewer venues than configured, disagreeing venues, a jump of a single venue, or a conversion
    /// rate with one of these; `stale`: not current, do not trade on it.
    #[schema(value_type = String, examples("ok"))]
    status: PriceStatus,
    /// Why the status is not `ok`; omitted while it is. For `degraded`: `few_venues`, fewer venues than configured;
    /// `disagreement`, the confidence is too wide; `jump`, a single venue jumped; `rate`, a conversion rate has one of
    /// these. For `stale`: `old`, no tick is fresh; `rate`, no conversion rate is; `node_down`, the node of their chain
    /// does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, examples("few_venues"))]
    reason: Option<PriceReason>,
    /// The seq of its update in the channel.
    seq: u64,
    #[schema(examples("price:ETH"))]
    channel: String,
}

/// One source of a price.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PriceDetail)]
pub(super) struct Detail {
    #[schema(examples("chainlink"))]
    source: String,
    /// Age of its tick, in ms, at the time of this response.
    age_ms: i64,
    /// The block of its tick; null for sources that are not on a chain.
    #[schema(required)]
    block: Option<PriceBlock>,
    /// Whether it is too far from the others to be used.
    outlier: bool,
}

/// The block that a tick was decoded from.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PriceBlock {
    chain_id: u64,
    number: u64,
}

impl Detail {
    fn new(detail: &PriceDetail, now: i64) -> Self {
        Self {
            source: detail.source.to_string(),
            age_ms: now.saturating_sub(detail.observed_at).max(0),
            block: detail.block.map(|block| PriceBlock {
                chain_id: block.chain_id,
                number: block.number,
            }),
            outlier: detail.outlier,
        }
    }
}

impl Price {
    fn new(row: PriceRow, now: i64) -> Self {
        let age_ms = now.saturating_sub(row.observed_at).max(0);
        // If the writer is down, no update marks the price as stale: compare with the clock.
        let expired = match row.expires_at {
            Some(last) => now > last,
            None => row
                .max_age_ms
                .is_none_or(|longest| age_ms.unsigned_abs() > longest),
        };
        let (status, reason) = match row.status {
            PriceStatus::Ok | PriceStatus::Degraded if expired => {
                (PriceStatus::Stale, Some(PriceReason::Old))
            }
            status => (status, row.reason),
        };
        Self {
            token: row.token.to_string(),
            price: row.price.into(),
            timestamp: row.announced_at,
            quote: USD,
            confidence: row.confidence.into(),
            sources: row.sources,
            details: row
                .details
                .iter()
                .map(|detail| Detail::new(detail, now))
                .collect(),
            age_ms,
            status,
            reason,
            seq: row.seq,
            channel: Channel::Price(row.token).to_string(),
        }
    }
}

/// The newest price of each tracked token that has one
#[utoipa::path(
    get, path = "/api/v1/prices", tag = "prices", params(ListQuery),
    responses((status = 200, description = "A page of prices", body = Page<Price>), Problems)
)]
async fn list_prices(
    State(state): SharedApiState,
    Params(query): Params<ListQuery>,
) -> Result<Json<Page<Price>>, Problem> {
    state.chain(query.chain)?;
    let limit = page::limit(query.limit, &state.config)?;
    let list = List::new("prices");
    let after = list
        .position(query.cursor.as_deref())?
        .and_then(|[position]| u32::try_from(position).ok());
    let rows = state.store.read_prices(after, limit + 1).await?;
    let now = now_ms();
    Ok(Json(list.page(
        rows,
        limit,
        |row| [row.position.into()],
        |row| Price::new(row, now),
    )))
}

/// The newest price of a token
#[utoipa::path(
    get, path = "/api/v1/prices/{token}", tag = "prices",
    params(("token" = String, Path, description = "Symbol of the token, case-insensitive", example = "ETH"), ChainQuery),
    responses((status = 200, description = "The price", body = Price), Problems)
)]
async fn read_price(
    State(state): SharedApiState,
    segment: Segment,
    Params(query): Params<ChainQuery>,
) -> Result<Json<Price>, Problem> {
    state.chain(query.chain)?;
    let token = segment.token()?;
    match state.store.read_price(&token).await? {
        Some(row) => Ok(Json(Price::new(row, now_ms()))),
        None => {
            check_tracked(&state, &token).await?;
            Err(Problem::not_found(format!("{token} has no price yet")))
        }
    }
}

/// Fails for tokens that are not tracked.
pub(super) async fn check_tracked(state: &ApiState, token: &Token) -> Result<(), Problem> {
    match state.store.is_tracked(token).await? {
        true => Ok(()),
        false => Err(Problem::not_found(format!(
            "{token} is not tracked; /api/v1/tokens lists the tracked tokens"
        ))),
    }
}

/// One price observation by one source.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tick {
    #[schema(examples("chainlink"))]
    source: String,
    price: Decimal,
    /// The quote of the price: USD, or the symbol of a tracked token.
    #[schema(examples("USD"))]
    quote: String,
    /// When the source observed it, in ms since the Unix epoch.
    timestamp: i64,
    /// When chaincast received it, in ms since the Unix epoch.
    received_at: i64,
    /// The log that it was decoded from, if its source is on a chain.
    #[schema(required)]
    origin: Option<Origin>,
}

/// The position of a log.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Origin {
    chain_id: u64,
    block_number: u64,
    block_hash: Hash,
    log_index: u32,
}

impl From<TickRow> for Tick {
    fn from(row: TickRow) -> Self {
        let origin = |origin: LogOrigin| Origin {
            chain_id: origin.chain_id,
            block_number: origin.block_number,
            block_hash: Hash(origin.block_hash),
            log_index: origin.log_index,
        };
        Self {
            source: row.source,
            price: row.price.into(),
            quote: row.quote,
            timestamp: row.observed_at,
            received_at: row.received_at,
            origin: row.origin.map(origin),
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TicksQuery {
    /// EIP-155 id of a configured chain; does not affect the result.
    chain: Option<u64>,
    /// Only ticks observed at or after this time: ms since the Unix epoch, or RFC 3339.
    #[param(example = "2026-01-31T12:00:00Z")]
    from: Option<String>,
    /// Only ticks observed before this time: ms since the Unix epoch, or RFC 3339.
    to: Option<String>,
    /// Ticks per page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// `next` of the previous page.
    cursor: Option<String>,
}

/// A token's ticks, newest first by time of observation
#[utoipa::path(
    get, path = "/api/v1/prices/{token}/history", tag = "prices",
    params(("token" = String, Path, description = "Symbol of the token, case-insensitive", example = "ETH"), TicksQuery),
    responses((status = 200, description = "A page of ticks", body = Page<Tick>), Problems)
)]
async fn list_ticks(
    State(state): SharedApiState,
    segment: Segment,
    Params(query): Params<TicksQuery>,
) -> Result<Json<Page<Tick>>, Problem> {
    state.chain(query.chain)?;
    let token = segment.token()?;
    let limit = page::limit(query.limit, &state.config)?;
    let range = time_range::range(query.from.as_deref(), query.to.as_deref(), time_range::LAST)?;
    let list = List::new(format!("ticks/{token}/{range:?}"));
    let before = list
        .position(query.cursor.as_deref())?
        .map(|[observed_at_us, id]| TickKey { observed_at_us, id });
    // The checksum is not secret: a forged cursor may contain anything.
    let (from, to) = (range.0.saturating_mul(1_000), range.1.saturating_mul(1_000));
    if before.is_some_and(|key| !(from..=to).contains(&key.observed_at_us)) {
        return Err(page::invalid_cursor());
    }
    check_tracked(&state, &token).await?;
    let rows = state
        .store
        .read_ticks(&token, range, before, limit + 1)
        .await?;
    Ok(Json(list.page(
        rows,
        limit,
        |row| [row.key.observed_at_us, row.key.id],
        Tick::from,
    )))
}
