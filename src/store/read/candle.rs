//! Open, high, low and close of announced prices.

use bigdecimal::BigDecimal;

use super::{
    super::{Store, StoreError},
    row::{Reader, moment},
};
use crate::model::Token;

/// The prices announced in `[start, start + interval)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Candle {
    /// In ms since the Unix epoch, a multiple of the interval.
    pub start: i64,
    pub open: BigDecimal,
    pub high: BigDecimal,
    pub low: BigDecimal,
    pub close: BigDecimal,
    /// How many prices it was made of; at least one.
    pub count: u64,
}

/// Candles in order, and where the next one after them begins, if there is one.
#[derive(Debug, Clone, PartialEq)]
pub struct Candles {
    pub candles: Vec<Candle>,
    pub next: Option<i64>,
}

impl Store {
    /// Candles that start in `[from, to)`, oldest first. `from` must be a multiple of `interval`; all in ms.
    /// Stale prices make none, and intervals without a price have none. The span that one call reads is `limit`
    /// intervals from the first price on, so its cost is bounded however wide the range is.
    pub async fn read_candles(
        &self,
        token: &Token,
        (from, to): (i64, i64),
        interval: i64,
        limit: u32,
    ) -> Result<Candles, StoreError> {
        let empty = Candles {
            candles: Vec::new(),
            next: None,
        };
        let Some(start) = self.first_interval(token, from, to, interval).await? else {
            return Ok(empty);
        };
        let end = start
            .saturating_add(interval.saturating_mul(i64::from(limit)))
            .min(to);
        let rows = sqlx::query(
            "SELECT start, (array_agg(price ORDER BY announced_at, seq))[1] AS open, max(price) AS high,
                    min(price) AS low, (array_agg(price ORDER BY announced_at DESC, seq DESC))[1] AS close,
                    count(*) AS count
             FROM (SELECT date_bin(make_interval(secs => $4::bigint), announced_at, 'epoch'::timestamptz) AS start,
                          price, announced_at, seq
                   FROM prices
                   WHERE token = $1 AND announced_at >= $2 AND announced_at < $3 AND status <> 'stale') p
             GROUP BY start ORDER BY start",
        )
        .bind(token.as_str())
        .bind(moment(start))
        .bind(moment(end))
        .bind(interval / 1_000)
        .fetch_all(&self.pool)
        .await?;
        let candles = rows
            .iter()
            .map(|row| {
                let row = Reader::new(row, "price");
                Ok(Candle {
                    start: row.millis("start")?,
                    open: row.get("open")?,
                    high: row.get("high")?,
                    low: row.get("low")?,
                    close: row.get("close")?,
                    count: row.natural("count")?,
                })
            })
            .collect::<Result<_, StoreError>>()?;
        let next = match end < to {
            true => self.first_interval(token, end, to, interval).await?,
            false => None,
        };
        Ok(Candles { candles, next })
    }

    /// The start of the first interval at or after `from` that has a price before `to`.
    async fn first_interval(
        &self,
        token: &Token,
        from: i64,
        to: i64,
        interval: i64,
    ) -> Result<Option<i64>, StoreError> {
        let row = sqlx::query(
            "SELECT announced_at FROM prices
             WHERE token = $1 AND announced_at >= $2 AND announced_at < $3 AND status <> 'stale'
             ORDER BY announced_at LIMIT 1",
        )
        .bind(token.as_str())
        .bind(moment(from))
        .bind(moment(to))
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| {
            let at = Reader::new(&row, "price").millis("announced_at")?;
            Ok(at - at.rem_euclid(interval))
        })
        .transpose()
    }
}
