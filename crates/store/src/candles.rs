//! Candles of the price writer: one row per token and interval, updated while it is open.
//!
//! Candles of a minute are written in every transaction that publishes a price; candles of longer intervals only when
//! they are published, which is less often. What a longer candle lacks when a writer starts is contained in the shorter
//! ones: see [`repair`].

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row, postgres::PgRow};

use super::{Store, StoreError, prices::timestamptz};
use chaincast_protocol::{Candle, CandleInterval, Token};

/// A stored candle.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredCandle {
    /// The token whose published prices it summarizes.
    pub token: Token,
    /// Its length.
    pub interval: CandleInterval,
    /// Start, prices and count.
    pub candle: Candle,
    /// Its price count when it was last published; 0 if it never was.
    pub announced_count: u64,
    /// Whether its close was published.
    pub closed: bool,
}

/// Writes candles in their current state. Each may occur only once.
pub async fn write(
    transaction: &mut PgConnection,
    candles: &[StoredCandle],
) -> Result<(), StoreError> {
    if candles.is_empty() {
        return Ok(());
    }
    fn column<T>(candles: &[StoredCandle], value: impl Fn(&StoredCandle) -> T) -> Vec<T> {
        candles.iter().map(value).collect()
    }
    let timestamps = |value: fn(&Candle) -> i64| -> Result<Vec<DateTime<Utc>>, StoreError> {
        let times = candles.iter();
        times
            .map(|row| timestamptz(value(&row.candle), "candle", &row.token))
            .collect()
    };
    sqlx::query(
        "INSERT INTO candles (token, seconds, start, open, high, low, close, count, first_at, last_at, told, closed)
         SELECT * FROM unnest($1::text[], $2::int[], $3::timestamptz[], $4::numeric[], $5::numeric[], $6::numeric[],
             $7::numeric[], $8::bigint[], $9::timestamptz[], $10::timestamptz[], $11::bigint[], $12::boolean[])
         ON CONFLICT (token, seconds, start) DO UPDATE SET open = excluded.open, high = excluded.high,
             low = excluded.low, close = excluded.close, count = excluded.count, first_at = excluded.first_at,
             last_at = excluded.last_at, told = excluded.told, closed = excluded.closed",
    )
    .bind(column(candles, |row| row.token.to_string()))
    .bind(column(candles, |row| row.interval.seconds()))
    .bind(timestamps(|candle| candle.start)?)
    .bind(column(candles, |row| row.candle.open.clone()))
    .bind(column(candles, |row| row.candle.high.clone()))
    .bind(column(candles, |row| row.candle.low.clone()))
    .bind(column(candles, |row| row.candle.close.clone()))
    .bind(column(candles, |row| row.candle.count as i64))
    .bind(timestamps(|candle| candle.first_at)?)
    .bind(timestamps(|candle| candle.last_at)?)
    .bind(column(candles, |row| row.announced_count as i64))
    .bind(column(candles, |row| row.closed))
    .execute(transaction)
    .await?;
    Ok(())
}

/// Recomputes each open candle of a longer interval from the next shorter one: a writer that ended between two
/// publications left it outdated. Shorter candles deleted by retention stay counted in the longer one.
pub async fn repair(connection: &mut PgConnection) -> Result<(), StoreError> {
    for larger in CandleInterval::ALL {
        let Some(smaller) = larger.smaller() else {
            continue;
        };
        sqlx::query(
            "UPDATE candles c SET open = f.open, high = f.high, low = f.low, close = f.close, count = f.count,
                 first_at = f.first_at, last_at = f.last_at
             FROM (
                 SELECT o.token, o.start, (array_agg(s.open ORDER BY s.start))[1] AS open, max(s.high) AS high,
                        min(s.low) AS low, (array_agg(s.close ORDER BY s.start DESC))[1] AS close,
                        sum(s.count)::bigint AS count, min(s.first_at) AS first_at, max(s.last_at) AS last_at
                 FROM candles o
                 JOIN candles s ON s.token = o.token AND s.seconds = $2::int AND s.start >= o.start
                     AND s.start < o.start + make_interval(secs => $1::int)
                 WHERE o.seconds = $1::int AND NOT o.closed GROUP BY o.token, o.start
             ) f
             WHERE c.token = f.token AND c.seconds = $1::int AND c.start = f.start AND c.count < f.count",
        )
        .bind(larger.seconds())
        .bind(smaller.seconds())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// The newest candle of each interval of these tokens, closed or not.
pub async fn newest(
    connection: &mut PgConnection,
    tokens: &[Token],
) -> Result<Vec<StoredCandle>, StoreError> {
    let intervals = CandleInterval::ALL.map(CandleInterval::seconds);
    let rows = sqlx::query(
        "SELECT c.* FROM unnest($1::text[]) AS t (token) CROSS JOIN unnest($2::int[]) AS i (seconds)
         CROSS JOIN LATERAL (
             SELECT token, seconds, start, open, high, low, close, count, first_at, last_at, told, closed
             FROM candles WHERE token = t.token AND seconds = i.seconds ORDER BY start DESC LIMIT 1
         ) c",
    )
    .bind(tokens.iter().map(Token::to_string).collect::<Vec<_>>())
    .bind(&intervals[..])
    .fetch_all(connection)
    .await?;
    rows.iter().map(stored).collect()
}

impl Store {
    /// Deletes candles shorter than an hour that began more than `days` days ago, at most `limit` per call. Returns how
    /// many were deleted.
    pub async fn prune_candles(&self, days: u32, limit: u32) -> Result<u64, StoreError> {
        let done = sqlx::query(
            "DELETE FROM candles WHERE (token, seconds, start) IN (
                 SELECT token, seconds, start FROM candles
                 WHERE start < now() - make_interval(days => $1::int) AND seconds < $2 LIMIT $3)",
        )
        .bind(days.cast_signed())
        .bind(CandleInterval::Hour.seconds())
        .bind(i64::from(limit))
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }
}

fn stored(row: &PgRow) -> Result<StoredCandle, StoreError> {
    let corrupt = |reason: String| StoreError::Corrupt {
        what: "candle",
        reason,
    };
    let token: String = row.try_get("token")?;
    let seconds: i32 = row.try_get("seconds")?;
    let millis = |column: &str| -> Result<i64, StoreError> {
        let timestamptz: DateTime<Utc> = row.try_get(column)?;
        Ok(timestamptz.timestamp_millis())
    };
    Ok(StoredCandle {
        interval: CandleInterval::from_seconds(seconds)
            .ok_or_else(|| corrupt(format!("{seconds} seconds of {token}")))?,
        token: token.parse().map_err(|error| corrupt(format!("{error}")))?,
        candle: Candle {
            start: millis("start")?,
            open: row.try_get("open")?,
            high: row.try_get("high")?,
            low: row.try_get("low")?,
            close: row.try_get("close")?,
            count: row.try_get::<i64, _>("count")? as u64,
            first_at: millis("first_at")?,
            last_at: millis("last_at")?,
        },
        announced_count: row.try_get::<i64, _>("told")? as u64,
        closed: row.try_get("closed")?,
    })
}
