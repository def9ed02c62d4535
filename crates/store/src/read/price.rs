//! The newest price of each tracked token.

use bigdecimal::BigDecimal;
use sqlx::postgres::PgRow;

#[cfg(feature = "explain")]
use super::super::explain::{Known, Query};
use super::{
    super::{
        Store, StoreError,
        prices::{parse_details, parse_status},
    },
    row::RowReader,
};
use chaincast_model::PriceDetail;
use chaincast_protocol::{PriceReason, PriceStatus, Token};

/// A published price, and how old its ticks may be.
#[derive(Debug, Clone, PartialEq)]
pub struct PriceRow {
    /// The token that is priced.
    pub token: Token,
    /// The token's order in the configuration.
    pub position: u32,
    /// Seq in the channel `price:TOKEN`.
    pub seq: u64,
    /// USD for one whole token.
    pub price: BigDecimal,
    /// As in [`Price::confidence`](chaincast_model::Price::confidence).
    pub confidence: BigDecimal,
    /// As published; see [`PriceRow::expires_at`] for whether it is stale by now.
    pub status: PriceStatus,
    /// Why it was not `ok`; `None` if it was, and for prices published by an earlier version.
    pub reason: Option<PriceReason>,
    /// As in [`Price::sources`](chaincast_model::Price::sources).
    pub sources: Vec<String>,
    /// All fresh sources by name; their times are updated with `observed_at`.
    pub details: Vec<PriceDetail>,
    /// Event time of the newest tick that supports it, in ms since the Unix epoch: one it was published with, or a
    /// later one that confirmed it.
    pub observed_at: i64,
    /// When it was published, in ms since the Unix epoch.
    pub announced_at: i64,
    /// The last ms, since the Unix epoch, in which a tick that supports it is fresh; `None` for prices published by an
    /// earlier version.
    pub expires_at: Option<i64>,
    /// The largest `max_age_ms` of the token's active sources; `None` if it has none.
    pub max_age_ms: Option<u64>,
}

const SELECT: &str =
    "SELECT t.symbol, t.position, p.seq, p.price, p.confidence, p.status, p.reason, p.sources, p.observed_at, p.expires_at, p.announced_at, p.details,
            (SELECT max(s.max_age_ms) FROM price_sources s WHERE s.token = t.symbol AND s.active) AS max_age_ms
     FROM tokens t
     CROSS JOIN LATERAL (SELECT * FROM prices WHERE token = t.symbol ORDER BY seq DESC LIMIT 1) p
     WHERE t.position IS NOT NULL";

impl Store {
    /// The newest price of a tracked token; `None` before its first.
    pub async fn read_price(&self, token: &Token) -> Result<Option<PriceRow>, StoreError> {
        let row = sqlx::query(&format!("{SELECT} AND t.symbol = $1"))
            .bind(token.as_str())
            .fetch_optional(&self.reads)
            .await?;
        row.as_ref().map(price).transpose()
    }

    /// The newest price of every tracked token that has one, in configuration order after position `after`, at most
    /// `limit`.
    pub async fn read_prices(
        &self,
        after: Option<u32>,
        limit: u32,
    ) -> Result<Vec<PriceRow>, StoreError> {
        let sql = format!("{SELECT} AND t.position > $1 ORDER BY t.position LIMIT $2");
        let rows = sqlx::query(&sql)
            .bind(after.map_or(-1, i64::from))
            .bind(i64::from(limit))
            .fetch_all(&self.reads)
            .await?;
        rows.iter().map(price).collect()
    }
}

fn price(row: &PgRow) -> Result<PriceRow, StoreError> {
    let row = RowReader::new(row, "price");
    let symbol: String = row.get("symbol")?;
    let status: &str = row.get("status")?;
    let status = parse_status(status)
        .ok_or_else(|| row.corrupt("status", format!("{status:?} is not a status")))?;
    Ok(PriceRow {
        token: symbol
            .parse()
            .map_err(|error| row.corrupt("symbol", error))?,
        position: row.index("position")?,
        seq: row.natural("seq")?,
        price: row.get("price")?,
        confidence: row.get("confidence")?,
        status,
        reason: row
            .get::<Option<&str>>("reason")?
            .and_then(PriceReason::from_name),
        sources: row.get("sources")?,
        details: parse_details(row.get("details")?)
            .map_err(|error| row.corrupt("details", error))?,
        observed_at: row.millis("observed_at")?,
        announced_at: row.millis("announced_at")?,
        expires_at: row.millis_or_null("expires_at")?,
        max_age_ms: row.natural_or_null("max_age_ms")?,
    })
}

#[cfg(feature = "explain")]
pub(super) fn explained<'a>(store: &'a Store, known: &'a Known) -> Vec<Query<'a>> {
    vec![
        Query::new("read_price", store.read_price(&known.token)),
        Query::new("read_prices", store.read_prices(None, known.limit)),
    ]
}
