//! Published prices, by their seq in `price:TOKEN`.

use std::sync::Arc;

use bigdecimal::BigDecimal;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, Row, postgres::PgRow};

use super::{Store, StoreError};
use chaincast_model::{Price, PriceDetail};
use chaincast_protocol::{ChainId, PriceBlock, PriceReason, PriceStatus, Token};

/// Inserts published prices, each with the seq of its update in the same transaction. `announced_at` is the update's
/// timestamp, in ms since the Unix epoch.
pub async fn insert(
    transaction: &mut PgConnection,
    prices: &[(u64, &Price)],
    announced_at: i64,
) -> Result<(), StoreError> {
    let mut observed = Vec::with_capacity(prices.len());
    let mut expires = Vec::with_capacity(prices.len());
    let mut announced = Vec::with_capacity(prices.len());
    for (_, price) in prices {
        observed.push(timestamptz(price.observed_at, "price", &price.token)?);
        expires.push(timestamptz(price.expires_at, "price expiry", &price.token)?);
        announced.push(timestamptz(announced_at, "announcement", &price.token)?);
    }
    fn column<T>(prices: &[(u64, &Price)], value: impl Fn(&(u64, &Price)) -> T) -> Vec<T> {
        prices.iter().map(value).collect()
    }
    // Postgres requires rectangular nested arrays: each price's sources are sent as array text.
    sqlx::query(
        "INSERT INTO prices (token, seq, price, confidence, status, sources, observed_at, announced_at, details, reason, doubtful, expires_at)
         SELECT token, seq, price, confidence, status, sources::text[], observed_at, announced_at, details, reason, doubtful, expires_at
         FROM unnest($1::text[], $2::bigint[], $3::numeric[], $4::numeric[], $5::text[], $6::text[],
                     $7::timestamptz[], $8::timestamptz[], $9::jsonb[], $10::text[], $11::bool[], $12::timestamptz[])
              AS t (token, seq, price, confidence, status, sources, observed_at, announced_at, details, reason, doubtful, expires_at)",
    )
    .bind(column(prices, |(_, price)| price.token.to_string()))
    .bind(column(prices, |(seq, _)| *seq as i64))
    .bind(column(prices, |(_, price)| price.price.clone()))
    .bind(column(prices, |(_, price)| price.confidence.clone()))
    .bind(column(prices, |(_, price)| price.status.name()))
    .bind(column(prices, |(_, price)| array_text(&price.sources)))
    .bind(observed)
    .bind(announced)
    .bind(column(prices, |(_, price)| details_json(&price.details)))
    .bind(column(prices, |(_, price)| price.reason.map(PriceReason::name)))
    .bind(column(prices, |(_, price)| price.doubtful))
    .bind(expires)
    .execute(transaction)
    .await?;
    Ok(())
}

/// An array as text: see "Array Input and Output Syntax" in the PostgreSQL manual.
fn array_text(names: &[Arc<str>]) -> String {
    let mut text = String::from("{");
    for (at, name) in names.iter().enumerate() {
        text.push_str(if at == 0 { "\"" } else { ",\"" });
        for c in name.chars() {
            if matches!(c, '"' | '\\') {
                text.push('\\');
            }
            text.push(c);
        }
        text.push('"');
    }
    text.push('}');
    text
}

/// Updates the times of each token's newest published price and of its sources: later ticks confirmed it, or a reorg
/// left an earlier tick with the same price. Nothing else that was published changes.
pub async fn confirm(transaction: &mut PgConnection, prices: &[Price]) -> Result<(), StoreError> {
    let mut observed = Vec::with_capacity(prices.len());
    let mut expires = Vec::with_capacity(prices.len());
    for price in prices {
        observed.push(timestamptz(price.observed_at, "price", &price.token)?);
        expires.push(timestamptz(price.expires_at, "price expiry", &price.token)?);
    }
    sqlx::query(
        "UPDATE prices p SET observed_at = t.observed_at, details = t.details, expires_at = t.expires_at
         FROM unnest($1::text[], $2::timestamptz[], $3::jsonb[], $4::timestamptz[])
              AS t (token, observed_at, details, expires_at)
         WHERE p.token = t.token AND p.seq = (SELECT max(seq) FROM prices WHERE token = t.token)",
    )
    .bind(
        prices
            .iter()
            .map(|price| price.token.to_string())
            .collect::<Vec<_>>(),
    )
    .bind(observed)
    .bind(
        prices
            .iter()
            .map(|price| details_json(&price.details))
            .collect::<Vec<_>>(),
    )
    .bind(expires)
    .execute(transaction)
    .await?;
    Ok(())
}

