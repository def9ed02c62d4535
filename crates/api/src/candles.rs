//! `/prices/{token}/candles`.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::{
    IntoParams, ToSchema,
    openapi::{Object, ObjectBuilder, Type},
};
use utoipa_axum::routes;

use super::{
    Routes, SharedApiState,
    error::{Problem, Problems},
    extract::{Params, Segment},
    page::{self, List},
    prices, time_range,
    wire::Decimal,
};
use chaincast_protocol::{CandleInterval, Channel, now_ms};

pub(super) fn routes() -> Routes {
    Routes::new().routes(routes!(list_candles))
}

/// Length of a candle. Candles begin at multiples of it since the Unix epoch, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Interval {
    #[serde(rename = "1m")]
    Minute,
    #[serde(rename = "5m")]
    FiveMinutes,
    #[serde(rename = "15m")]
    QuarterHour,
    #[serde(rename = "1h")]
    Hour,
    #[serde(rename = "4h")]
    FourHours,
    #[serde(rename = "1d")]
    Day,
}

/// An inline enum of strings: a reference cannot have its own default.
fn interval_schema() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("Length of a candle."))
        .enum_values(Some(["1m", "5m", "15m", "1h", "4h", "1d"]))
        .default(Some("1m".into()))
        .build()
}

impl From<Interval> for CandleInterval {
    fn from(interval: Interval) -> Self {
        match interval {
            Interval::Minute => Self::Minute,
            Interval::FiveMinutes => Self::FiveMinutes,
            Interval::QuarterHour => Self::QuarterHour,
            Interval::Hour => Self::Hour,
            Interval::FourHours => Self::FourHours,
            Interval::Day => Self::Day,
        }
    }
}

/// The prices published in one interval, start inclusive and end exclusive, by the time of their newest tick. Excludes
/// stale prices, and degraded ones whose value is in doubt.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Candle {
    /// Start of the interval, in ms since the Unix epoch.
    timestamp: i64,
    open: Decimal,
    high: Decimal,
    low: Decimal,
    close: Decimal,
    /// Number of prices; 0 if it is synthetic.
    count: u64,
    /// Whether its interval has ended. A late price may still change it.
    closed: bool,
    /// Whether no price was published in the interval: then all four prices are the previous candle's close.
    synthetic: bool,
}

impl Candle {
    fn new(candle: chaincast_protocol::Candle, interval: CandleInterval, now_ms: i64) -> Self {
        Self {
            timestamp: candle.start,
            closed: candle.start.saturating_add(interval.millis()) <= now_ms,
            synthetic: candle.is_synthetic(),
            open: candle.open.into(),
            high: candle.high.into(),
            low: candle.low.into(),
            close: candle.close.into(),
            count: candle.count,
        }
    }
}

/// Candles in order, and the position of their channel.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CandlePage {
    data: Vec<Candle>,
    /// Pass it as `cursor` to get the next page; `null` on the last page.
    #[schema(required)]
    next: Option<String>,
    /// The channel that publishes these candles.
    #[schema(examples("candle:ETH:1m"))]
    channel: String,
    /// The channel's newest seq when this was read: subscribe with it as `since`; later updates change these candles or
    /// add to them.
    seq: u64,
    /// The epoch of `seq`: pass it when subscribing.
    #[schema(examples("k3f9x2a1b0"))]
    epoch: String,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CandlesQuery {
    /// EIP-155 id of a configured chain; does not affect the result.
    chain: Option<u64>,
    /// Length of a candle.
    #[param(schema_with = interval_schema, required = false)]
    interval: Option<Interval>,
    /// Start with the candle that contains this time: ms since the Unix epoch, or RFC 3339. By default, the newest
    /// `limit` candles before `to`, regardless of age.
    #[param(example = "2026-01-31T12:00:00Z")]
    from: Option<String>,
    /// End with the candle that contains this time, exclusive if it is the candle's start. Defaults to now.
    to: Option<String>,
    /// Candles per page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// `next` of the previous page.
    cursor: Option<String>,
}

/// Open, high, low and close of a token's price, oldest first
///
/// Intervals without a published price between two candles are `synthetic`; there are none before the first candle or
/// after the newest. Subscribe to `channel` with `seq` as `since`: each update contains a whole candle, which replaces
/// the one with the same `timestamp` or follows the last one.
#[utoipa::path(
    get, path = "/api/v1/prices/{token}/candles", tag = "prices",
    params(("token" = String, Path, description = "Symbol of the token, case-insensitive", example = "ETH"), CandlesQuery),
    responses((status = 200, description = "A page of candles", body = CandlePage), Problems)
)]
async fn list_candles(
    State(state): SharedApiState,
    segment: Segment,
    Params(query): Params<CandlesQuery>,
) -> Result<Json<CandlePage>, Problem> {
    state.chain(query.chain)?;
    let token = segment.token()?;
    let limit = page::limit(query.limit, &state.config)?;
    let interval = CandleInterval::from(query.interval.unwrap_or(Interval::Minute));
    let length = interval.millis();
    let channel = Channel::Candle(token.clone(), interval);
    // Read before the clock and the candles, so that a later update is repeated rather than lost: a candle that had
    // begun or closed by this seq has done so by the time read next.
    let extent = state.store.channel_extent(&channel).await?;
    let now = now_ms();
    let (from, to) = time_range::range(query.from.as_deref(), query.to.as_deref(), now + 1)?;
    let list = List::new(format!(
        "candles/{token}/{interval}/{:?}/{:?}",
        query.from, query.to
    ));
    prices::check_tracked(&state, &token).await?;
    // The cursor contains the end, which the first page computed if the client gave none.
    let (from, to) = match list.position(query.cursor.as_deref())? {
        // The checksum is not secret: a forged cursor may contain anything.
        Some([from, to]) if is_range(from, to, length) => (from, to),
        Some(_) => return Err(page::invalid_cursor()),
        None => {
            let to = to + (length - to.rem_euclid(length)) % length;
            match query.from {
                Some(_) => (interval.start_of(from), to),
                None => {
                    // Without recent prices, the newest candles are not those of the last intervals.
                    let to = state.store.candles_end(&token, interval, to).await?;
                    ((to - length * i64::from(limit)).max(0), to)
                }
            }
        }
    };
    let found = state
        .store
        .read_candles(&token, interval, (from, to), limit)
        .await?;
    let candles = found.candles.into_iter();
    Ok(Json(CandlePage {
        data: candles
            .map(|candle| Candle::new(candle, interval, now))
            .collect(),
        next: found.next.map(|start| list.cursor([start, to])),
        channel: channel.to_string(),
        seq: extent.newest,
        epoch: state.store.epoch().to_owned(),
    }))
}

/// Whether a cursor's range is possible for a page.
fn is_range(from: i64, to: i64, length: i64) -> bool {
    let is_start = |at: i64| (0..=time_range::LAST + length).contains(&at) && at % length == 0;
    is_start(from) && is_start(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_forged_range() {
        let length = CandleInterval::from(Interval::Minute).millis();
        assert!(is_range(0, length, length));
        let end = time_range::LAST + 1;
        assert!(is_range(end - length, end, length));
        for (from, to) in [
            (-length, length),
            (1, length),
            (0, length + 1),
            (i64::MIN, i64::MAX),
            (-8_334_601_228_800_000, 0),
            (0, end + length),
        ] {
            assert!(!is_range(from, to, length), "{from} to {to}");
        }
    }
}
