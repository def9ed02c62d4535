//! Tracked tokens and their price sources, as configured when the price writer last started.

use sqlx::PgConnection;

use super::StoreError;
use chaincast_protocol::{Address, ChainId, Token};

/// One configured token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackedToken {
    /// Its unique symbol.
    pub symbol: Token,
    /// Display name.
    pub name: String,
    /// EIP-155 id of the chain of its contract, if it is on a configured chain.
    pub chain_id: Option<ChainId>,
    /// The token's contract.
    pub address: Option<Address>,
    /// Number of decimals of the contract's amounts.
    pub decimals: Option<u8>,
}

/// One configured price source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackedSource {
    /// The token that it prices.
    pub token: Token,
    /// Unique within its token.
    pub name: String,
    /// `USD`, or the symbol of a tracked token.
    pub quote: String,
    /// The contract that it reads, if it is on a chain.
    pub contract: Option<(ChainId, Address)>,
    /// In ms.
    pub max_age_ms: u64,
    /// Name of the feed that reads it, if it is not on a chain.
    pub feed: Option<String>,
}

/// The state of a source that is not on a chain.
#[derive(Debug, Clone, Copy)]
pub struct SourceState<'a> {
    /// The token that it prices.
    pub token: &'a Token,
    /// Its name, unique within its token.
    pub source: &'a str,
    /// `connecting`, `live`, `silent` or `refused`.
    pub state: &'a str,
    /// Why it is not live, human-readable.
    pub reason: Option<&'a str>,
}

/// Stores the states of these sources. A change of state or reason sets the time of the state to now.
pub async fn record_states(
    transaction: &mut PgConnection,
    states: &[SourceState<'_>],
) -> Result<(), StoreError> {
    if states.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE price_sources s SET state = t.state, state_reason = t.reason, state_since = now()
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS t (token, source, state, reason)
         WHERE s.token = t.token AND s.source = t.source
           AND (s.state, s.state_reason) IS DISTINCT FROM (t.state, t.reason)",
    )
    .bind(column(states, |state| state.token.to_string()))
    .bind(column(states, |state| state.source.to_owned()))
    .bind(column(states, |state| state.state.to_owned()))
    .bind(column(states, |state| state.reason.map(str::to_owned)))
    .execute(transaction)
    .await?;
    Ok(())
}

/// Stores the configured tokens and sources. Tokens keep the given order. Rows no longer configured stay for the
/// history that refers to them, without a position and inactive. Call it within a transaction.
pub async fn sync(
    transaction: &mut PgConnection,
    tokens: &[TrackedToken],
    sources: &[TrackedSource],
) -> Result<(), StoreError> {
    sqlx::query("UPDATE tokens SET position = NULL WHERE position IS NOT NULL")
        .execute(&mut *transaction)
        .await?;
    let positions = 0..i32::try_from(tokens.len()).unwrap_or(i32::MAX);
    sqlx::query(
        "INSERT INTO tokens (symbol, name, chain_id, address, decimals, position)
         SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bytea[], $5::smallint[], $6::int[])
         ON CONFLICT (symbol) DO UPDATE SET name = excluded.name, chain_id = excluded.chain_id,
             address = excluded.address, decimals = excluded.decimals, position = excluded.position",
    )
    .bind(column(tokens, |token| token.symbol.to_string()))
    .bind(column(tokens, |token| token.name.clone()))
    .bind(column(tokens, |token| token.chain_id.map(u64::cast_signed)))
    .bind(column(tokens, |token| token.address.map(|address| address.to_vec())))
    .bind(column(tokens, |token| token.decimals.map(i16::from)))
    .bind(positions.collect::<Vec<i32>>())
    .execute(&mut *transaction)
    .await?;
    sqlx::query("UPDATE price_sources SET active = false WHERE active")
        .execute(&mut *transaction)
        .await?;
    sqlx::query(
        "INSERT INTO price_sources (token, source, quote, chain_id, address, max_age_ms, feed, active)
         SELECT *, true FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bytea[], $6::bigint[], $7::text[])
         ON CONFLICT (token, source) DO UPDATE SET quote = excluded.quote, chain_id = excluded.chain_id,
             address = excluded.address, max_age_ms = excluded.max_age_ms, feed = excluded.feed, active = true,
             state = CASE WHEN excluded.chain_id IS NULL THEN price_sources.state END",
    )
    .bind(column(sources, |source| source.token.to_string()))
    .bind(column(sources, |source| source.name.clone()))
    .bind(column(sources, |source| source.quote.clone()))
    .bind(column(sources, |source| {
        source.contract.map(|(chain_id, _)| chain_id.cast_signed())
    }))
    .bind(column(sources, |source| {
        source.contract.map(|(_, address)| address.to_vec())
    }))
    .bind(column(sources, |source| source.max_age_ms.cast_signed()))
    .bind(column(sources, |source| source.feed.clone()))
    .execute(transaction)
    .await?;
    Ok(())
}

/// One value per row, for an array that Postgres unnests.
fn column<R, T>(rows: &[R], value: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}
