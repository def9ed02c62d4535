//! Ticks: their history, and the newest one of each source.

use bigdecimal::BigDecimal;
use chrono::{DateTime, Utc};

#[cfg(feature = "explain")]
use super::super::explain::{Known, Query};
use super::{
    super::{Store, StoreError, read_pool::ReadPool, ticks::NEWEST},
    row::{RowReader, timestamptz},
};
use chaincast_model::LogOrigin;
use chaincast_protocol::{ChainId, Token};

/// A stored tick.
#[derive(Debug, Clone, PartialEq)]
pub struct TickRow {
    /// Its position, at which the next page begins.
    pub key: TickKey,
    /// The source's public name, unique within its token.
    pub source: String,
    /// `USD`, or the symbol of a tracked token.
    pub quote: String,
    /// Units of `quote` for one whole token.
    pub price: BigDecimal,
    /// Event time, in ms since the Unix epoch.
    pub observed_at: i64,
    /// When the transaction that stored it began, in ms since the Unix epoch.
    pub received_at: i64,
    /// The log that it was decoded from, if its source is on a chain.
    pub origin: Option<LogOrigin>,
}

/// A tick's position in its token's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TickKey {
    /// Event time in µs since the Unix epoch, the precision of Postgres.
    pub observed_at_us: i64,
    /// Key of its row: orders ticks of the same time.
    pub id: i64,
}

/// A configured price source and its newest tick.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceRow {
    /// The token that it prices.
    pub token: Token,
    /// Its public name, unique within its token.
    pub source: String,
    /// `USD`, or the symbol of a tracked token.
    pub quote: String,
    /// Age in ms above which its ticks are not used.
    pub max_age_ms: u64,
    /// Price and event time (ms since the Unix epoch) of its newest tick.
    pub last: Option<(BigDecimal, i64)>,
    /// Name of the feed that reads it; `None` for a source on a chain.
    pub feed: Option<String>,
    /// The chain of the source.
    pub chain_id: Option<ChainId>,
    /// The state of a source that is not on a chain; `None` before its feed has reported one.
    pub state: Option<SourceStateRow>,
}

/// The last state that the price writer stored for a source that is not on a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStateRow {
    /// `connecting`, `live`, `silent` or `refused`.
    pub state: String,
    /// Why it is not live, human-readable.
    pub reason: Option<String>,
    /// In ms since the Unix epoch.
    pub since: i64,
}

impl SourceRow {
    /// Age of its newest tick in ms at `now` (ms since the Unix epoch); `None` if it has no tick.
    pub fn age_ms(&self, now: i64) -> Option<u64> {
        let (_, at) = self.last.as_ref()?;
        Some(u64::try_from(now.saturating_sub(*at)).unwrap_or(0))
    }

    /// Whether its newest tick is too old to be used; `None` if it has no tick.
    pub fn is_stale(&self, now: i64) -> Option<bool> {
        self.age_ms(now).map(|age| age > self.max_age_ms)
    }
}

