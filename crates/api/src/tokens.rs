//! `/tokens`: the tracked tokens.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    Routes, SharedApiState,
    error::{Problem, Problems},
    extract::Params,
    page::{self, List, Page},
    transactions::ListQuery,
    wire::Address,
};
use chaincast_protocol::{ChainId, Channel, USD};
use chaincast_store::read::{TokenRow, TokenSource};

pub(super) fn routes() -> Routes {
    Routes::new().routes(routes!(list_tokens))
}

/// A tracked token.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Token)]
pub(super) struct TrackedToken {
    #[schema(examples("ETH"))]
    symbol: String,
    #[schema(examples("Ether"))]
    name: String,
    /// The quote currency of its price.
    #[schema(examples("USD"))]
    quote: &'static str,
    /// The channel that publishes its price.
    #[schema(examples("price:ETH"))]
    channel: String,
    /// The chain of its contract, if it has one on a chain.
    #[schema(required)]
    chain_id: Option<ChainId>,
    #[schema(required)]
    address: Option<Address>,
    #[schema(required)]
    decimals: Option<u8>,
    /// The sources of its price.
    sources: Vec<Source>,
}

/// A configured source of a token's price.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TokenSource)]
pub(super) struct Source {
    #[schema(examples("chainlink"))]
    source: String,
    /// The quote of the source's prices: USD, or a tracked token whose price converts them.
    #[schema(examples("USD"))]
    quote: String,
    #[schema(required)]
    chain_id: Option<ChainId>,
    #[schema(required)]
    address: Option<Address>,
    /// Ticks older than this are not used, in ms.
    max_age_ms: u64,
}

impl From<TokenRow> for TrackedToken {
    fn from(row: TokenRow) -> Self {
        let source = |row: TokenSource| Source {
            source: row.source,
            quote: row.quote,
            chain_id: row.chain_id,
            address: row.address.map(Address),
            max_age_ms: row.max_age_ms,
        };
        Self {
            symbol: row.symbol.to_string(),
            name: row.name,
            quote: USD,
            channel: Channel::Price(row.symbol).to_string(),
            chain_id: row.chain_id,
            address: row.address.map(Address),
            decimals: row.decimals,
            sources: row.sources.into_iter().map(source).collect(),
        }
    }
}

/// Tracked tokens, in configuration order
#[utoipa::path(
    get, path = "/api/v1/tokens", tag = "prices", params(ListQuery),
    responses((status = 200, description = "A page of tokens", body = Page<TrackedToken>), Problems)
)]
async fn list_tokens(
    State(state): SharedApiState,
    Params(query): Params<ListQuery>,
) -> Result<Json<Page<TrackedToken>>, Problem> {
    state.chain(query.chain)?;
    let limit = page::limit(query.limit, &state.config)?;
    let list = List::new("tokens");
    let after = list
        .position(query.cursor.as_deref())?
        .and_then(|[position]| u32::try_from(position).ok());
    let rows = state.store.read_tokens(after, limit + 1).await?;
    Ok(Json(list.page(
        rows,
        limit,
        |row| [row.position.into()],
        TrackedToken::from,
    )))
}
