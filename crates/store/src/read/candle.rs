//! Candles in time order, without gaps.

use bigdecimal::BigDecimal;
use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;

#[cfg(feature = "explain")]
use super::super::explain::{Known, Query};
use super::{
    super::{Store, StoreError},
    row::{RowReader, timestamptz},
};
use chaincast_protocol::{Candle, CandleInterval, Token, fill_gaps};

/// Candles in order, and the start of the next one, if there is one.
#[derive(Debug, Clone, PartialEq)]
pub struct Candles {
    /// Oldest first, without gaps.
    pub candles: Vec<Candle>,
    /// Start of the candle after them, in ms since the Unix epoch; `None` if they are the last.
    pub next: Option<i64>,
}

impl Store {
    /// Candles that start in `[from, to)`, oldest first, at most `limit`. `from` must be a multiple of the interval;
    /// all in ms. Intervals without a price between two candles, inside or outside of the range, are filled with
    /// synthetic candles; none are added before the first candle or after the last.
    pub async fn read_candles(
        &self,
        token: &Token,
        interval: CandleInterval,
        (from, to): (i64, i64),
        limit: u32,
    ) -> Result<Candles, StoreError> {
        let empty = Candles {
            candles: Vec::new(),
            next: None,
        };
        if from >= to {
            return Ok(empty);
        }
        // One more row, to detect a next page; and the neighbors of the range, for gaps at its ends.
        let rows = sqlx::query(
            "SELECT * FROM ((SELECT 0 AS part, start, open, high, low, close, count, first_at, last_at, closed FROM candles
              WHERE token = $1 AND seconds = $2 AND start < $3 ORDER BY start DESC LIMIT 1)
             UNION ALL
             (SELECT 1, start, open, high, low, close, count, first_at, last_at, closed FROM candles
              WHERE token = $1 AND seconds = $2 AND start >= $3 AND start < $4 ORDER BY start LIMIT $5)
             UNION ALL
             (SELECT 2, start, open, high, low, close, count, first_at, last_at, closed FROM candles
              WHERE token = $1 AND seconds = $2 AND start >= $4 ORDER BY start LIMIT 1)) c
             ORDER BY part, start",
        )
        .bind(token.as_str())
        .bind(interval.seconds())
        .bind(timestamptz(from))
        .bind(timestamptz(to))
        .bind(i64::from(limit) + 1)
        .fetch_all(&self.reads)
        .await?;
        let (mut before, mut found, mut until) = (None::<BigDecimal>, Vec::new(), None);
        for row in &rows {
            let part: i32 = RowReader::new(row, "candle").get("part")?;
            match part {
                0 => before = Some(candle(row)?.close),
                1 => found.push(candle(row)?),
                _ => until = Some(to),
            }
        }
        // Only the newest candle may be open. One of a longer interval is stored less often, so its minutes are more
        // recent.
        let open: Option<bool> = rows
            .last()
            .map(|row| {
                RowReader::new(row, "candle")
                    .get("closed")
                    .map(|closed: bool| !closed)
            })
            .transpose()?;
        if open == Some(true)
            && let (Some(newest), Some(_), None) = (found.last_mut(), interval.smaller(), until)
            && let Some(whole) = self.minutes_of(token, newest.start, interval).await?
            && whole.count > newest.count
        {
            *newest = whole;
        }
        let most = limit as usize;
        let mut candles = fill_gaps(found, interval, from, before, until, most + 1);
        let next = candles.get(most).map(|candle| candle.start);
        candles.truncate(most);
        Ok(Candles { candles, next })
    }

    /// End of the newest candle, at most `to`, so that a page ends with the newest candle: after a token's newest
    /// candle there are none, and gaps before a later one are filled up to `to`. `to` must be a multiple of the
    /// interval; all in ms.
    pub async fn candles_end(
        &self,
        token: &Token,
        interval: CandleInterval,
        to: i64,
    ) -> Result<i64, StoreError> {
        let newest: Option<DateTime<Utc>> = sqlx::query_scalar(
            "SELECT start FROM candles WHERE token = $1 AND seconds = $2 ORDER BY start DESC LIMIT 1",
        )
        .bind(token.as_str())
        .bind(interval.seconds())
        .fetch_optional(&self.reads)
        .await?;
        let end = newest.map(|start| start.timestamp_millis().saturating_add(interval.millis()));
        Ok(end.map_or(to, |end| end.min(to)))
    }

    /// The candle computed from the minutes of an interval; at most 1,440 rows.
    async fn minutes_of(
        &self,
        token: &Token,
        start: i64,
        interval: CandleInterval,
    ) -> Result<Option<Candle>, StoreError> {
        let row = sqlx::query(
            "SELECT $4::timestamptz AS start, (array_agg(open ORDER BY start))[1] AS open, max(high) AS high,
                    min(low) AS low, (array_agg(close ORDER BY start DESC))[1] AS close, sum(count)::bigint AS count,
                    min(first_at) AS first_at, max(last_at) AS last_at
             FROM candles WHERE token = $1 AND seconds = $2 AND start >= $4 AND start < $3
             HAVING count(*) > 0",
        )
        .bind(token.as_str())
        .bind(CandleInterval::Minute.seconds())
        .bind(timestamptz(start.saturating_add(interval.millis())))
        .bind(timestamptz(start))
        .fetch_optional(&self.reads)
        .await?;
        row.as_ref().map(candle).transpose()
    }
}

fn candle(row: &PgRow) -> Result<Candle, StoreError> {
    let row = RowReader::new(row, "candle");
    Ok(Candle {
        start: row.millis("start")?,
        open: row.get("open")?,
        high: row.get("high")?,
        low: row.get("low")?,
        close: row.get("close")?,
        count: row.natural("count")?,
        first_at: row.millis("first_at")?,
        last_at: row.millis("last_at")?,
    })
}

#[cfg(feature = "explain")]
pub(super) fn explained<'a>(store: &'a Store, known: &'a Known) -> Vec<Query<'a>> {
    let (token, minute) = (&known.token, CandleInterval::Minute);
    let (from, to) = (1_700_000_000_000, 1_700_100_000_000);
    vec![
        Query::new(
            "read_candles",
            store.read_candles(token, minute, (from, to), known.limit),
        ),
        Query::new("candles_end", store.candles_end(token, minute, to)),
    ]
}
