//! The state of a chain's providers, for `/status` of any process.

use chrono::DateTime;
use sqlx::{Postgres, Transaction};

use super::{StoreError, bigint};
use chaincast_protocol::ChainId;

/// A stored provider. Must not contain secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderRow {
    /// The configured name, or one derived from the URL.
    pub name: String,
    /// Scheme, host and port.
    pub url: String,
    /// `all`, `live` or `history`.
    pub role: String,
    /// `ok`, `lagging`, `resting` or `failed`.
    pub state: String,
    /// Whether the chain writer follows its head.
    pub active: bool,
    /// Height of the head that it reported last; `None` if it has not reported one.
    pub head: Option<u64>,
    /// Average of its recent answers, in ms; `None` before the first.
    pub latency_ms: Option<u64>,
    /// Its last failure, human-readable; it stays after a success. `None` if it never failed.
    pub last_error: Option<String>,
    /// Consecutive failures.
    pub failures: u64,
    /// When `state` last changed, in ms since the Unix epoch.
    pub since: i64,
}

/// Replaces the stored providers of a registered chain, preferred first, and commits.
pub async fn record_providers(
    mut transaction: Transaction<'_, Postgres>,
    chain_id: ChainId,
    providers: &[ProviderRow],
) -> Result<(), StoreError> {
    let id = bigint(chain_id, "chain_id")?;
    sqlx::query("DELETE FROM chain_providers WHERE chain_id = $1 AND position >= $2")
        .bind(id)
        .bind(providers.len() as i32)
        .execute(&mut *transaction)
        .await?;
    macro_rules! column {
        ($provider:ident => $value:expr) => {
            providers.iter().map(|$provider| $value).collect::<Vec<_>>()
        };
    }
    // A height that does not fit the column is a node's error; the rest is still stored.
    let fits = |value: Option<u64>| value.and_then(|value| i64::try_from(value).ok());
    sqlx::query(
        "INSERT INTO chain_providers (chain_id, position, name, url, role, state, active, head_number, latency_ms,
             last_error, failures, since)
         SELECT $1, (position - 1)::int, name, url, role, state, active, head, latency, error, failures, since
         FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::boolean[], $7::bigint[], $8::bigint[],
             $9::text[], $10::bigint[], $11::timestamptz[]) WITH ORDINALITY
             AS t (name, url, role, state, active, head, latency, error, failures, since, position)
         ON CONFLICT (chain_id, position) DO UPDATE SET name = excluded.name, url = excluded.url,
             role = excluded.role, state = excluded.state, active = excluded.active,
             head_number = excluded.head_number, latency_ms = excluded.latency_ms,
             last_error = excluded.last_error, failures = excluded.failures, since = excluded.since",
    )
    .bind(id)
    .bind(column!(p => p.name.as_str()))
    .bind(column!(p => p.url.as_str()))
    .bind(column!(p => p.role.as_str()))
    .bind(column!(p => p.state.as_str()))
    .bind(column!(p => p.active))
    .bind(column!(p => fits(p.head)))
    .bind(column!(p => fits(p.latency_ms)))
    // Postgres rejects NUL in text, and a node may return anything.
    .bind(column!(p => p.last_error.as_ref().map(|error| error.replace('\0', ""))))
    .bind(column!(p => fits(Some(p.failures)).unwrap_or(i64::MAX)))
    .bind(column!(p => DateTime::from_timestamp_millis(p.since).unwrap_or_default()))
    .execute(&mut *transaction)
    .await?;
    Ok(transaction.commit().await?)
}