/// The newest published price of each of these tokens that has one, and when it was published, in ms since the Unix
/// epoch.
pub async fn latest(
    connection: &mut PgConnection,
    tokens: &[Token],
) -> Result<Vec<(Price, i64)>, StoreError> {
    let rows = sqlx::query(
        "SELECT p.* FROM unnest($1::text[]) AS t (token)
         CROSS JOIN LATERAL (
             SELECT token, price, confidence, status, reason, doubtful, sources, observed_at, expires_at, announced_at, details
             FROM prices WHERE token = t.token ORDER BY seq DESC LIMIT 1
         ) p",
    )
    .bind(tokens.iter().map(Token::to_string).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    rows.iter().map(parse_price).collect()
}

impl Store {
    /// Deletes prices published more than `days` days ago, but never a token's newest, at most `limit` per call.
    /// Returns how many were deleted.
    pub async fn prune_prices(&self, days: u32, limit: u32) -> Result<u64, StoreError> {
        // Per token, oldest first: the index begins with the token.
        let done = sqlx::query(
            "DELETE FROM prices WHERE (token, seq) IN (
                 SELECT p.token, p.seq FROM tokens t CROSS JOIN LATERAL (
                     SELECT token, seq FROM prices
                     WHERE token = t.symbol AND announced_at < now() - make_interval(days => $1::int)
                         AND seq < (SELECT max(seq) FROM prices WHERE token = t.symbol)
                     ORDER BY announced_at, seq LIMIT $2) p
                 LIMIT $2)",
        )
        .bind(days.cast_signed())
        .bind(i64::from(limit))
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }
}

fn parse_price(row: &PgRow) -> Result<(Price, i64), StoreError> {
    let corrupt = |reason: String| StoreError::Corrupt {
        what: "price",
        reason,
    };
    let token: String = row.try_get("token")?;
    let status: String = row.try_get("status")?;
    let reason: Option<String> = row.try_get("reason")?;
    let price: BigDecimal = row.try_get("price")?;
    let confidence: BigDecimal = row.try_get("confidence")?;
    let sources: Vec<String> = row.try_get("sources")?;
    let observed_at: DateTime<Utc> = row.try_get("observed_at")?;
    let expires_at: Option<DateTime<Utc>> = row.try_get("expires_at")?;
    let announced_at: DateTime<Utc> = row.try_get("announced_at")?;
    let details = parse_details(row.try_get("details")?)
        .map_err(|error| corrupt(format!("details of {token}: {error}")))?;
    let doubtful: Option<bool> = row.try_get("doubtful")?;
    let status =
        parse_status(&status).ok_or_else(|| corrupt(format!("status {status:?} of {token}")))?;
    let price = Price {
        status,
        token: token.parse().map_err(|error| corrupt(format!("{error}")))?,
        price,
        confidence,
        sources: sources.into_iter().map(Arc::from).collect(),
        details,
        // Reasons of a later version are unknown here.
        reason: reason.as_deref().and_then(PriceReason::from_name),
        // Not stored by earlier versions.
        doubtful: doubtful.unwrap_or(status == PriceStatus::Degraded),
        observed_at: observed_at.timestamp_millis(),
        // Not stored by earlier versions: the writer computes it from the ticks.
        expires_at: expires_at.unwrap_or(observed_at).timestamp_millis(),
    };
    Ok((price, announced_at.timestamp_millis()))
}

/// A stored source of a price.
#[derive(Serialize, Deserialize)]
struct StoredDetail {
    source: Arc<str>,
    at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chain: Option<ChainId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    block: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    outlier: bool,
}

fn details_json(details: &[PriceDetail]) -> serde_json::Value {
    let stored = details.iter().map(|detail| StoredDetail {
        source: detail.source.clone(),
        at: detail.observed_at,
        chain: detail.block.map(|block| block.chain_id),
        block: detail.block.map(|block| block.number),
        outlier: detail.outlier,
    });
    // Strings and integers always serialize.
    stored
        .map(|detail| serde_json::to_value(detail).unwrap_or_default())
        .collect()
}

/// Parses the sources stored in a column.
pub(super) fn parse_details(
    json: serde_json::Value,
) -> Result<Vec<PriceDetail>, serde_json::Error> {
    let stored: Vec<StoredDetail> = serde_json::from_value(json)?;
    let detail = |stored: StoredDetail| PriceDetail {
        source: stored.source,
        observed_at: stored.at,
        block: stored
            .chain
            .zip(stored.block)
            .map(|(chain_id, number)| PriceBlock { chain_id, number }),
        outlier: stored.outlier,
    };
    Ok(stored.into_iter().map(detail).collect())
}

/// Parses a stored status.
pub(super) fn parse_status(text: &str) -> Option<PriceStatus> {
    [PriceStatus::Ok, PriceStatus::Degraded, PriceStatus::Stale]
        .into_iter()
        .find(|status| status.name() == text)
}

/// Converts a time in ms for the database.
pub(super) fn timestamptz(ms: i64, what: &str, token: &Token) -> Result<DateTime<Utc>, StoreError> {
    DateTime::from_timestamp_millis(ms).ok_or_else(|| {
        StoreError::Conflict(format!(
            "the time of a {what} of {token}, {ms} ms, is not valid"
        ))
    })
}