impl Store {
    /// Ticks of a token with `from <= event time < to` (ms) before `before`, newest first, at most `limit`.
    pub async fn read_ticks(
        &self,
        token: &Token,
        (from, to): (i64, i64),
        before: Option<TickKey>,
        limit: u32,
    ) -> Result<Vec<TickRow>, StoreError> {
        let to = timestamptz(to);
        // Without a position to continue from: just below the first tick at `to`.
        let (at, id) = match before {
            Some(key) => (
                DateTime::<Utc>::from_timestamp_micros(key.observed_at_us).unwrap_or(to),
                key.id,
            ),
            None => (to, i64::MIN),
        };
        let rows = sqlx::query(
            // By source, like the index. Every tick belongs to a source that was configured once.
            "SELECT k.* FROM price_sources s CROSS JOIN LATERAL (
                 SELECT id, source, quote, price, observed_at, received_at, chain_id, block_number, block_hash, log_index
                 FROM ticks t WHERE t.token = s.token AND t.source = s.source
                     AND observed_at >= $2 AND observed_at <= $3 AND (observed_at, id) < ($3, $4)
                 ORDER BY observed_at DESC, id DESC LIMIT $5) k
             WHERE s.token = $1 ORDER BY k.observed_at DESC, k.id DESC LIMIT $5",
        )
        .bind(token.as_str())
        .bind(timestamptz(from))
        .bind(at)
        .bind(id)
        .bind(i64::from(limit))
        .fetch_all(&self.reads)
        .await?;
        rows.iter()
            .map(|row| {
                let row = RowReader::new(row, "tick");
                let observed_at: DateTime<Utc> = row.get("observed_at")?;
                Ok(TickRow {
                    key: TickKey {
                        observed_at_us: observed_at.timestamp_micros(),
                        id: row.get("id")?,
                    },
                    source: row.get("source")?,
                    quote: row.get("quote")?,
                    price: row.get("price")?,
                    observed_at: observed_at.timestamp_millis(),
                    received_at: row.millis("received_at")?,
                    origin: origin(&row)?,
                })
            })
            .collect()
    }

    /// Every configured price source, by token and name, at most `limit`. Its newest tick is the one that prices use:
    /// see [`latest_per_source`](crate::ticks::latest_per_source).
    pub async fn read_sources(&self, limit: u32) -> Result<Vec<SourceRow>, StoreError> {
        read_sources(&self.reads, limit).await
    }

    /// Like [`Self::read_sources`], for the gateway.
    pub async fn live_sources(&self, limit: u32) -> Result<Vec<SourceRow>, StoreError> {
        read_sources(&self.live_reads, limit).await
    }
}

async fn read_sources(reads: &ReadPool, limit: u32) -> Result<Vec<SourceRow>, StoreError> {
    let rows = sqlx::query(&format!(
        "SELECT s.token, s.source, s.quote, s.max_age_ms, s.feed, s.chain_id, s.state, s.state_reason, s.state_since, k.price, k.observed_at
         FROM price_sources s JOIN tokens t ON t.symbol = s.token LEFT JOIN {NEWEST} ON true
         WHERE s.active ORDER BY t.position, s.token, s.source LIMIT $1"
    ))
        .bind(i64::from(limit))
        .fetch_all(reads)
        .await?;
    rows.iter()
        .map(|row| {
            let row = RowReader::new(row, "price source");
            let symbol: String = row.get("token")?;
            let price: Option<BigDecimal> = row.get("price")?;
            Ok(SourceRow {
                token: symbol
                    .parse()
                    .map_err(|error| row.corrupt("token", error))?,
                source: row.get("source")?,
                quote: row.get("quote")?,
                max_age_ms: row.natural("max_age_ms")?,
                feed: row.get("feed")?,
                chain_id: row.natural_or_null("chain_id")?,
                last: match price {
                    Some(price) => Some((price, row.millis("observed_at")?)),
                    None => None,
                },
                state: match row.get::<Option<String>>("state")? {
                    Some(state) => Some(SourceStateRow {
                        state,
                        reason: row.get("state_reason")?,
                        since: row.millis("state_since")?,
                    }),
                    None => None,
                },
            })
        })
        .collect()
}

fn origin(row: &RowReader<'_>) -> Result<Option<LogOrigin>, StoreError> {
    let Some(chain_id) = row.natural_or_null("chain_id")? else {
        return Ok(None);
    };
    Ok(Some(LogOrigin {
        chain_id,
        block_number: row.natural("block_number")?,
        block_hash: row.hash("block_hash")?,
        log_index: row.index("log_index")?,
    }))
}

#[cfg(feature = "explain")]
pub(super) fn explained<'a>(store: &'a Store, known: &'a Known) -> Vec<Query<'a>> {
    let limit = known.limit;
    let times = (1_700_000_000_000, 1_700_100_000_000);
    let one = Some(TickKey {
        observed_at_us: 1_700_010_000_000_000,
        id: 1,
    });
    vec![
        Query::new("read_sources", store.read_sources(limit)),
        Query::new("live_sources", store.live_sources(limit)),
        Query::new(
            "read_ticks",
            store.read_ticks(&known.token, times, None, limit),
        ),
        Query::new(
            "read_ticks behind one",
            store.read_ticks(&known.token, times, one, limit),
        ),
    ]
}
